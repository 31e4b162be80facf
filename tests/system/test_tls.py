# check: also as an ordinary user
"""Names, protocols, versions, and hostile handshakes."""

import os
import socket
import ssl
import struct
import subprocess

import harness
from harness import Certificate, SystemTest, eventually


class Names(SystemTest):
    """local_name blocks: the certificate follows the name that the client asks for."""

    @classmethod
    def make_gatehouse(cls, **kw):
        gh = super().make_gatehouse(**kw)
        cls.one = Certificate(gh.dir, "one", names=("one.example.test",))
        cls.wild = Certificate(gh.dir, "wild", "rsa2048", names=("*.wild.example.test",))
        gh.write_config(settings=f"""
local_name one.example.test {{
  ssl_cert = <{cls.one.cert}
  ssl_key = <{cls.one.key}
}}
local_name *.wild.example.test {{
  ssl_cert = <{cls.wild.cert}
  ssl_key = <{cls.wild.key}
}}
""")
        return gh

    def served(self, sni):
        with harness.LineClient(self.gh.server("imaps"), tls=True, sni=sni) as c:
            return c.sock.getpeercert(True)

    def test_certificate_by_name(self):
        self.assertEqual(self.served("one.example.test"), self.one.der())
        self.assertEqual(self.served("ONE.Example.TEST"), self.one.der())
        self.assertEqual(self.served("a.wild.example.test"), self.wild.der())
        self.assertEqual(self.served("unknown.example.test"), self.gh.cert.der())
        self.assertEqual(self.served(None), self.gh.cert.der())

    def test_login_verifies(self):
        context = harness.tls_context(self.wild.cert)
        context.check_hostname = True
        with harness.Imap(self.gh.server("imaps"), tls=context, sni="x.wild.example.test") as c:
            self.assertTrue(c.login().startswith("OK"))

    def test_starttls_follows_the_name_too(self):
        c = self.imap()
        c.starttls(sni="one.example.test")
        self.assertEqual(c.sock.getpeercert(True), self.one.der())
        self.assertTrue(c.login().startswith("OK"))


class Protocols(SystemTest):
    def test_alpn(self):
        for service, client in (("imaps", harness.Imap), ("pop3s", harness.Pop)):
            right = "imap" if service == "imaps" else "pop3"
            with self.subTest(service):
                context = harness.tls_context(alpn=["h2", right])
                with client(self.gh.server(service), tls=context) as c:
                    self.assertEqual(c.sock.selected_alpn_protocol(), right)
                with self.assertRaises(ssl.SSLError) as e:
                    client(self.gh.server(service), tls=harness.tls_context(alpn=["h2"]))
                self.assertRegex(str(e.exception).lower(), "no.application.protocol")
                with client(self.gh.server(service), tls=True) as c:
                    self.assertIsNone(c.sock.selected_alpn_protocol())

    def test_old_versions_are_refused(self):
        for old in ("-tls1", "-tls1_1"):
            r = subprocess.run(["openssl", "s_client", old, "-cipher", "ALL:@SECLEVEL=0",
                                "-connect", "%s:%d" % self.gh.server("imaps")],
                               input="", capture_output=True, text=True, timeout=60)
            self.assertNotIn("* OK", r.stdout)
            self.assertNotEqual(r.returncode, 0)

    def test_both_new_versions(self):
        for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with harness.Imap(self.gh.server("imaps"), tls=harness.tls_context(None, v, v)) as c:
                self.assertEqual(c.sock.version(), v.name.replace("_", "."))
                self.assertTrue(c.login().startswith("OK"))

    def test_close_notify_at_the_end(self):
        c = self.imap(tls=True)
        c.command("LOGOUT")
        c.sock.suppress_ragged_eofs = False
        c.sock.settimeout(20)
        self.assertEqual(c.sock.recv(100), b"", "an end that is no truncation")

    def test_hello_in_tiny_pieces(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        o = harness.tls_context().wrap_bio(incoming, outgoing)
        c = self.keep(harness.LineClient(self.gh.server("imaps")))

        def pump(act):
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    for b in outgoing.read():
                        c.send(bytes([b]))
                    got = c.sock.recv(65536)
                    if not got:
                        raise harness.ClientError("end of connection") from None
                    incoming.write(got)
        pump(o.do_handshake)
        self.assertTrue(pump(lambda: o.read(4096)).startswith(b"* OK"))


class Minimum(SystemTest):
    settings = "ssl_min_protocol = TLSv1.3"

    def test_only_tls_1_3(self):
        context = harness.tls_context(maximum=ssl.TLSVersion.TLSv1_2)
        with self.assertRaises((ssl.SSLError, OSError)):
            harness.Imap(self.gh.server("imaps"), tls=context)
        self.assert_serves()


class Hostile(SystemTest):
    """Broken handshakes cost their connection and are no reason to die by a signal."""

    settings = "login_timeout = 5s\ndefault_process_limit = 500"

    def client_hello(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        o = harness.tls_context().wrap_bio(incoming, outgoing)
        try:
            o.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return outgoing.read()

    def test_mutated_hellos(self):
        hello = self.client_hello()
        mutants = [hello[:n] for n in range(1, len(hello), 37)]
        for i in range(0, len(hello), 3):
            mutants.append(hello[:i] + bytes([hello[i] ^ 0xff]) + hello[i + 1:])
        mutants += [b"GET / HTTP/1.0\r\n\r\n", b"a NOOP\r\n", b"\0" * 5000, os.urandom(5000),
                    b"\x16\x03\x01\x40\x00" + b"\x01" * 16384, b"\x80\x2e\x01\x03\x01" + b"A" * 44]
        for m in mutants:
            with harness.LineClient(self.gh.server("imaps"), seconds=60) as c:
                try:
                    c.send(m)
                    c.sock.shutdown(1)
                    c.rest(60)
                except OSError:
                    pass
        self.assert_serves()
        self.assertEqual(self.gh.find_log(r"signal \d+|SIGSYS|SIGSEGV|forbids"), [])

    def test_garbage_in_the_middle_of_the_session(self):
        for after_login in (False, True):
            c = self.imap(tls=True)
            if after_login:
                self.assertTrue(c.login().startswith("OK"))
            raw = os.dup(c.sock.fileno())
            try:
                os.write(raw, b"\x17\x03\x03\x00\x40" + b"x" * 64)
            finally:
                os.close(raw)
            c.rest(30)
        self.assert_serves()
        self.assertEqual(self.gh.find_log(r"signal \d+|SIGSYS|SIGSEGV|forbids"), [])

    def test_resets_at_every_stage(self):
        def reset(c):
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()
        for _ in range(5):
            c = harness.LineClient(self.gh.server("imaps"))
            c.send(self.client_hello()[:50])
            reset(c)
            reset(harness.Imap(self.gh.server("imaps"), tls=True))
            c = harness.Imap(self.gh.server("imaps"), tls=True)
            c.send("a LOGIN alice wonderland\r\n")
            reset(c)
            c = harness.Imap(self.gh.server("imaps"), tls=True)
            c.login()
            reset(c)
        self.assert_serves()
        self.assertTrue(eventually(lambda: not self.gh.workers()), self.gh.workers())
        self.assertTrue(eventually(lambda: not self.dovecot.helper("imap"), 60))
        self.assertEqual(self.gh.find_log(r"signal \d+|SIGSYS|SIGSEGV|forbids"), [])

    def test_renegotiation_is_refused(self):
        r = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect",
                            "%s:%d" % self.gh.server("imaps")],
                           input="R\n", capture_output=True, text=True, timeout=60)
        self.assertNotIn("verify return:1\nread R BLOCK\n* OK", r.stdout)
        self.assert_serves()
