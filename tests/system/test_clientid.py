"""IMAP's ID before login: answer, log, auth server, and whom a trusted proxy speaks for."""

import base64
import os
import re

import harness
from harness import SystemTest, eventually

ID = ('ID ("name" "Th\u00fcnder" "version" "1.0 (x), rip=192.0.2.1" "os" NIL "x-originating-ip" '
      '"203.0.113.9" "x-forward-team" "red")')


class Id(SystemTest):
    dovecot_options = {"extra": "auth_debug = yes\n"}
    settings = ("imap_id_log = *\nimap_id_retain = yes\nauth_verbose = yes\n"
                "imap_id_send = name \"my server\" version * os * support-url *\n"
                "login_trusted_networks = 127.0.9.0/24\n"
                "login_log_format_elements = user=<%u> rip=%r lip=%l ports=%a/%b real=%{real_rip}/"
                "%{real_lport} session=<%{session}> %c")

    def asked(self, session):
        """What the auth server was told with this session id."""
        pattern = rf"client in: AUTH\t(.*\tsession={re.escape(session)}\t.*)"
        m = eventually(lambda: re.search(pattern, self.dovecot.log_text()), 20)
        self.assertTrue(m, self.dovecot.log_text())
        return m[1].split("\t")

    def test_answer_log_and_auth_server(self):
        mark = self.gh.mark()
        c = self.imap(tls=True)
        c.send(f"a {ID}\r\nb ID (\"name\" \"again\" \"v\" \"a\\\"b\")\r\n")
        version, os_name = re.search('"version" "([^"]+)" "os" "([^"]+)"', c.line()).groups()
        self.assertEqual(os_name, os.uname().sysname)
        self.assertTrue(version[0].isdigit())
        self.assertEqual(c.line(), "a OK ID completed.")
        c.line(), c.line()
        # Who is not a trusted proxy speaks for himself alone; nothing is forged.
        m = self.gh.wait_log(
            "imap-login: Info: ID sent: name=Th\u00fcnder, version=1.0 \\?x\\?\\? rip\\?192.0.2.1, "
            r"os=NIL, x-originating-ip=203\.0\.113\.9, x-forward-team=red: user=<>, "
            r"rip=127\.0\.0\.1, lip=\S+, ports=\d+/\d+, real=127\.0\.0\.1/\d+, session=<([^>]+)>, TLS$",
            20, mark)
        self.assertTrue(c.login().startswith("OK"))
        fields = self.asked(m[1])
        self.assertIn('client_id="name" "again" "v" "a\\"b"', fields)
        self.assertFalse([f for f in fields if f.startswith(("real_", "forward_"))])
        self.assertIn("rip=127.0.0.1", fields)
        self.assertEqual(len(self.gh.find_log("ID sent:", mark)), 1)

    def test_many_and_long_ones(self):
        """Nobody fills a queue with them, and a login behind them works."""
        c = self.imap(tls=True)
        one = 'x ID ("name" "%s")\r\n' % ("n" * 900)
        c.send(one * 200)
        for _ in range(200):
            self.assertTrue(c.line().startswith("* ID "))
            self.assertEqual(c.line(), "x OK ID completed.")
        self.assertTrue(c.login().startswith("OK"))

    def test_starttls_forgets(self):
        mark = self.gh.mark()
        c = self.imap()
        c.command('ID ("name" "clear")')
        session = self.gh.wait_log(r"ID sent: name=clear: .*session=<([^>]+)>", 20, mark)[1]
        c.command("STARTTLS")
        c.start_tls()
        self.assertTrue(c.login().startswith("OK"))
        self.assertFalse([f for f in self.asked(session) if f.startswith("client_id")])

    PROXY = ('a ID ("x-originating-ip" "%s" "x-originating-port" "4711" "x-connected-ip" '
             '"198.51.100.1" "x-connected-port" "993" "x-session-id" "%s" "x-proxy-ttl" "4" '
             '"x-forward-team" "red" "x-forward-b" "2" "name" "web mail")\r\n')

    def proxied(self, ip, session):
        c = self.imap(source="127.0.9.7")
        c.send(self.PROXY % (ip, session) + "b STARTTLS\r\n")   # as Dovecot's proxies say it
        for want in ("* ID ", "a OK", "b OK"):
            self.assertTrue(c.line().startswith(want))
        c.start_tls()
        # Only the first one counts.
        c.command('ID ("x-originating-ip" "192.0.2.200" "x-session-id" "other" "name" "mine")')
        return c

    def test_trusted_proxy_speaks_for_its_clients(self):
        mark = self.gh.mark()
        bad, good = self.proxied("203.0.113.9", "abc+/DEF"), self.proxied("2001:db8::9", "ghi0")
        bad.login("alice", "wrong")
        self.gh.wait_log(
            r"Auth failed: user=<alice>, rip=203\.0\.113\.9, lip=198\.51\.100\.1, ports=993/4711, "
            rf"real=127\.0\.9\.7/{self.gh.ports['imap']}, session=<abc\+/DEF>, TLS$", 20, mark)
        self.assertTrue(good.login().startswith("OK"))
        self.gh.wait_log(r"Login: user=<alice>, rip=2001:db8::9, .*session=<ghi0>", 20, mark)
        fields = self.asked("ghi0")
        for want in ("rip=2001:db8::9", "lip=198.51.100.1", "rport=4711", "lport=993",
                     "real_rip=127.0.9.7", f"real_lip={self.gh.address}",
                     f"real_lport={self.gh.ports['imap']}", 'client_id="name" "mine"'):
            self.assertIn(want, fields)
        forward, = [f for f in fields if f.startswith("forward_fields=")]
        self.assertRegex(forward, "^forward_fields=team=red\x01?tb=2$")
        # The mail process has it for its own log, and for `doveadm who`.
        good.command("SELECT INBOX")
        self.assertIn("2001:db8::9", self.dovecot.doveadm("who", "-1"))

    def test_xclient(self):
        mark = self.gh.mark()
        c = harness.Pop(self.gh.server("pop3"), source="127.0.9.7", greet=False)
        self.keep(c)
        self.assertTrue(c.line().startswith("+OK [XCLIENT] "))
        forward = base64.b64encode(b"team=red\tb=2").decode()
        self.assertEqual(c.command(f"XCLIENT ADDR=203.0.113.7 PORT=99 SESSION=pop1 TTL=3 FORWARD={forward}"),
                         "+OK Updated")
        self.assertEqual(c.command("XCLIENT ADDR=x"), "-ERR Invalid parameters")
        c.command("STLS")
        c.start_tls()
        self.assertEqual(c.login(), "+OK Logged in.")
        self.gh.wait_log(r"pop3-login: Info: Login: user=<alice>, rip=203\.0\.113\.7, lip=\S+, "
                         r"ports=\d+/99, real=127\.0\.9\.7/\d+, session=<pop1>, TLS$", 20, mark)
        fields = self.asked("pop1")
        self.assertIn("real_rip=127.0.9.7", fields)
        self.assertTrue([f for f in fields if f.startswith("forward_fields=team=red")])
        # A stranger is not heard, and not believed.
        c = self.pop3()
        self.assertEqual(c.command("XCLIENT ADDR=203.0.113.8"),
                         "+OK You are not from trusted IP - ignoring")
        c.close()
        self.assertTrue(self.gh.wait_log(r"Disconnected.*rip=127\.0\.0\.1,", 20, mark))
        self.assertFalse(self.gh.find_log(r"203\.0\.113\.8", mark))

    def test_one_line_for_each_connection(self):
        mark = self.gh.mark()
        for _ in range(3):
            c = self.imap(tls=True, source="127.0.0.77")
            c.send('a ID ("name" "x")\r\n' * 20)
            c.line()
            c.close()
        self.assertTrue(eventually(lambda: len(self.gh.find_log(r"Disconnected.*rip=127\.0\.0\.77", mark)) == 3, 20))
        self.assertEqual(len(self.gh.find_log(r"ID sent.*rip=127\.0\.0\.77", mark)), 3)


class Off(SystemTest):
    """The defaults."""

    def test_nothing_is_kept(self):
        mark = self.gh.mark()
        c = self.imap(tls=True)
        c.command(ID)
        self.assertTrue(c.login().startswith("OK"))
        self.gh.wait_log("Login: user=<alice>", 20, mark)
        self.assertFalse(self.gh.find_log("ID sent", mark))


if __name__ == "__main__":
    import unittest
    unittest.main()
