"""IPv6 from the listener to the mail process: what IPv4 has in every other file."""

import re
import socket
import unittest

import harness
from harness import SystemTest
from gatehouse import eventually, free_port, own_address


def no_loopback():
    """Why there is no ::1 here, or None."""
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError as e:
        return f"no ::1 on this machine: {e.strerror}"
    return None


class V6:
    """One worker model each; the listeners are on ::1 and on an IPv4 address."""

    @classmethod
    def setUpClass(cls):
        why = no_loopback()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()

    @classmethod
    def make_gatehouse(cls, **kw):
        # Both families have the same ports: free on one is very likely free on the other.
        gh = super().make_gatehouse(address="::1", **kw)
        cls.v4 = own_address()
        gh.settings += f"\nlisten = {cls.v4}, ::1\nanvil_socket_path = {cls.dovecot.sock}/anvil\n"
        gh.write_config()
        return gh

    def assert_logged(self, service, rip, lip, mark, tls):
        line = self.gh.wait_log(rf"{service}-login: Info: Login: .*", after=mark).group(0)
        self.assertIn(f"rip={rip}, lip={lip},", line)
        self.assertEqual(", TLS" in line, tls, line)
        sid = re.search(r"session=<(\S+)>", line).group(1)
        self.assertEqual(len(sid), 32 if ":" in rip else 16)
        # The mail process has the same session id.
        self.assertTrue(eventually(lambda: f"><{sid}>: " in self.dovecot.log_text()), sid)
        return sid

    def test_imap_over_tls(self):
        mark = self.gh.mark()
        c = self.logged_in()
        self.assertIn(b"Welcome", self.fetch_welcome(c))
        self.assertTrue(eventually(lambda: re.search(r"(?m)^alice .*[( ]::1[ )]",
                                                     self.dovecot.doveadm("who"))))
        c.command("LOGOUT")
        self.assert_logged("imap", "::1", "::1", mark, True)

    def test_starttls(self):
        mark = self.gh.mark()
        c = self.imap()
        c.starttls()
        self.assertTrue(c.login().startswith("OK"))
        c.command("LOGOUT")
        self.assert_logged("imap", "::1", "::1", mark, True)

    def test_equal_addresses_are_secured_and_the_socket_is_handed_over(self):
        mark = self.gh.mark()
        c = self.imap()
        self.assertNotIn("LOGINDISABLED", c.greeting)
        self.assertTrue(c.login().startswith("OK"))
        self.assertIn(b"Welcome", self.fetch_welcome(c))
        c.command("LOGOUT")
        self.assert_logged("imap", "::1", "::1", mark, False)

    def test_pop3(self):
        for tls in (False, True):
            mark = self.gh.mark()
            c = self.pop3(tls=tls)
            self.assertTrue(c.login().startswith("+OK"))
            self.assertRegex(c.command("STAT"), r"^\+OK \d+ ")
            c.command("QUIT")
            self.assert_logged("pop3", "::1", "::1", mark, tls)

    def test_ipv4_beside_it(self):
        mark = self.gh.mark()
        c = self.keep(harness.Imap((self.v4, self.gh.ports["imaps"]), tls=True))
        self.assertTrue(c.login().startswith("OK"))
        c.command("LOGOUT")
        self.assert_logged("imap", "127.0.0.1", self.v4, mark, True)

    def test_failure(self):
        mark = self.gh.mark()
        c = self.imap(tls=True)
        self.assertTrue(c.login("alice", "wrong").startswith("NO"))
        c.command("LOGOUT")
        self.gh.wait_log(r"auth failed, 1 attempts.*rip=::1, lip=::1", after=mark)


class Fork(V6, SystemTest):
    pass


class Exec(V6, SystemTest):
    settings = "worker_spawn = exec"


class Pooled(V6, SystemTest):
    imap_login = pop3_login = "service_count = 0"


class Networks(V6, SystemTest):
    """login_trusted_networks and the limit for a user and an address."""

    settings = "login_trusted_networks = ::/64 fe80::/10\nmail_max_userip_connections = 1\nssl = required"

    def test_limit(self):
        c = self.logged_in()
        self.assertTrue(eventually(lambda: re.search(r"(?m)^alice .*[( ]::1[ )]",
                                                     self.dovecot.doveadm("who"))))
        self.assertTrue(self.imap(tls=True).login().startswith("NO [LIMIT]"))
        # Another address has a count of its own.
        other = self.keep(harness.Imap((self.v4, self.gh.ports["imaps"]), tls=True))
        self.assertTrue(other.login().startswith("OK"))
        c.command("LOGOUT")
        self.assertTrue(eventually(lambda: not re.search(r"(?m)^alice .*[( ]::1[ )]",
                                                         self.dovecot.doveadm("who"))))


class Everywhere(SystemTest):
    """listen = *, ::  -- both on one port, and IPv4 stays IPv4 in the log."""

    @classmethod
    def setUpClass(cls):
        why = no_loopback()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()

    @classmethod
    def make_gatehouse(cls, **kw):
        gh = super().make_gatehouse(address="127.0.0.1", ports={
            n: free_port("0.0.0.0") for n in ("imap", "imaps", "pop3", "pop3s")}, **kw)
        gh.settings += "\nlisten = *, ::\n"
        gh.write_config()
        return gh

    def test_both(self):
        for address, rip in (("::1", "::1"), (own_address(), "127.0.0.1")):
            mark = self.gh.mark()
            c = self.keep(harness.Imap((address, self.gh.ports["imaps"]), tls=True))
            self.assertTrue(c.login().startswith("OK"))
            c.command("LOGOUT")
            self.gh.wait_log(rf"Login: .*rip={rip}, lip={address},", after=mark)
