"""Bugs that Dovecot's login processes have had, each by its number: they must not
be possible here.  (submission and managesieve have others.)"""

import base64
import ssl

import harness
from harness import SystemTest

BASE64 = base64.b64encode


def resident(p):
    """RSS in KiB."""
    return int(p.status()["VmRSS"].split()[0])


class Regressions(SystemTest):
    """A pooled worker: what one connection leaves behind would stay."""

    imap_login = "service_count = 0\n  process_min_avail = 1\n  process_limit = 1"
    pop3_login = "service_count = 0\n  process_min_avail = 1\n  process_limit = 1"
    settings = "auth_max_attempts = 1000"
    dovecot_options = {"mechanisms": "plain login"}

    def setUp(self):
        self.mark = self.gh.mark()
        self.live = self.imap(tls=True)         # somebody in the middle of his login
        self.live.send("a AUTHENTICATE LOGIN\r\n")
        self.assertEqual(self.live.line(), "+ VXNlcm5hbWU6")

    def assert_nobody_else_paid(self):
        """The login that was under way ends well; the auth connection has lived."""
        self.live.send(BASE64(b"alice") + b"\r\n")
        self.assertEqual(self.live.line(), "+ UGFzc3dvcmQ6")
        self.live.send(BASE64(b"wonderland") + b"\r\n")
        answer = self.live.reply("a")[1]
        self.assertTrue(answer.startswith("OK"), answer)
        self.assertFalse(self.gh.find_log("auth server|killed|malformed|dropped", self.mark))

    def worker(self):
        found = [p for p in self.gh.logins() if p.argv()[1:3] == ["pool", "imap"]]
        self.assertEqual(len(found), 1)
        return found[0]

    def assert_flat(self, act, rounds=3, slack=256):
        """Memory of worker and auth client is the same after each round, but for what
        the first one needed."""
        both = self.worker(), self.gh.helper("auth")
        act()
        before = [resident(p) for p in both]
        for _ in range(rounds):
            act()
        after = [resident(p) for p in both]
        self.assertEqual(self.worker(), both[0], "it has died")
        for p, a, b in zip(both, before, after):
            self.assertLess(b, a + slack, f"{p.comm()} grew from {a} to {b} KiB")

    def test_cve_2026_33603_tabs_in_base64(self):
        """A TAB or LF must not become a field or a command of the auth protocol."""
        evil = (b"AGEAYg==\tnologin", b"AGEAYg==\tuser=root", b"AGEA\tYg==", b"AGEAYg==\x01t",
                b"AGEAYg==\rCANCEL\t1", b"\t", b"AGEAYg==\0")
        for e in evil:
            c = self.imap(tls=True)
            c.send(b"a AUTHENTICATE PLAIN " + e + b"\r\n")
            self.assertRegex(c.line(), r"^(a|\*) (BAD|NO) ")
            c = self.imap(tls=True)
            c.send(b"a AUTHENTICATE PLAIN\r\n" + e + b"\r\n")
            self.assertEqual(c.line(), "+ ")
            self.assertRegex(c.line(), r"^(a|\*) (BAD|NO) ")
            p = self.pop3(tls=True)
            p.send(b"AUTH PLAIN\r\n" + e + b"\r\n")
            self.assertEqual(p.line(), "+ ")
            self.assertRegex(p.line(), r"^-ERR ")
            p = self.pop3(tls=True)
            p.send(b"AUTH PLAIN\t" + e + b"\r\n")
            self.assertRegex(p.line(), r"^-ERR ")
        self.assert_nobody_else_paid()
        self.assertNotIn("root", self.dovecot.log_text())

    def test_cve_2025_59028_invalid_base64(self):
        for kind, start in ((self.imap, "a AUTHENTICATE PLAIN"), (self.pop3, "AUTH PLAIN")):
            for e in ("A", "AB", "ABC", "A===", "!!!!", "AGEAYg=", "AGEAYh==", "=AAA", "===="):
                c = kind(tls=True)
                c.send(f"{start} {e}\r\n")
                self.assertRegex(c.line(), "^(a (BAD|NO)|-ERR) ")
                c.send(f"{start}\r\n{e}\r\n")
                self.assertEqual(c.line(), "+ ")
                self.assertRegex(c.line(), "^(a (BAD|NO)|-ERR) ")
                c.close()
        self.assert_nobody_else_paid()

    def test_cve_2026_27857_and_42006_nested_parentheses(self):
        def act():
            for text in (b"a ID " + b"(" * 8000, b"a ID " + b"( " * 400 + b"\r\n",
                         b"a LOGIN " + b"(" * 500 + b"\r\n", b"(" * 900 + b"\r\n",
                         b"a ID ((\"a\" \"b\"))\r\n") * 8:
                c = self.imap()
                c.send(text)
                c.line()
                c.close()
        self.assert_flat(act)
        self.assert_nobody_else_paid()

    def test_cve_2026_42391_id_with_very_many_parameters(self):
        def act():
            for _ in range(20):
                c = self.imap()
                c.send(b"a ID (" + b"".join(b'"k%d" {3+}\r\nabc ' % i for i in range(5000)))
                try:
                    c.rest()
                except (OSError, harness.ClientError):
                    pass
                c.close()
                c = self.imap()
                c.send(b"a ID (" + b" ".join(b'"%d" "v"' % i for i in range(31)) + b")\r\n")
                self.assertRegex(c.reply("a")[1], "^(BAD|OK|NO) ")
                c.close()
        self.assert_flat(act)
        self.assert_nobody_else_paid()

    def test_cve_2019_10691_8_bit_user_name(self):
        for name in (b"\xff", b"j\xfcrgen", b"\xc0\xaf", b"\xed\xa0\x80", "j\u00fcrgen".encode(),
                     b"a\x80" * 100, b"\xf4\x90\x80\x80", b"alice\xff"):
            c = self.imap(tls=True)
            c.send(b"a AUTHENTICATE PLAIN " + BASE64(b"\0" + name + b"\0x") + b"\r\n")
            self.assertRegex(c.line(), r"^a NO ")
            c.send(b"b LOGIN {%d+}\r\n" % len(name) + name + b" x\r\n")
            self.assertRegex(c.line(), r"^b NO ")
        self.assert_nobody_else_paid()

    def hello(self, name):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        o = harness.tls_context().wrap_bio(incoming, outgoing, server_hostname=name)
        with self.assertRaises(ssl.SSLWantReadError):
            o.do_handshake()
        return outgoing.read()

    def test_cve_2017_15130_many_server_names(self):
        count = iter(range(10**6))

        def act():
            for _ in range(150):
                c = harness.LineClient(self.gh.server("imaps"))
                c.send(self.hello(f"host-{next(count)}." + "x" * 60 + ".example.test"))
                self.assertEqual(c.exactly(1), b"\x16")     # answered, with the certificate there is
                c.close()
        self.assert_flat(act)
        self.assert_nobody_else_paid()

    def test_cve_2017_15132_aborted_sasl_exchanges(self):
        def act():
            c = self.imap(tls=True)
            c.send(b"a AUTHENTICATE PLAIN\r\n*\r\n" * 300)
            for _ in range(300):
                self.assertEqual(c.line(), "+ ")
                self.assertRegex(c.line(), "^a BAD ")
            c.close()
            for _ in range(50):                 # aborted by going away
                c = self.imap(tls=True)
                c.send("a AUTHENTICATE LOGIN\r\n")
                c.line()
                c.close()
        self.assert_flat(act)
        self.assert_nobody_else_paid()

    def test_cve_2021_33515_injection_before_starttls(self):
        """More of it, and at each offset, in test_attacks."""
        for kind, start in ((self.imap, b"a STARTTLS\r\n"), (self.pop3, b"STLS\r\n")):
            c = kind()
            c.send(start + (b"b LOGIN alice wonderland\r\n" if kind == self.imap
                            else b"USER alice\r\nPASS wonderland\r\n"))
            rest = c.rest()
            self.assertNotIn(b"b ", rest)
            self.assertLessEqual(rest.count(b"\r\n"), 1)
        self.assertFalse(self.gh.find_log("Login: user=<alice>", self.mark))
        self.assert_nobody_else_paid()


if __name__ == "__main__":
    import unittest
    unittest.main()
