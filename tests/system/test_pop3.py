"""POP3 before login: the clients that people use, and what only POP3 has."""

import base64
import hashlib
import os
import poplib
import socket
import ssl
import subprocess

import harness
from harness import SystemTest, eventually

MECHANISMS = "plain login cram-md5 scram-sha-256 apop"
ENV = {"PATH": "/usr/bin:/bin"}


def digest(challenge, password="wonderland"):
    return hashlib.md5((challenge + password).encode()).hexdigest()


class Clients:
    """Each fetches the welcome message."""

    def run_client(self, *argv, **env):
        r = subprocess.run(argv, capture_output=True, text=True, timeout=60,
                           stdin=subprocess.DEVNULL, env={**ENV, **env})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return r.stdout

    def curl(self, *options, scheme="pop3", user="alice:wonderland"):
        return self.run_client(
            "curl", "-sS", "--cacert", self.gh.cert.cert, "--max-time", "50", *options, "-u", user,
            f"{scheme}://{self.gh.address}:{self.gh.ports[scheme]}/1")

    def test_curl(self):
        for scheme, options in (("pop3s", ()), ("pop3", ("--ssl-reqd",)),
                                ("pop3s", ("--login-options", "AUTH=PLAIN")),
                                ("pop3s", ("--login-options", "AUTH=LOGIN")),
                                ("pop3s", ("--login-options", "AUTH=CRAM-MD5")),
                                ("pop3s", ("--login-options", "AUTH=+APOP")),
                                ("pop3s", ("--sasl-ir",)),
                                ("pop3", ("--ssl-reqd", "--login-options", "AUTH=+APOP"))):
            with self.subTest(scheme=scheme, options=options):
                self.assertIn("You came through gatehouse.", self.curl(*options, scheme=scheme))
        # In the clear APOP is all that is left: the password does not cross the wire.
        self.assertIn("You came through gatehouse.", self.curl("--login-options", "AUTH=+APOP"))
        self.gh.wait_log(r"Login: user=<alice>, method=APOP, rip=[\d.]+, lip=[\d.]+, mpid=\d+, "
                         r"session=")

    def test_curl_is_refused_in_the_clear(self):
        r = subprocess.run(["curl", "-sS", "--max-time", "50", "-u", "alice:wonderland",
                            "--login-options", "AUTH=PLAIN",
                            "pop3://%s:%d/1" % self.gh.server("pop3")],
                           capture_output=True, text=True, env=ENV)
        self.assertNotEqual(r.returncode, 0)
        self.assertNotIn("gatehouse", r.stdout)

    def poplib(self, c):
        self.addCleanup(c.close)
        return c

    def assert_reads(self, c):
        self.assertGreaterEqual(c.stat()[0], 1)
        self.assertIn(b"Welcome. You came through gatehouse.", c.retr(1)[1])
        c.quit()

    def test_poplib(self):
        context = harness.tls_context(self.gh.cert.cert)
        for login in ("user", "apop"):
            for tls in ("stls", "pop3s"):
                with self.subTest(login=login, tls=tls):
                    if tls == "pop3s":
                        c = self.poplib(poplib.POP3_SSL(*self.gh.server("pop3s"), context=context,
                                                        timeout=50))
                    else:
                        c = self.poplib(poplib.POP3(*self.gh.server("pop3"), timeout=50))
                        self.assertIn("STLS", c.capa())
                        self.assertNotIn("USER", c.capa())
                        c.stls(context)
                        self.assertNotIn("STLS", c.capa())
                    self.assertIn("USER", c.capa())
                    if login == "user":
                        c.user("alice")
                        c.pass_("wonderland")
                    else:
                        c.apop("alice", "wonderland")
                    self.assert_reads(c)

    @harness.needs_program("mpop", "mpop")
    def test_mpop(self):
        for n, (name, starttls, auth) in enumerate((
                ("pop3s", "off", "user"), ("pop3", "on", "user"), ("pop3", None, "apop"),
                ("pop3s", "off", "plain"), ("pop3s", "off", "scram-sha-256"))):
            with self.subTest(name=name, auth=auth):
                home = os.path.join(self.gh.dir, f"mpop{n}")
                for d in ("", "/mail", "/mail/cur", "/mail/new", "/mail/tmp"):
                    os.mkdir(home + d)
                with open(f"{home}/rc", "w") as f:
                    f.write(f"""account a
host {self.gh.address}
port {self.gh.ports[name]}
user alice
password wonderland
auth {auth}
tls {"on" if starttls else "off"}
tls_starttls {starttls or "off"}
tls_trust_file {self.gh.cert.cert}
tls_host_override {self.gh.address}
keep on
delivery maildir {home}/mail
uidls_file {home}/uidls
""")
                os.chmod(f"{home}/rc", 0o600)
                self.run_client("mpop", "-C", f"{home}/rc", "a", HOME=home)
                mail = [open(f"{home}/mail/new/{x}").read() for x in os.listdir(f"{home}/mail/new")]
                self.assertTrue(any("You came through gatehouse." in m for m in mail), mail)

    @harness.needs_program("fetchmail", "fetchmail")
    def test_fetchmail(self):
        for n, (name, proto, words) in enumerate((
                ("pop3s", "pop3", "ssl"), ("pop3", "pop3", "sslproto TLS1.2+"),
                ("pop3", "apop", "sslproto ''"))):
            with self.subTest(name=name, proto=proto):
                home = os.path.join(self.gh.dir, f"fetchmail{n}")
                os.mkdir(home)
                with open(f"{home}/rc", "w") as f:
                    f.write(f"poll {self.gh.address} service {self.gh.ports[name]} "
                            f"protocol {proto} user alice password wonderland keep fetchall "
                            f"sslcertfile {self.gh.cert.cert} {words} "
                            f"mda '/usr/bin/tee -a {home}/mail'\n")
                os.chmod(f"{home}/rc", 0o600)
                self.run_client("fetchmail", "--fetchmailrc", f"{home}/rc", "--pidfile",
                                f"{home}/pid", "--nosyslog", "--nodetach", HOME=home,
                                FETCHMAILHOME=home)
                with open(f"{home}/mail") as f:
                    self.assertIn("You came through gatehouse.", f.read())


class Dialog:
    CAPA = ["CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE"]
    SASL = ["CRAM-MD5", "SCRAM-SHA-256"]

    def test_capabilities(self):
        plain = self.pop3()
        self.assertEqual(plain.multiline("CAPA")[1],
                         self.CAPA + ["STLS", "SASL " + " ".join(self.SASL)])
        self.assertEqual(plain.multiline("AUTH")[1], self.SASL)
        listed = ["PLAIN", "LOGIN"] + self.SASL
        for c in (self.pop3(tls=True), self.pop3(equal=True)):
            words = self.CAPA + ([] if c.tls else ["STLS"]) + ["USER", "SASL " + " ".join(listed)]
            self.assertEqual(c.multiline("CAPA")[1], words)
            self.assertEqual(c.multiline("AUTH")[1], listed)

    def test_pipelined_commands_survive_the_login(self):
        for kw in ({"tls": True}, {"equal": True}):
            with self.subTest(**kw):
                c = self.pop3(**kw)
                c.send("CAPA\r\nUSER alice\r\nPASS wonderland\r\nSTAT\r\nUIDL\r\nQUIT\r\n")
                while c.line() != ".":
                    pass
                self.assertEqual(c.line(), "+OK")
                self.assertEqual(c.line(), "+OK Logged in.")
                self.assertRegex(c.line(), r"^\+OK [1-9]\d* \d+$")
                self.assertEqual(c.line(), "+OK")
                while c.line() != ".":
                    pass
                self.assertEqual(c.rest(), b"+OK Logging out.\r\n")

    def test_pipelined_after_a_failure(self):
        c = self.pop3(tls=True)
        c.send("USER alice\r\nPASS wrong\r\nUSER alice\r\nPASS wonderland\r\nSTAT\r\n")
        self.assertEqual([c.line() for _ in range(3)],
                         ["+OK", "-ERR [AUTH] Authentication failed.", "+OK"])
        self.assertEqual(c.line(), "+OK Logged in.")
        self.assertRegex(c.line(), r"^\+OK \d")

    def test_byte_by_byte(self):
        c = self.pop3(tls=True)
        for byte in b"USER alice\r\nPASS wonderland\r\n":
            c.send(bytes([byte]))
        self.assertEqual([c.line(), c.line()], ["+OK", "+OK Logged in."])

    def test_sasl(self):
        ir = base64.b64encode(b"\0alice\0wonderland").decode()
        c = self.pop3(tls=True)
        self.assertEqual(c.command("AUTH PLAIN"), "+ ")
        self.assertEqual(c.command("*"), "-ERR Authentication aborted by client.")
        self.assertEqual(c.command("AUTH PLAIN"), "+ ")
        self.assertEqual(c.command("A"), "-ERR [AUTH] Invalid base64 in response")
        self.assertEqual(c.command("AUTH PLAIN A"),
                         "-ERR [AUTH] Invalid base64 data in initial response")
        self.assertEqual(c.command("AUTH NTLM"), "-ERR [AUTH] Unsupported authentication mechanism.")
        self.assertEqual(c.command("AUTH APOP"), "-ERR [AUTH] Unsupported authentication mechanism.")
        self.assertEqual(c.command("auth plain"), "+ ")
        self.assertEqual(c.command(ir), "+OK Logged in.")
        self.assertEqual(self.pop3(tls=True).command("AUTH PLAIN " + ir), "+OK Logged in.")
        c = self.pop3(tls=True)
        self.assertEqual(c.command("AUTH LOGIN"), "+ VXNlcm5hbWU6")
        self.assertEqual(c.command("YWxpY2U="), "+ UGFzc3dvcmQ6")
        self.assertEqual(c.command("d29uZGVybGFuZA=="), "+OK Logged in.")

    def test_largest_and_too_large_response(self):
        c = self.pop3(tls=True)
        c.send("AUTH PLAIN " + "A" * 12288 + "\r\n")        # RFC 4954 4: must be taken
        self.assertEqual(c.line(), "-ERR [AUTH] Authentication failed.")
        c.send("AUTH PLAIN " + "A" * 12292 + "\r\n")
        self.assertEqual(c.line(), "-ERR [AUTH] Authentication data is too long.")
        c.send("AUTH PLAIN\r\n" + "A" * 40000 + "\r\n")
        self.assertEqual(c.line(), "+ ")
        self.assertEqual(c.line(), "-ERR [AUTH] Authentication data is too long.")
        self.assertEqual(c.login(), "+OK Logged in.")

    def test_limits(self):
        c = self.pop3(tls=True)
        c.send("USER " + "a" * 1100 + "\r\n")
        self.assertEqual(c.rest(), b"-ERR Input buffer full, aborting\r\n")
        c = self.pop3(tls=True)
        c.send("USER " + "a" * 3000)                        # no line end needed
        self.assertEqual(c.rest(), b"-ERR Input buffer full, aborting\r\n")
        c = self.pop3(tls=True)
        self.assertEqual([c.command(x) for x in ("NOOP", "STAT", "CAPA X")],
                         ["-ERR Unknown command."] * 2 + ["+OK"])
        while c.line() != ".":
            pass
        self.assertEqual([c.command(x) for x in ("", "X", "\0")],
                         ["-ERR Unknown command."] * 3)
        self.assertEqual(c.rest(), b"-ERR Too many invalid bad commands.\r\n")
        c = self.pop3()
        self.assertEqual(c.command("QUIT"), "+OK Logging out")
        self.assertEqual(c.rest(), b"")
        self.gh.wait_log(r"pop3-login: Info: Disconnected: Aborted login by logging out "
                         r"\(no auth attempts in \d+ secs\): user=<>, rip=")

    def test_strangers_without_tls(self):
        """From 127.0.0.2 to another address: no password in the clear."""
        refused = ("-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) "
                   "connections.")
        c = self.pop3(source="127.0.0.2")
        self.assertEqual(c.command("USER alice"), refused)
        self.assertEqual(c.command("PASS wonderland"), refused)
        for mech in ("PLAIN", "LOGIN", "PLAIN AGFsaWNlAHdvbmRlcmxhbmQ="):
            self.assertEqual(c.command(f"AUTH {mech}"),
                             "-ERR [AUTH] Plaintext authentication disabled.")
        self.assertRegex(c.command("AUTH CRAM-MD5"), r"^\+ .")
        i = self.imap(source="127.0.0.2")
        self.assertIn("LOGINDISABLED", i.greeting)
        self.assertRegex(i.command("LOGIN alice wonderland")[1], r"^NO \[PRIVACYREQUIRED\] ")
        self.assertRegex(i.command("AUTHENTICATE PLAIN")[1], r"^NO \[PRIVACYREQUIRED\] ")

    def test_stls(self):
        c = self.pop3(source="127.0.0.2")
        self.assertEqual(c.command("STLS"), "+OK Begin TLS negotiation now.")
        c.start_tls()
        self.assertEqual(c.command("STLS"), "-ERR TLS is already active.")
        self.assertEqual(c.login(), "+OK Logged in.")

    def test_user_in_the_clear_is_forgotten(self):
        c = self.pop3(equal=True)
        self.assertEqual(c.command("USER alice"), "+OK")
        c.command("STLS")
        c.start_tls()
        self.assertEqual(c.command("PASS wonderland"), "-ERR No username given.")

    def test_byte_behind_stls_closes(self):
        """Whatever it is, and whatever would be at stake (CVE-2021-33515's class)."""
        for extra in (b"\n", b"X", b"CAPA\r\n", b"USER alice\r\nPASS wonderland\r\n", b"\x16\x03\x01"):
            with self.subTest(extra):
                c = self.pop3()
                c.send(b"STLS\r\n" + extra)
                try:
                    rest = c.rest()
                except ConnectionResetError:
                    rest = b""
                self.assertNotIn(b"+OK", rest.replace(b"+OK Begin TLS negotiation now.\r\n", b""))
                self.assertNotIn(b"-ERR", rest)

    def test_alpn(self):
        for name, start in (("pop3s", None), ("pop3", "STLS")):
            for alpn, good in ((["pop3"], True), (["h2", "pop3"], True), ([], True),
                               (["imap"], False), (["h2", "http/1.1"], False)):
                with self.subTest(name=name, alpn=alpn):
                    context = harness.tls_context(alpn=alpn)
                    c = self.keep(harness.Pop(self.gh.server(name), greet=start is not None))
                    if start:
                        c.command(start)
                    if not good:
                        with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
                            c.start_tls(context)
                        continue
                    c.start_tls(context)
                    self.assertEqual(c.sock.selected_alpn_protocol(), "pop3" if alpn else None)
                    if not start:
                        self.assertTrue(c.line().startswith("+OK "))
                    self.assertEqual(c.login(), "+OK Logged in.")


class Apop:
    def challenge(self, c):
        self.assertRegex(c.greeting, r"^\+OK .* <[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]{32}@\S+>$")
        return c.greeting[c.greeting.index("<"):]

    def test_right_and_wrong(self):
        c = self.pop3()
        challenge = self.challenge(c)
        other = self.challenge(self.pop3())
        self.assertNotEqual(challenge, other)
        bad = "-ERR [AUTH] Authentication failed."
        self.assertEqual(c.command(f"APOP alice {digest(challenge, 'x')}"), bad)
        self.assertEqual(c.command(f"APOP nobody {digest(challenge)}"), bad)
        self.assertEqual(c.command(f"APOP alice {digest(other)}"), bad)
        self.assertEqual(c.command(f"APOP {digest(challenge)}"), "-ERR Invalid parameters.")
        self.assertEqual(c.command("APOP alice " + "g" * 32),
                         "-ERR Invalid characters in MD5 response.")
        self.assertEqual(c.command(f"APOP alice {digest(challenge).upper()}"), "+OK Logged in.")
        self.assertRegex(c.command("STAT"), r"^\+OK \d")

    def test_impossible_once_the_auth_connection_was_replaced(self):
        c = self.pop3(tls=True)
        challenge = self.challenge(c)
        mark = self.gh.mark()
        self.dovecot.kill_auth()
        self.gh.wait_log("auth server ready", 30, mark)
        self.assertRegex(c.command(f"APOP alice {digest(challenge)}"), r"^-ERR \[SYS/TEMP\] ")
        self.assertTrue(eventually(lambda: self.works(self.pop3(tls=True)), 30))
        # The connection itself is as good as before: a password will do.
        self.assertEqual(c.login(), "+OK Logged in.")

    def works(self, c):
        return c.command(f"APOP alice {digest(self.challenge(c))}").startswith("+OK")


class Pop3(Clients, Dialog, Apop, SystemTest):
    dovecot_options = {"mechanisms": MECHANISMS}


class Required(SystemTest):
    dovecot_options = {"mechanisms": MECHANISMS}
    settings = "ssl = required"

    def test_nothing_without_tls(self):
        c = self.pop3()
        self.assertEqual(c.multiline("CAPA")[1][-2:], ["STLS", "SASL"])
        self.assertRegex(c.command("USER alice"), r"^-ERR \[AUTH\] ")
        for command in ("AUTH PLAIN", "AUTH CRAM-MD5", "AUTH X",
                        f"APOP alice {digest(c.greeting[c.greeting.index('<'):])}"):
            self.assertEqual(c.command(command),
                             "-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.")
        c.command("STLS")
        c.start_tls()
        self.assertEqual(c.login(), "+OK Logged in.")

    def test_the_own_host_is_no_stranger(self):
        """As in Dovecot: webmail beside the server needs no TLS."""
        self.assertEqual(self.pop3(equal=True).login(), "+OK Logged in.")


class Plain(SystemTest):
    """What Dovecot has without configuration: no APOP."""

    settings = "login_timeout = 1500ms"

    def test_apop_is_not_offered(self):
        c = self.pop3()
        self.assertNotIn("<", c.greeting)
        self.assertEqual(c.command("APOP alice " + "0" * 32), "-ERR APOP not enabled.")

    def test_time_limit_in_each_stage(self):
        silent, named, sasl = self.pop3(tls=True), self.pop3(tls=True), self.pop3(tls=True)
        half = self.keep(harness.LineClient(self.gh.server("pop3s")))
        half.send(b"\x16\x03\x01\x02\x00\x01")
        named.command("USER alice")
        sasl.command("AUTH PLAIN")
        self.assertEqual(silent.rest(), b"-ERR Disconnected for inactivity.\r\n")
        self.assertEqual(named.rest(), b"-ERR Disconnected for inactivity.\r\n")
        self.assertEqual(sasl.rest(), b"-ERR Disconnected for inactivity during authentication.\r\n")
        self.assertEqual(half.rest(), b"")

    def test_half_closed(self):
        c = self.pop3(tls=False)
        c.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(c.rest(), b"")


if __name__ == "__main__":
    import unittest
    unittest.main()
