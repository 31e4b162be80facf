"""Channel binding through the whole of gatehouse: a scripted auth server of minor version 3
(Debian 12's Dovecot has 2) asks for it, gsasl or Python computes the client's own."""

import base64
import hashlib
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import harness  # noqa: E402
import sasl  # noqa: E402
from dovecot import make_directory, remove_tree  # noqa: E402

PLUS = "SCRAM-SHA-256-PLUS"


class AuthServer:
    """Speaks 2.4's protocol as far as a SCRAM client's second message, then says no: what the
    client claims ("c=") and what gatehouse said about the channel are in .seen."""

    def __init__(self):
        self.dir = make_directory("/tmp")
        self.seen, self.auths, self.minors = [], [], []
        self.in_band = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{self.dir}/login")
        os.chmod(f"{self.dir}/login", 0o666)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        conn.sendall(b"VERSION\t1\t3\n")
        state = {}
        with conn, conn.makefile("r", newline="\n") as lines:
            for line in lines:
                word, *args = line.rstrip("\n").split("\t")
                if word == "VERSION":
                    self.minors.append(int(args[1]))
                elif word == "CPID":
                    conn.sendall(f"MECH\t{PLUS}\tmutual-auth\tchannel-binding\n"
                                 "MECH\tPLAIN\tplaintext\nSPID\t7\nCUID\t1\n"
                                 f"COOKIE\t{'0' * 32}\nDONE\n".encode())
                elif word == "AUTH":
                    self.auths.append(args)
                    resp = args[-1].removeprefix("resp=") if args[-1].startswith("resp=") else None
                    state[args[0]] = {"first": resp}
                    conn.sendall(self.begin(args[0], state[args[0]]))
                elif word == "CONT":
                    conn.sendall(self.go_on(args[0], state[args[0]], args[1:]))

    def begin(self, ident, s):
        if s["first"] is None:
            return f"CONT\t{ident}\t\n".encode()
        s["first"] = base64.b64decode(s["first"]).decode()
        s["type"] = re.match(r"p=([^,]*),", s["first"])[1]
        if self.in_band:
            return self.server_first(ident, s, f"\tchannel_binding={s['type']}")
        return f"CONT\t{ident}\t#\tchannel_binding={s['type']}\n".encode()

    def server_first(self, ident, s, more=""):
        nonce = re.search(r",r=([^,]*)", s["first"])[1]
        challenge = sasl.b64(f"r={nonce}server,s={sasl.b64('salt')},i=4096")
        return f"CONT\t{ident}\t{challenge}{more}\n".encode()

    def go_on(self, ident, s, args):
        if s["first"] is None:
            s["first"] = args[0]
            return self.begin(ident, s)
        for a in args[1:]:
            if a.startswith("channel_binding="):
                s["channel"] = base64.b64decode(a.split("=", 1)[1])
        if args[0] == "#":
            return self.server_first(ident, s)
        final = base64.b64decode(args[0]).decode()
        header, _, data = base64.b64decode(re.match(r"c=([^,]*)", final)[1]).partition(b",,")
        self.seen.append((s["type"], header.decode(), data, s["channel"]))
        return f"FAIL\t{ident}\treason=seen\n".encode()

    def close(self):
        self.listener.close()
        remove_tree(self.dir)


class Binding(unittest.TestCase):
    settings = ""
    login = ""

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(harness.SystemTest.no_orphans)
        cls.auth = AuthServer()
        cls.addClassCleanup(cls.auth.close)
        cls.gh = harness.Gatehouse(cls.auth.dir, settings=cls.settings, imap_login=cls.login,
                                   pop3_login=cls.login)
        cls.addClassCleanup(cls.gh.close)
        cls.gh.start()

    def setUp(self):
        self.auth.seen.clear()
        self.auth.in_band = False

    @classmethod
    def logs(cls):
        return "\n".join(cls.gh.lines[-40:])

    def gsasl(self, version):
        """GnuTLS' idea of the channel against ours."""
        host, port = self.gh.server("imap")
        r = subprocess.run(
            ["gsasl", "--imap", "--starttls", "--x509-ca-file", self.gh.cert.cert, "-m", PLUS,
             "-a", "alice", "-p", "wonderland", "--hostname", "localhost",
             f"--priority=NORMAL:-VERS-ALL:+VERS-{version}", "--connect", f"{host}:{port}"],
            input="", capture_output=True, text=True, timeout=60)
        self.assertIn("NO [ALERT] seen", r.stdout, r.stderr)
        (kind, header, said, channel), = self.auth.seen
        self.assertEqual(f"p={kind}", header)
        self.assertEqual(said, channel)
        return kind, channel

    @harness.needs_program("gsasl", "gsasl")
    def test_gsasl(self):
        """It takes what the RFCs name for the version of TLS."""
        for version, want, length in (("TLS1.3", "tls-exporter", 32),
                                      ("TLS1.2", "tls-unique", 12)):
            for in_band in (False, True):
                with self.subTest(version=version, in_band=in_band):
                    self.auth.seen.clear()
                    self.auth.in_band = in_band
                    kind, channel = self.gsasl(version)
                    self.assertEqual((want, length), (kind, len(channel)))

    def end_point(self, c):
        """The certificate is signed with SHA-256."""
        want = hashlib.sha256(ssl.PEM_cert_to_DER_cert(open(self.gh.cert.cert).read())).digest()
        challenges, word, text = sasl.say(
            c, PLUS, b"p=tls-server-end-point,,n=alice,r=abc",
            b"c=" + base64.b64encode(b"p=tls-server-end-point,," + want) + b",r=abcserver,p=AAAA")
        self.assertIn(word, ("NO", "-ERR"), text)
        self.assertIn("seen", text)
        self.assertEqual(1, len(challenges))
        self.assertEqual([("tls-server-end-point", "p=tls-server-end-point", want, want)],
                         self.auth.seen)

    def test_end_point(self):
        for proto in ("imap", "pop3"):
            for in_band in (False, True):
                with self.subTest(proto=proto, in_band=in_band):
                    self.auth.seen.clear()
                    self.auth.in_band = in_band
                    make = harness.Imap if proto == "imap" else harness.Pop
                    with make(self.gh.server(proto + "s"), tls=True) as c:
                        self.end_point(c)

    def test_type_that_does_not_exist(self):
        with harness.Imap(self.gh.server("imaps"), tls=True) as c:
            for kind in ("tls-unique", "tls-something"):    # over TLS 1.3
                _, word, text = sasl.say(c, PLUS, f"p={kind},,n=alice,r=abc".encode())
                self.assertEqual("NO", word)
                self.assertIn(f"Channel binding {kind} is not available.", text)
            self.end_point(c)       # and the connection goes on

    def test_only_over_tls(self):
        with harness.Imap(self.gh.server("imap")) as c:
            self.assertNotIn(f"AUTH={PLUS}", c.greeting)
            before = len(self.auth.auths)
            _, word, text = sasl.say(c, PLUS, b"p=tls-exporter,,n=alice,r=abc")
            self.assertEqual("NO", word)
            self.assertIn("Unsupported authentication mechanism", text)
            self.assertEqual(before, len(self.auth.auths))
            c.starttls()
            self.assertIn(f"AUTH={PLUS}", c.command("CAPABILITY")[0][0])
        self.assertEqual({3}, set(self.auth.minors))


class BindingExec(Binding):
    settings = "worker_spawn = exec"


class BindingPooled(Binding):
    login = "service_count = 0"


if __name__ == "__main__":
    unittest.main()
