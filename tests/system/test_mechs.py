"""Every mechanism of the real auth server, in both protocols, over TLS and after
STARTTLS or STLS, with gsasl and curl as the clients."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import harness  # noqa: E402
import sasl  # noqa: E402

DOVECOT = {
    "users": {"alice": "wonderland", "bob": "builder"},
    "mechanisms": "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 anonymous",
    "files": {"masters": "boss:{PLAIN}secret\n"},
    "passdbs": """
passdb {
  driver = passwd-file
  args = {dir}/masters
  master = yes
  result_success = continue
}
""",
    "extra": """
auth_master_user_separator = *
auth_anonymous_username = guest
""",
}
SECRETS = ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
# What each lets an eavesdropper learn decides where it is offered (A.4).
IN_CLEAR = ["CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]


class Mechs(harness.SystemTest):
    dovecot_options = DOVECOT
    settings = "mail_max_userip_connections = 0"

    def connect(self, proto, tls):
        """tls: "implicit" or "start"."""
        if proto == "imap":
            c = self.imap(tls=tls == "implicit")
            if tls == "start":
                c.starttls()
            return c
        c = self.pop3(tls=tls == "implicit")
        if tls == "start":
            self.assertEqual("+OK", c.command("STLS")[:3])
            c.start_tls()
        return c

    def assert_inbox(self, c, user, size=1):
        """Logged in, as user: their mailbox answers."""
        if isinstance(c, harness.Imap):
            untagged, answer = c.command("STATUS INBOX (MESSAGES)")
            self.assertTrue(answer.startswith("OK"), answer)
            self.assertIn(f"* STATUS INBOX (MESSAGES {size})", untagged)
        else:
            self.assertRegex(c.command("STAT"), rf"^\+OK {size} ")
        self.gh.wait_log(rf"Login: user=<{re.escape(user)}>")

    def assert_good(self, proto, tls, mech, ir, user="alice", **who):
        mark = self.gh.mark()
        c = self.connect(proto, tls)
        word, text, status = sasl.authenticate(c, mech, ir, **who)
        self.assertIn(word, ("OK", "+OK"), text)
        self.assertEqual(0, status, "gsasl does not like what the server said")
        self.assert_inbox(c, user, 0 if user == "guest" else 1)
        m = self.gh.wait_log(r"Login: user=.*", after=mark).group()
        self.assertIn(f"method={mech}", m)
        self.assertIn("TLS", m)
        c.close()

    def assert_bad(self, proto, mech, ir, code="AUTHENTICATIONFAILED", **who):
        c = self.connect(proto, "implicit")
        word, text, _ = sasl.authenticate(c, mech, ir, **who)
        self.assertIn(word, ("NO", "-ERR"), text)
        self.assertIn(f"[{code}]" if proto == "imap" else "[AUTH]", text)
        # The connection is as good as new.
        word, text, _ = sasl.authenticate(c, "SCRAM-SHA-256")
        self.assertIn(word, ("OK", "+OK"), text)
        self.assert_inbox(c, "alice")
        c.close()

    def each(self, mechs=SECRETS, **who):
        for proto in ("imap", "pop3"):
            for tls in ("implicit", "start"):
                for mech in mechs:
                    for ir in (True, False):
                        with self.subTest(proto=proto, tls=tls, mech=mech, ir=ir):
                            self.assert_good(proto, tls, mech, ir, **who)

    def test_each(self):
        self.each()

    def test_each_with_a_wrong_password(self):
        for proto in ("imap", "pop3"):
            for mech in SECRETS:
                with self.subTest(proto=proto, mech=mech):
                    self.assert_bad(proto, mech, True, password="looking-glass")

    def test_anonymous(self):
        self.each(["ANONYMOUS"], user="guest", token="somebody@example.test")

    def test_master_user_in_the_name(self):
        for mech in ("PLAIN", "LOGIN"):
            for proto in ("imap", "pop3"):
                with self.subTest(proto=proto, mech=mech):
                    self.master(proto, mech)

    def master(self, proto, mech):
        c = self.connect(proto, "implicit")
        word, text, _ = sasl.authenticate(c, mech, user="bob*boss", password="secret")
        self.assertIn(word, ("OK", "+OK"), text)
        self.assert_inbox(c, "bob")

    def test_master_user_in_imap_login_and_pop3_pass(self):
        c = self.connect("imap", "implicit")
        answer = c.login("bob*boss", "secret")
        self.assertTrue(answer.startswith("OK"), answer)
        self.assert_inbox(c, "bob")
        c = self.connect("pop3", "implicit")
        self.assertEqual("+OK", c.login("bob*boss", "secret")[:3])
        self.assert_inbox(c, "bob")

    def test_master_user_by_authorization_id(self):
        for proto in ("imap", "pop3"):
            for tls in ("implicit", "start"):
                with self.subTest(proto=proto, tls=tls):
                    c = self.connect(proto, tls)
                    word, text, _ = sasl.authenticate(c, "PLAIN", user="boss", password="secret",
                                                      authzid="bob")
                    self.assertIn(word, ("OK", "+OK"), text)
                    self.assert_inbox(c, "bob")

    def test_who_is_no_master_becomes_nobody_else(self):
        for proto in ("imap", "pop3"):
            with self.subTest(proto=proto):
                self.assert_bad(proto, "PLAIN", True, user="alice", password="wonderland",
                                authzid="bob")

    def test_what_is_offered(self):
        """All that the auth server lists, less what the connection must not have."""
        c = self.imap()
        self.assertEqual(set(IN_CLEAR + ["ANONYMOUS"]), self.offered(c.greeting))
        self.assertIn("LOGINDISABLED", c.greeting)
        c.starttls()
        untagged, _ = c.command("CAPABILITY")
        self.assertEqual(set(SECRETS + ["ANONYMOUS"]), self.offered(untagged[0]))
        p = self.pop3()
        self.assertEqual(set(IN_CLEAR + ["ANONYMOUS"]), set(p.multiline("AUTH")[1]))
        p = self.pop3(tls=True)
        self.assertEqual(set(SECRETS + ["ANONYMOUS"]), set(p.multiline("AUTH")[1]))
        self.assertIn("SASL " + " ".join(p.multiline("AUTH")[1]), p.multiline("CAPA")[1])

    @staticmethod
    def offered(line):
        return set(re.findall(r"AUTH=([^] ]+)", line))

    def test_without_tls_what_does_not_show_the_password(self):
        for proto, mech in (("imap", "SCRAM-SHA-256"), ("pop3", "CRAM-MD5")):
            with self.subTest(proto=proto, mech=mech):
                c = self.imap() if proto == "imap" else self.pop3()
                word, text, status = sasl.authenticate(c, mech)
                self.assertIn(word, ("OK", "+OK"), text)
                self.assertEqual(0, status)
                self.assert_inbox(c, "alice")
        c = self.imap()
        word, text, _ = sasl.authenticate(c, "PLAIN")
        self.assertEqual("NO", word)
        self.assertIn("[PRIVACYREQUIRED]", text)

    @harness.needs_program("gsasl", "gsasl")
    def test_gsasl_itself(self):
        """Its own IMAP client, STARTTLS with the certificate checked."""
        for mech in SECRETS:
            with self.subTest(mech=mech):
                r = self.gsasl(mech, "wonderland")
                self.assertEqual(0, r.returncode, r.stdout + r.stderr)
                self.assertRegex(r.stdout, r"(?m)^\. OK .*Logged in")
                r = self.gsasl(mech, "looking-glass")
                self.assertNotRegex(r.stdout, r"(?m)^\. OK .*Logged in")

    def gsasl(self, mech, password):
        host, port = self.gh.server("imap")
        return subprocess.run(
            ["gsasl", "--imap", "--starttls", "--no-cb", "--x509-ca-file", self.gh.cert.cert,
             "-m", mech, "-a", "alice", "-p", password, "-r", "", "--quality-of-protection=qop-auth",
             "--hostname", "localhost", "--connect", f"{host}:{port}"],
            input="", capture_output=True, text=True, timeout=60)

    def test_curl(self):
        for scheme in ("imaps", "pop3s", "imap", "pop3"):
            for mech in ("PLAIN", "LOGIN", "CRAM-MD5"):
                for ir in ((), ("--sasl-ir",)):
                    with self.subTest(scheme=scheme, mech=mech, ir=ir):
                        self.curl(scheme, mech, ir)

    def curl(self, scheme, mech, extra):
        host, port = self.gh.server(scheme)
        mark = self.gh.mark()
        path = "INBOX;MAILINDEX=1" if scheme.startswith("imap") else "1"
        r = subprocess.run(
            ["curl", "-sS", "--ssl-reqd", "--cacert", self.gh.cert.cert, *extra, "-u",
             "alice:wonderland", "--login-options", f"AUTH={mech}",
             f"{scheme}://{host}:{port}/{path}"], capture_output=True, timeout=60)
        self.assertEqual(0, r.returncode, r.stderr)
        self.assertIn(b"Welcome", r.stdout)
        self.gh.wait_log(rf"Login: user=<alice>, method={mech},", after=mark)

    def test_client_gives_up(self):
        """"*" in the middle, in each mechanism that has a middle; then a good login."""
        for proto in ("imap", "pop3"):
            c = self.connect(proto, "implicit")
            for mech in SECRETS:
                with self.subTest(proto=proto, mech=mech):
                    _, word, text = sasl.say(c, mech)
                    self.assertIn(word, ("BAD", "-ERR"), text)
                    self.assertIn("Authentication aborted by client.", text)
            word, text, _ = sasl.authenticate(c, "SCRAM-SHA-256")
            self.assertIn(word, ("OK", "+OK"), text)


class FewMechs(Mechs):
    """The worker models differ in how they carry messages, not in the mechanisms."""

    def each(self, mechs=SECRETS, **who):
        for proto, tls, mech, ir in (("imap", "implicit", "SCRAM-SHA-256", True),
                                     ("pop3", "start", "LOGIN", False),
                                     ("pop3", "implicit", "DIGEST-MD5", False)):
            with self.subTest(proto=proto, tls=tls, mech=mech, ir=ir):
                self.assert_good(proto, tls, mech, ir, **who)

    test_each_with_a_wrong_password = test_anonymous = test_master_user_in_the_name = None
    test_master_user_in_imap_login_and_pop3_pass = test_master_user_by_authorization_id = None
    test_who_is_no_master_becomes_nobody_else = test_what_is_offered = None
    test_without_tls_what_does_not_show_the_password = test_gsasl_itself = test_curl = None


class MechsExec(FewMechs):
    settings = Mechs.settings + "\nworker_spawn = exec"


class MechsPooled(FewMechs):
    imap_login = pop3_login = "service_count = 0"


del FewMechs

if __name__ == "__main__":
    import unittest
    unittest.main()
