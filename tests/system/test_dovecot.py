# check: also as an ordinary user
"""Dovecot away, back, reloaded, full."""

import os
import re
import time

import harness
from dovecot import remove_tree
from harness import Gatehouse, SystemTest, eventually


class Away(SystemTest):
    started = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dovecot.stop()

    def setUp(self):
        self.addCleanup(self.dovecot.stop)
        self.gh.start()
        self.addCleanup(self.gh.stop)

    def test_greeting_waits_for_the_auth_server(self):
        c = self.imap(greet=False)
        tls = self.imap(tls=True, greet=False)
        self.assertTrue(c.silent(1.5), "no greeting while the auth server is away")
        self.assertTrue(tls.silent(0.1))
        self.dovecot.start()
        self.assertTrue(c.line(30).startswith("* OK"))
        self.assertTrue(tls.line(30).startswith("* OK"))
        self.assertTrue(tls.login().startswith("OK"))

    def test_restart_in_between(self):
        self.dovecot.start()
        session, waiting = self.logged_in(), self.imap(tls=True)
        self.dovecot.stop()
        session.rest(30)                # Dovecot ended its own sessions
        late = self.imap(tls=True, greet=False)
        self.assertTrue(late.silent(1))
        self.dovecot.start()
        self.assertTrue(late.line(30).startswith("* OK"))
        self.assertTrue(late.login().startswith("OK"))
        self.assertRegex(self.answer(waiting), r"^(OK|NO \[UNAVAILABLE\]|.*BYE)")
        self.assertTrue(eventually(self.works, 30))

    def test_socket_directory_is_replaced(self):
        """Its inode goes away: the auth client is started anew and finds the new one."""
        self.dovecot.start()
        self.assert_serves()
        self.dovecot.stop()
        os.rename(self.dovecot.sock, self.dovecot.sock + ".old")
        remove_tree(self.dovecot.sock + ".old")
        os.mkdir(self.dovecot.sock, 0o755)
        self.dovecot.start()
        self.assertTrue(eventually(self.works, 60))

    @staticmethod
    def answer(c):
        try:
            return c.login()
        except (OSError, harness.ClientError) as e:
            return str(e)

    def works(self):
        try:
            self.assert_serves()
            return True
        except (OSError, AssertionError, harness.ClientError):
            return False


class Reload(SystemTest):
    """For seconds after a reload the old auth server says OK to logins that the
    new mail processes do not know; one retry hides that from every client."""

    # Otherwise Dovecot itself ends idle sessions some seconds after a reload.
    dovecot_options = {"extra": "shutdown_clients = no"}

    def test_logins_around_a_reload(self):
        session = self.logged_in()
        failures = []
        self.dovecot.reload()
        began = time.monotonic()
        while time.monotonic() < began + 9:
            try:
                self.assert_serves()
            except (OSError, AssertionError, harness.ClientError) as e:
                failures.append((round(time.monotonic() - began, 2), str(e)))
            time.sleep(0.05)
        self.assertEqual(failures, [])
        self.assertTrue(session.command("NOOP")[1].startswith("OK"))

    def test_auth_server_dies(self):
        session = self.logged_in()
        for _ in range(3):
            self.dovecot.kill_auth()
            self.assertTrue(eventually(self.works, 30))
        self.assertTrue(session.command("NOOP")[1].startswith("OK"))

    def works(self):
        try:
            self.assert_serves()
            return True
        except (OSError, AssertionError, harness.ClientError):
            return False


class Full(SystemTest):
    """service imap at its process_limit: connect() works, the answer never comes."""

    dovecot_options = {"process_limit": 1}

    def test_no_answer_is_a_tagged_no_and_the_connection_stays(self):
        session = self.logged_in()
        c = self.imap(tls=True)
        answer = c.command("LOGIN alice wonderland")[1]
        self.assertTrue(answer.startswith("NO [UNAVAILABLE]"), answer)
        plain = self.imap(equal=True)
        answer = plain.command("LOGIN alice wonderland")[1]
        self.assertTrue(answer.startswith("NO [UNAVAILABLE]"), answer)
        session.command("LOGOUT")
        session.close()
        self.assertTrue(eventually(lambda: not self.dovecot.helper("imap")))
        for client in (c, plain):
            self.assertTrue(client.login().startswith("OK"))
            client.command("LOGOUT")
            client.close()
            self.assertTrue(eventually(lambda: not self.dovecot.helper("imap")))


class MailFails(SystemTest):
    """The mail process says NO (status 1): the client gets that NO and stays."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The only userdb knows nobody: authentication works, the look-up fails.
        path = f"{cls.dovecot.dir}/no-users"
        open(path, "w").close()
        with open(cls.dovecot.conf) as f:
            text = f.read()
        a = text.index("userdb {")
        b = text.index("}", a)
        text = text[:a] + f"userdb {{\n  driver = passwd-file\n  args = {path}\n" + text[b:]
        with open(cls.dovecot.conf, "w") as f:
            f.write(text)
        cls.dovecot.stop()
        cls.dovecot.start()

    def test_no_of_the_mail_process(self):
        c = self.imap(tls=True)
        answer = c.login()
        self.assertTrue(answer.startswith("NO [UNAVAILABLE]"), answer)
        self.assertTrue(c.command("NOOP")[1].startswith("OK"), "over TLS the connection stays")
        plain = self.imap(equal=True)
        plain.send("a LOGIN alice wonderland\r\n")
        self.assertIn(b"a NO [UNAVAILABLE]", plain.rest(30))


class UserLimit(SystemTest):
    settings = "mail_max_userip_connections = 2"

    @classmethod
    def make_gatehouse(cls, **kw):
        return super().make_gatehouse(
            settings=cls.settings + f"\nanvil_socket_path = {cls.dovecot.sock}/anvil", **kw)

    TEXT = ("Maximum number of connections from user+IP exceeded "
            "(mail_max_userip_connections=2)")

    def test_third_session_of_one_user_from_one_address(self):
        """Answers and lines are Dovecot's (2.3.19.1-2.1+deb12u7, compared)."""
        live = [self.logged_in(), self.logged_in()]
        mark = self.gh.mark()
        c = self.imap(tls=True)
        c.send("a LOGIN alice wonderland\r\n")
        self.assertEqual(c.rest(30).decode(), f"a NO [LIMIT] {self.TEXT}\r\n")
        self.gh.wait_log(re.escape(f"imap-login: Info: Disconnected: {self.TEXT}: user=<alice>, "
                                   "method=PLAIN, rip="), 20, mark)
        for x in live:
            self.assertTrue(x.command("NOOP")[1].startswith("OK"))
        # Each service and each address is counted by itself.
        pops = [self.pop3(tls=True), self.pop3(tls=True)]
        for p in pops:
            self.assertEqual(p.login(), "+OK Logged in.")
        self.logged_in(source="127.0.0.2").command("LOGOUT")
        for tls in (True, False):
            p = self.pop3(tls=tls)
            if not tls:
                p.command("STLS")
                p.start_tls()
            p.send("USER alice\r\nPASS wonderland\r\n")
            self.assertEqual(p.rest(30).decode(), f"+OK\r\n-ERR [IN-USE] {self.TEXT}\r\n")
        live[0].command("LOGOUT")
        self.assertTrue(eventually(lambda: len(self.dovecot.helper("imap")) == 1))
        self.logged_in()

    def test_failing_look_up_lets_the_user_in(self):
        """The limit is no access rule: as Dovecot."""
        path = f"{self.dovecot.sock}/anvil"
        os.rename(path, path + ".away")
        try:
            mark = self.gh.mark()
            clients = [self.logged_in(source="127.0.0.3") for _ in range(3)]
            self.gh.wait_log("anvil: cannot connect: mail_max_userip_connections is not enforced",
                             20, mark)
            self.assertEqual(len(self.gh.find_log("anvil:", mark)), 1)
        finally:
            os.rename(path + ".away", path)
        c = self.imap(tls=True, source="127.0.0.3")
        c.send("a LOGIN alice wonderland\r\n")
        self.assertIn(b"a NO [LIMIT]", c.rest(30))
        for x in clients:
            x.command("LOGOUT")


class TwoFronts(SystemTest):
    """Two gatehouses share a Dovecot; each has CPIDs of its own."""

    def test_both_serve(self):
        other = Gatehouse(self.dovecot.sock)
        self.addCleanup(other.close)
        other.start()
        for _ in range(5):
            self.assert_serves()
            with harness.Imap(other.server("imaps"), tls=True) as c:
                self.assertTrue(c.login().startswith("OK"))
