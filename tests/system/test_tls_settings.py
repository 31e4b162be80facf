"""Encrypted keys, second certificates, curves and ciphers: the effect, and errors in words."""

import os
import subprocess

import harness
from certs import openssl
from harness import Certificate, StartError, SystemTest

EX_CONFIG = 78
VERSIONS = ("tls1_2", "tls1_3")
PASSWORD = "correct horse#1"


class Checked(SystemTest):
    started = False

    def changed(self, **changes):
        """Another gatehouse before the same Dovecot, not started."""
        gh = self.make_gatehouse()
        self.addCleanup(gh.close)
        gh.write_config(**changes)
        return gh

    def run_it(self, command, gh):
        return subprocess.run([gh.program, command, "-c", gh.conf], capture_output=True,
                              text=True, timeout=60)

    def assert_refused(self, gh, *words):
        """`gatehouse check` and a start say why, and end with 78."""
        r = self.run_it("check", gh)
        with self.assertRaises(StartError) as e:
            gh.start()
        for status, text in ((r.returncode, r.stdout + r.stderr),
                             (e.exception.status, e.exception.log)):
            self.assertEqual(status, EX_CONFIG, text)
            for w in words:
                self.assertIn(w, text)
            self.assertNotIn(PASSWORD, text)

    def assert_good(self, gh):
        r = self.run_it("check", gh)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        gh.start()
        with harness.Imap(gh.server("imaps"), tls=True) as c:
            self.assertTrue(c.login().startswith("OK"))

    @staticmethod
    def s_client(gh, *more):
        """What s_client says, a whole dialog later."""
        r = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % gh.server("imaps"),
                            "-crlf", "-ign_eof", *more], input="a LOGOUT\n",
                           capture_output=True, text=True, timeout=60)
        return r.stdout + r.stderr


def encrypted(cert, *how, password=PASSWORD, name="encrypted"):
    """The same certificate with its key in another file, encrypted."""
    path = f"{cert.key}.{name}"
    openssl(*how, "-in", cert.key, "-out", path, "-passout", f"pass:{password}")
    os.chmod(path, 0o600)
    return Certificate.existing(cert.cert, path)


class EncryptedKey(Checked):
    def secret(self, text, mode=0o600):
        path = os.path.join(self.gh.dir, "password")
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def test_forms(self):
        ec, rsa = self.gh.cert, Certificate(self.gh.dir, "rsa", "rsa2048")
        for i, (cert, how) in enumerate((
                (ec, ("pkcs8", "-topk8", "-v2", "aes-256-cbc")),
                (rsa, ("pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512")),
                (rsa, ("rsa", "-traditional", "-aes256")),
                (ec, ("ec", "-aes128")))):
            with self.subTest(how):
                gh = self.changed(cert=encrypted(cert, *how, name=str(i)),
                                  settings=f'ssl_key_password = "{PASSWORD}"')
                self.assert_good(gh)
                self.assertNotIn(PASSWORD, gh.text())

    def test_password_from_a_file(self):
        path = self.secret(PASSWORD + "\n")
        cert = encrypted(self.gh.cert, "pkcs8", "-topk8")
        self.assert_good(self.changed(cert=cert, settings=f"ssl_key_password = <{path}"))
        self.assert_refused(self.changed(cert=cert, settings="ssl_key_password = </nonexistent"),
                            "/nonexistent")
        self.secret(PASSWORD, 0o644)
        self.assert_refused(self.changed(cert=cert, settings=f"ssl_key_password = <{path}"),
                            path, "read by everybody")
        self.secret("\n")
        self.assert_refused(self.changed(cert=cert, settings=f"ssl_key_password = <{path}"),
                            path, "no password")

    def test_wrong_and_missing(self):
        cert = encrypted(self.gh.cert, "pkcs8", "-topk8")
        self.assert_refused(self.changed(cert=cert, settings="ssl_key_password = wrong"),
                            cert.key, "not with ssl_key_password")
        self.assert_refused(self.changed(cert=cert), cert.key, "there is no ssl_key_password")

    def test_is_not_shown(self):
        gh = self.changed(cert=encrypted(self.gh.cert, "pkcs8", "-topk8"),
                          settings=f'ssl_key_password = "{PASSWORD}"')
        for command in ("config", "check"):
            r = self.run_it(command, gh)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertNotIn(PASSWORD, r.stdout + r.stderr)
        self.assertIn("(hidden)", self.run_it("config", gh).stdout)
        path = self.secret(PASSWORD)
        gh.write_config(settings=f"ssl_key_password = <{path}")
        self.assertIn(f"ssl_key_password = <{path}", self.run_it("config", gh).stdout)
        gh.write_config(settings="ssl_key_password = " + "sesame" * 100)
        r = self.run_it("config", gh)
        self.assertEqual(r.returncode, EX_CONFIG)
        self.assertIn("too long", r.stderr)
        self.assertNotIn("sesame", r.stderr)

    def test_each_name_has_its_own(self):
        one = encrypted(Certificate(self.gh.dir, "one", names=("one.test",)), "pkcs8", "-topk8",
                        password="of one")
        two = encrypted(Certificate(self.gh.dir, "two", names=("two.test",)), "pkcs8", "-topk8")
        gh = self.changed(cert=encrypted(self.gh.cert, "pkcs8", "-topk8"), settings=f"""
ssl_key_password = "{PASSWORD}"
local_name one.test {{
  ssl_cert = <{one.cert}
  ssl_key = <{one.key}
  ssl_key_password = "of one"
}}
local_name two.test {{
  ssl_cert = <{two.cert}
  ssl_key = <{two.key}
}}
""")
        self.assert_good(gh)
        for name, cert in (("one.test", one), ("two.test", two), (None, gh.cert)):
            with harness.Imap(gh.server("imaps"), tls=True, sni=name) as c:
                self.assertEqual(c.sock.getpeercert(True), cert.der())

    def test_signer_that_was_killed_gets_it_again(self):
        gh = self.changed(cert=encrypted(self.gh.cert, "pkcs8", "-topk8"),
                          settings=f'ssl_key_password = "{PASSWORD}"')
        self.assert_good(gh)
        mark = gh.mark()
        gh.helper("keys").kill(9)
        gh.wait_log("key .*fits", 30, mark)
        with harness.Imap(gh.server("imaps"), tls=True) as c:
            self.assertTrue(c.login().startswith("OK"))


class SecondCertificate(Checked):
    """ECDSA and RSA for the same name: the client's signature algorithms choose."""

    def test_both_in_both_versions(self):
        rsa = Certificate(self.gh.dir, "rsa", "rsa2048", names=("mx.test",))
        other = Certificate(self.gh.dir, "other", "p384", names=("other.test",))
        other_rsa = Certificate(self.gh.dir, "other_rsa", "rsa2048", names=("other.test",))
        gh = self.changed(settings=f"""
ssl_alt_cert = <{rsa.cert}
ssl_alt_key = <{rsa.key}
local_name other.test {{
  ssl_cert = <{other.cert}
  ssl_key = <{other.key}
  ssl_alt_cert = <{other_rsa.cert}
  ssl_alt_key = <{other_rsa.key}
}}
""")
        self.assert_good(gh)
        for sni, ec, ecdsa, rsa_cert in (
                (None, gh.cert, "ECDSA+SHA256", rsa), ("other.test", other, "ECDSA+SHA384",
                                                       other_rsa)):
            name = ["-servername", sni] if sni else ["-noservername"]
            for version in VERSIONS:
                for algs, cert, kind in ((ecdsa, ec, "ECDSA"), ("RSA-PSS+SHA256", rsa_cert, "RSA"),
                                         ("RSA+SHA256:RSA-PSS+SHA512", rsa_cert, "RSA")):
                    with self.subTest(sni=sni, version=version, algs=algs):
                        out = self.s_client(gh, f"-{version}", "-sigalgs", algs, *name)
                        self.assertIn("* OK", out)
                        self.assertRegex(out, rf"Peer signature type: {kind}")
                        der = "".join(out.split("-----BEGIN CERTIFICATE-----")[1]
                                      .split("-----END")[0].split())
                        with open(cert.cert) as f:
                            self.assertIn(der, "".join(f.read().split()))

    def test_two_of_one_type(self):
        """The later one would replace the other in silence."""
        second = Certificate(self.gh.dir, "second")
        gh = self.changed(settings=f"ssl_alt_cert = <{second.cert}\nssl_alt_key = <{second.key}")
        self.assert_refused(gh, second.cert, "type")

    def test_certificate_without_key(self):
        second = Certificate(self.gh.dir, "lonely", "rsa2048")
        self.assert_refused(self.changed(settings=f"ssl_alt_cert = <{second.cert}"),
                            "come together")


class CurvesAndCiphers(Checked):
    def test_curve_list(self):
        gh = self.changed(settings="ssl_curve_list = P-384:P-521")
        self.assert_good(gh)
        for version in VERSIONS:
            for group, name in (("P-384", "secp384r1"), ("P-521", "secp521r1")):
                # In TLS 1.2 the certificate's curve has to be among the groups, too.
                out = self.s_client(gh, f"-{version}", "-groups", f"{group}:P-256")
                self.assertRegex(out, rf"Server Temp Key: ECDH, {name}")
                self.assertIn("* OK", out)
            out = self.s_client(gh, f"-{version}", "-groups", "X25519")
            self.assertNotIn("* OK", out)
        # The client's key share is of another group: HelloRetryRequest.
        self.assertIn("secp384r1", self.s_client(gh, "-groups", "X25519:P-384"))
        self.assertEqual(gh.find_log(r"signal \d+|SIGSYS|forbids"), [])

    def test_cipher_list(self):
        gh = self.changed(settings="ssl_cipher_list = ECDHE-ECDSA-AES128-GCM-SHA256:AES256-SHA")
        self.assert_good(gh)
        self.assertIn("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256", self.s_client(gh, "-tls1_2"))
        for other in ("ECDHE-ECDSA-AES256-GCM-SHA384", "AES256-SHA"):
            self.assertNotIn("* OK", self.s_client(gh, "-tls1_2", "-cipher", other))

    def test_cipher_suites(self):
        gh = self.changed(settings="ssl_cipher_suites = TLS_CHACHA20_POLY1305_SHA256")
        self.assert_good(gh)
        self.assertIn("Cipher is TLS_CHACHA20_POLY1305_SHA256", self.s_client(gh, "-tls1_3"))
        self.assertNotIn("* OK", self.s_client(gh, "-tls1_3", "-ciphersuites",
                                               "TLS_AES_256_GCM_SHA384"))

    def test_prefer_server_ciphers(self):
        ours, theirs = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
        for prefer, used in (("no", theirs), ("yes", ours)):
            gh = self.changed(settings=f"ssl_prefer_server_ciphers = {prefer}\n"
                                       f"ssl_cipher_list = {ours}:{theirs}")
            self.assert_good(gh)
            self.assertIn(f"Cipher is {used}", self.s_client(gh, "-tls1_2", "-cipher",
                                                             f"{theirs}:{ours}"))

    def test_nonsense(self):
        for setting, value in (("ssl_curve_list", "P-256:no-such-curve"),
                               ("ssl_cipher_list", "no-such-cipher"),
                               ("ssl_cipher_list", "AES256-SHA"),
                               ("ssl_cipher_suites", "TLS_NO_SUCH_SUITE"),
                               ("ssl_cipher_suites", "TLS_AES_256_GCM_SHA384:TLS_NO_SUCH"),
                               ("ssl_prefer_server_ciphers", "perhaps"),
                               ("ssl_min_protocol", "TLSv1.1"),
                               ("ssl_session_lifetime", "8d"),
                               ("ssl_session_lifetime", "soon"),
                               ("ssl_max_signature_rate", "1000001")):
            with self.subTest(setting=setting, value=value):
                self.assert_refused(self.changed(settings=f"{setting} = {value}"), setting, value)

    def test_a_reload_with_nonsense_changes_nothing(self):
        gh = self.changed()
        self.assert_good(gh)
        gh.write_config(settings="ssl_cipher_list = no-such-cipher")
        self.assertIn("refused", gh.reload()[0])
        with harness.Imap(gh.server("imaps"), tls=True) as c:
            self.assertTrue(c.login().startswith("OK"))
