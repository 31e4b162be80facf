"""Client certificates and EXTERNAL: what the worker finds out about a certificate decides
where a site has turned it on, and nowhere else."""

import os
import shutil
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import harness  # noqa: E402
import sasl  # noqa: E402
import test_resume  # noqa: E402
from certs import openssl  # noqa: E402
from clientca import ClientCA  # noqa: E402

PAST = ("-startdate", "200101000000Z", "-enddate", "200201000000Z")
FUTURE = ("-startdate", "400101000000Z", "-enddate", "400201000000Z")
EXTERNAL = {
    "users": {"alice": "wonderland", "bob": "builder"},
    "mechanisms": "plain external",
    "passdbs": """
passdb {
  driver = static
  mechanisms = external
  args = nopassword=y
}
""",
    "extra": "auth_ssl_username_from_cert = yes\n",
}


class Certs(harness.SystemTest):
    dovecot_options = EXTERNAL
    more = "auth_ssl_username_from_cert = yes"
    crl = True

    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="ghca", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.tmp, True)
        ca, other = ClientCA(f"{cls.tmp}/ca"), ClientCA(f"{cls.tmp}/other", "Client CA")
        cls.certs = {"good": ca.issue("/CN=alice"),
                     "rsa": ca.issue("/CN=alice", "rsa2048"),
                     "p384": ca.issue("/CN=alice", "p384"),
                     "ed25519": ca.issue("/CN=alice", "ed25519"),
                     "expired": ca.issue("/CN=alice", dates=PAST),
                     "future": ca.issue("/CN=alice", dates=FUTURE),
                     "revoked": ca.issue("/CN=alice"),
                     "nameless": ca.issue("/OU=alice"),
                     "two names": ca.issue("/CN=alice/CN=bob"),
                     "other": other.issue("/CN=alice"),
                     None: None}
        ca.revoke(cls.certs["revoked"][0])
        cls.ca = ca
        cls.settings = (f"ssl_verify_client_cert = yes\nssl_ca = <{ca.ca_file(cls.crl)}\n"
                        + ("" if cls.crl else "ssl_require_crl = no\n") + cls.more)
        super().setUpClass()

    def connect(self, which, proto="imap", maximum=None):
        context = harness.tls_context(maximum=maximum)
        if self.certs[which]:
            context.load_cert_chain(*self.certs[which])
        make = harness.Imap if proto == "imap" else harness.Pop
        return self.keep(make(self.gh.server(proto + "s"), tls=context))

    def external(self, which, **kw):
        """The tagged word of EXTERNAL with an empty initial response."""
        c = self.connect(which, **kw)
        _, word, text = sasl.say(c, "EXTERNAL", b"")
        return c, word, text


class External(Certs, test_resume.Resuming):
    def test_good(self):
        for which in ("good", "rsa", "p384", "ed25519"):
            for proto in ("imap", "pop3"):
                for maximum in (None, ssl.TLSVersion.TLSv1_2):
                    with self.subTest(which=which, proto=proto, maximum=maximum):
                        mark = self.gh.mark()
                        _, word, text = self.external(which, proto=proto, maximum=maximum)
                        self.assertIn(word, ("OK", "+OK"), text)
                        self.gh.wait_log("Login: user=<alice>, method=EXTERNAL", after=mark)

    def test_bad_ones_log_nobody_in(self):
        """The handshake goes on, EXTERNAL does not, a password does."""
        for which in ("expired", "future", "revoked", "other", "nameless", "two names", None):
            for maximum in (None, ssl.TLSVersion.TLSv1_2):
                with self.subTest(which=which, maximum=maximum):
                    c, word, text = self.external(which, maximum=maximum)
                    self.assertEqual("NO", word, text)
                    self.assertTrue(c.login().startswith("OK"))

    def test_name_cannot_be_chosen(self):
        for which in ("expired", "other", None):
            with self.subTest(which=which):
                c = self.connect(which)
                _, word, text = sasl.say(c, "EXTERNAL", b"alice")
                self.assertEqual("NO", word, text)
        c = self.connect("good")
        _, word, text = sasl.say(c, "EXTERNAL", b"bob")
        if word == "OK":            # Dovecot lets the certificate's name win
            self.gh.wait_log("Login: user=<alice>, method=EXTERNAL")
            self.assertEqual([], self.gh.find_log("user=<bob>"))

    def test_certificate_replaces_the_name(self):
        c = self.connect("good")
        self.assertTrue(c.login("bob", "wonderland").startswith("OK"))
        self.assertFalse(self.connect("good").login("bob", "builder").startswith("OK"))

    def test_curl(self):
        cert, key = self.certs["good"]
        for scheme in ("imaps", "pop3s"):
            host, port = self.gh.server(scheme)
            r = subprocess.run(
                ["curl", "-sS", "--cacert", self.gh.cert.cert, "--cert", cert, "--key", key, "-u",
                 "alice:", "--login-options", "AUTH=EXTERNAL", "--sasl-ir",
                 f"{scheme}://{host}:{port}/" + ("INBOX;MAILINDEX=1" if "imap" in scheme else "1")],
                capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
            self.assertEqual(0, r.returncode, r.stderr)
            self.assertIn(b"Welcome", r.stdout)

    def test_no_resumption(self):
        """A resumed session would carry an old verdict.  (That s_client does resume, and
        says so, is shown in test_resume.)"""
        for version in test_resume.VERSIONS:
            for which in ("good", "expired", None):
                with self.subTest(version=version, which=which):
                    own = ("-cert", self.certs[which][0], "-key", self.certs[which][1]) \
                        if which else ()
                    keep = self.path(f"{version}-{which}")
                    self.assertFalse(self.s_client("imaps", version, *own, keep=keep))
                    if not os.path.exists(keep):
                        continue        # there is nothing to resume
                    self.assertNotRegex(openssl("sess_id", "-in", keep, "-noout", "-text"),
                                        "TLS session ticket:")
                    self.assertFalse(self.s_client("imaps", version, *own, use=keep))

    def check(self, status, words, settings):
        gh = self.make_gatehouse(settings=settings)
        try:
            got, said = gh.command("check")
        finally:
            gh.close()
        self.assertEqual(status, got, said)
        self.assertRegex(said, words)

    def test_check(self):
        """It says that certificates widen trust, and what it does not start with."""
        on = "ssl_verify_client_cert = yes\n"
        with_crl = on + f"ssl_ca = <{self.ca.ca_file()}\n"
        without = on + f"ssl_ca = <{self.ca.ca_file(crl=False)}\n"
        trust = "verified by the login worker, and what it says is believed: a worker that a " \
            "client has taken over can claim any certificate's name"
        self.check(0, trust, with_crl)
        self.check(0, trust, without + "ssl_require_crl = no")
        self.check(0, r"(?s)\A(?!.*client certificates)", "")
        self.check(78, "ssl_verify_client_cert = yes needs ssl_ca", on)
        self.check(78, r"(?s)has no CRL, so that every client certificate would be refused.*"
                       r"ssl_require_crl = no", without)
        self.check(78, "ssl_cert_username_field: nickname is no field of a name",
                   with_crl + "ssl_cert_username_field = nickname")
        self.check(78, "has no PEM certificate", on + f"ssl_ca = <{self.certs['good'][1]}")
        for name in ("auth_ssl_require_client_cert", "auth_ssl_username_from_cert"):
            self.check(78, f"{name} = yes needs ssl_verify_client_cert = yes", f"{name} = yes")


class Required(Certs):
    dovecot_options = dict(EXTERNAL, extra="auth_ssl_require_client_cert = yes\n")
    more = "auth_ssl_require_client_cert = yes"

    def refused(self, which, words):
        mark = self.gh.mark()
        c = self.connect(which)
        answer = c.login()
        self.assertIn("NO", answer)
        self.assertIn("Client didn't present valid SSL certificate", answer)
        c.command("LOGOUT")
        self.gh.wait_log(rf"Disconnected: .*\({words}\)", after=mark)

    def test_required(self):
        self.assertTrue(self.connect("good").login().startswith("OK"))
        for which in ("expired", "revoked", "other"):
            with self.subTest(which=which):
                self.refused(which, "client sent an invalid cert")
        self.refused(None, "client didn't send a cert")

    def test_before_tls(self):
        c = self.imap(equal=True)   # counts as secured
        self.assertIn("NO", c.login())
        c.command("LOGOUT")
        self.gh.wait_log(r"\(cert required, client didn't start TLS\)")


class NoCrl(Certs):
    crl = False

    def test_revocation_is_not_looked_at(self):
        self.assertEqual("OK", self.external("revoked")[1])
        self.assertEqual("NO", self.external("expired")[1])

    def present(self, name, *parts):
        """A client that sends these certificates."""
        path = f"{self.tmp}/{name}.pem"
        with open(path, "w") as out:
            for part in parts:
                with open(part) as f:
                    out.write(f.read())
        self.certs[name] = (path, self.chain_key)

    def test_long_chains(self):
        """Eight intermediates are followed; more are no valid certificate.  Above 32 KiB
        the handshake ends.  Nobody else notices."""
        cas, key = self.ca.chain(9)
        self.chain_key = key
        for n in (8, 9):
            leaf = self.ca.sign(f"leaf{n}", "/CN=alice", key, (cas[n - 1], key))
            self.present(f"chain {n}", leaf, *cas[n - 1::-1])
        one = self.ca.sign("leaf1", "/CN=alice", key, (cas[0], key))
        self.present("missing", one)
        with open(cas[0]) as f:
            size = 3 + len(ssl.PEM_cert_to_DER_cert(f.read())) + 2  # TLS 1.3: extensions
        self.present("large", one, *[cas[0]] * (31 * 1024 // size))
        self.present("too large", one, *[cas[0]] * (34 * 1024 // size))
        honest = self.connect("good")
        for maximum in (None, ssl.TLSVersion.TLSv1_2):
            for which, word in (("chain 8", "OK"), ("chain 9", "NO"), ("missing", "NO"),
                                ("large", "OK")):
                with self.subTest(which=which, maximum=maximum):
                    c, got, text = self.external(which, maximum=maximum)
                    self.assertEqual(word, got, text)
                    if word == "NO":
                        self.assertTrue(c.login().startswith("OK"))
            mark = self.gh.mark()
            with self.assertRaises((OSError, harness.ClientError)):
                self.connect("too large", maximum=maximum)
            self.gh.wait_log("excessive message size|TLS handshaking: SSL_accept.. failed", after=mark)
        self.assertTrue(honest.login().startswith("OK"))
        self.assertFalse(self.gh.find_log("killed with signal|template retired"))


class Off(Certs):
    """The default: no certificate is asked for, so none is believed."""

    @classmethod
    def make_gatehouse(cls, **kw):
        return super().make_gatehouse(settings="")

    def test_off(self):
        c, word, text = self.external("good")
        self.assertEqual("NO", word, text)
        self.assertTrue(c.login().startswith("OK"))


class CertsExec(Certs):
    @classmethod
    def setUpClass(cls):
        cls.more = Certs.more + "\nworker_spawn = exec"
        super().setUpClass()

    def test_good_and_bad(self):
        for maximum in (None, ssl.TLSVersion.TLSv1_2):
            for which in ("good", "rsa", "ed25519"):
                self.assertEqual("OK", self.external(which, maximum=maximum)[1], which)
            for which in ("expired", "revoked", "other", None):
                self.assertEqual("NO", self.external(which, maximum=maximum)[1], which)
        self.assertEqual([], self.gh.find_log("died of signal"))


class CertsPooled(CertsExec):
    imap_login = "service_count = 0"


if __name__ == "__main__":
    import unittest
    unittest.main()
