"""A worker that went bad, in the tester's hands (puppet.c), inside a real gatehouse.

    class Abuse(puppet.PuppetTest):
        def test_it(self):
            p = self.puppet()
            p.ready()
            p.say("AUTH", "AUTH_START", 1, ...)
            p.assert_dropped("AUTH")

POP3 connections are puppets, IMAP is served honestly by the same processes.  While
each test runs honest logins go on beside it; the test fails if one of them does.
"""

import os
import shutil
import socket
import struct
import threading
import time

import harness
from auth_driver import BYE, FAIL, MSG, NAME, Fields, block, u8, u16, u32  # noqa: F401

FD = {"LOG": 2, "CLIENT": 3, "AUTH": 4, "SIGNER": 5, "MAIL": 6, "CONTROL": 7}
CHANNEL = {v: k for k, v in FD.items()}
EOF = "EOF"

# TLS 1.3 CertificateVerify of a server, with a SHA-256 transcript hash.
VERIFY = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
ECDSA_P256 = 0x0403


def message(name, ident=0, fields=b""):
    return struct.pack("<HHI", MSG[name] if isinstance(name, str) else name, 0, ident) + fields


class Puppet:
    """One connection whose worker obeys: write to its channels, see what comes."""

    def __init__(self, server, source=None, seconds=20):
        self.sock = socket.socket()
        self.sock.settimeout(seconds)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect(server)
        self.buf = b""
        self.events = []            # (channel, payload or EOF), in order
        self.results = []
        self.gone = False

    def close(self):
        self.sock.close()

    # ---- orders ----------------------------------------------------------------

    def order(self, op, fd=0, payload=b""):
        self.sock.sendall(struct.pack("<BBI", ord(op), fd, len(payload)) + payload)

    def write(self, channel, data):
        """write() once; bytes written, or minus errno; None if the worker is gone."""
        try:
            self.order("w", FD[channel], data)
        except OSError:
            return None
        return self._result()

    def flood(self, channel, data, count):
        """As often as it can be written, waiting for room; how often that was."""
        self.order("n", FD[channel], u32(count) + data)
        return self._result()

    def quiet(self, channel):
        self.order("q", FD[channel])

    def say(self, channel, name, ident=0, fields=b""):
        return self.write(channel, message(name, ident, fields))

    # ---- what comes ------------------------------------------------------------

    def _read(self):
        """One event into .events or .results; False: the worker is gone."""
        while True:
            if len(self.buf) >= 6:
                kind, fd, n = struct.unpack("<BBI", self.buf[:6])
                if len(self.buf) >= 6 + n:
                    data, self.buf = self.buf[6:6 + n], self.buf[6 + n:]
                    break
            try:
                more = self.sock.recv(1 << 16)
            except ConnectionResetError:
                more = b""
            if not more:
                self.gone = True
                return False
            self.buf += more
        if chr(kind) == "r":
            self.results.append(struct.unpack("<i", data)[0])
        else:
            self.events.append((CHANNEL[fd], EOF if chr(kind) == "e" else data))
        return True

    def _result(self):
        while not self.results:
            if not self._read():
                return None
        return self.results.pop(0)

    def next(self, channel, seconds=20):
        """The next that came on this channel: bytes or EOF; None: the worker is gone."""
        end = time.monotonic() + seconds
        while True:
            for i, (where, what) in enumerate(self.events):
                if where == channel:
                    del self.events[i]
                    return what
            self.sock.settimeout(max(end - time.monotonic(), 0.01))
            if not self._read():
                return None

    def message(self, channel, seconds=20):
        """(name, id, Fields), or (EOF, 0, None), or (None, 0, None)."""
        data = self.next(channel, seconds)
        if data is None or data == EOF:
            return data, 0, None
        kind, _, ident = struct.unpack("<HHI", data[:8])
        return NAME[kind], ident, Fields(data[8:])

    def silent(self, channel, seconds):
        """True if nothing comes on this channel for that long."""
        try:
            self.next(channel, seconds)
        except TimeoutError:
            return True
        return False

    # ---- what an honest worker would do ----------------------------------------

    def ready(self):
        """Waits for AUTH_READY; the names of the mechanisms."""
        name, _, f = self.message("AUTH")
        assert name == "AUTH_READY", name
        found = []
        for _ in range(f.u8()):
            found.append(f.block().decode())
            f.u8()
        return found

    def sign(self, tbs=VERIFY + b"h" * 32, scheme=ECDSA_P256, key=0, ident=1):
        """(status, signature); (EOF, b"") if the channel closes unanswered."""
        self.say("SIGNER", "SIGN_REQ", ident, u16(key) + u16(scheme) + block(tbs))
        name, got, f = self.message("SIGNER")
        if name == EOF:
            return EOF, b""
        assert (name, got) == ("SIGN_RES", ident), (name, got)
        return f.u8(), f.block()

    def start(self, mech="PLAIN", ir=None, ident=1):
        return self.say("AUTH", "AUTH_START", ident,
                        block(mech) + u8(ir is not None) + block(ir or b""))

    def login(self, user=b"alice", password=b"wonderland", ident=1):
        """The answer's name and, of AUTH_FAIL, its reason."""
        self.start("PLAIN", b"\0" + user + b"\0" + password, ident)
        name, _, f = self.message("AUTH")
        return name, FAIL[f.u8()] if name == "AUTH_FAIL" else None


class PuppetTest(harness.SystemTest):
    """tls_puppet: the connection counts as TLS from its first byte, and nobody
    shakes hands; the others come from an address that is not secured."""

    settings = "auth_max_attempts = 1000\nlogin_timeout = 120s"
    @classmethod
    def make_gatehouse(cls, **kw):
        gh = super().make_gatehouse(**kw)
        libexec = os.path.join(gh.dir, "libexec")
        shutil.copytree(os.path.join(harness.TREE, "build/libexec"), libexec)
        shutil.copy(os.path.join(harness.TREE, "build/puppet/gatehouse-login"), libexec)
        gh.write_config(settings=gh.settings + f"\nlibexec_dir = {libexec}")
        return gh

    def puppet(self, tls=True, equal=False):
        p = Puppet(self.gh.server("pop3s" if tls else "pop3"),
                   source=self.gh.address if equal else None)
        self.addCleanup(p.close)
        return p

    def signed(self, equal=False):
        """A puppet for which the signer has signed: TLS counts."""
        p = self.puppet(equal=equal)
        p.ready()
        self.assertEqual(p.sign()[0], 0)
        return p

    def assert_dropped(self, p, channel):
        """The peer has closed its end of this channel."""
        while (what := p.next(channel)) != EOF:
            self.assertIsNotNone(what, f"the worker is gone, {channel} was not closed")

    # ---- the honest ones beside it ----------------------------------------------

    def setUp(self):
        super().setUp()
        self.helpers = {n: self.gh.helper(n) for n in ("auth", "keys", "launcher")}
        self.honest_end = threading.Event()
        self.honest, self.broken = 0, []
        self.thread = threading.Thread(target=self._honest, daemon=True)
        self.thread.start()
        self.addCleanup(self._judge)

    def _honest(self):
        while True:
            try:
                with harness.Imap(self.gh.server("imaps"), tls=True, seconds=60) as c:
                    answer = c.login()
                    if not answer.startswith("OK"):
                        raise harness.ClientError(answer)
                    c.command("LOGOUT")
                self.honest += 1
            except (OSError, harness.ClientError) as e:
                self.broken.append(repr(e))
            if self.honest_end.wait(0.05):
                return

    def _judge(self):
        self.honest_end.set()
        self.thread.join(90)
        self.assertEqual(self.broken, [], "honest logins failed")
        self.assertGreater(self.honest, 0)
        for name, p in self.helpers.items():
            self.assertEqual(self.gh.helper(name), p, f"{name} was restarted")
