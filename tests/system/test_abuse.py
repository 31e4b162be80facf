# check: also as an ordinary user
"""Clients that misbehave: nothing piles up, nobody spins, an honest login works."""

import os
import signal
import socket
import ssl
import struct
import time

import harness
from harness import SystemTest, eventually


class Abuse(SystemTest):
    settings = "default_process_limit = 200\nlogin_timeout = 20s"

    def fds(self):
        out = {}
        for name in ("launcher", "auth", "keys"):
            try:
                out[name] = len(os.listdir(f"/proc/{self.gh.helper(name).pid}/fd"))
            except PermissionError:
                self.skipTest("needs root: to count descriptors of non-dumpable processes")
        return out

    def connect(self, name):
        s = socket.create_connection(self.gh.server(name), 10)
        s.settimeout(10)
        return s

    def tls(self, s):
        context = ssl._create_unverified_context()
        return context.wrap_socket(s)

    @staticmethod
    def reset(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def silent_and_gone(self):
        self.connect("imaps").close()

    def reset_at_once(self):
        self.reset(self.connect("imaps"))

    def garbage(self):
        with self.connect("imaps") as s:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n" * 20)

    def half_a_hello(self):
        with self.connect("imaps") as s:
            s.sendall(bytes.fromhex("160301020001000200"))
            s.shutdown(socket.SHUT_WR)

    def reset_after_handshake(self):
        self.reset(self.tls(self.connect("imaps")))

    def huge_line(self):
        with self.connect("imap") as s:
            try:
                s.sendall(b"a" * 30000)
                while s.recv(4096):
                    pass
            except OSError:
                pass

    def half_closed(self):
        with self.connect("imap") as s:
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass

    def starttls_and_gone(self):
        with self.connect("imap") as s:
            s.recv(4096)
            s.sendall(b"a STARTTLS\r\n")

    def login_and_reset(self):
        s = self.tls(self.connect("imaps"))
        s.sendall(b"a LOGIN alice wonderland\r\n")
        self.reset(s)

    KINDS = ("silent_and_gone", "reset_at_once", "garbage", "half_a_hello",
             "reset_after_handshake", "huge_line", "half_closed", "starttls_and_gone",
             "login_and_reset")

    def test_nothing_piles_up(self):
        self.assert_serves()
        self.assertTrue(eventually(lambda: not self.gh.workers(), 30))
        before = self.fds()
        for kind in self.KINDS:
            for _ in range(25):
                getattr(self, kind)()
            self.assert_serves()
            self.assertTrue(eventually(lambda: not self.gh.workers(), 60),
                            f"workers left after {kind}: {self.gh.workers()}")
        self.assertTrue(eventually(lambda: all(
            n <= before[k] + 2 for k, n in self.fds().items()), 20), (before, self.fds()))

    def cpu_ticks(self, p):
        with open(f"/proc/{p.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def test_nobody_spins(self):
        """Idle, half-closed and waiting connections cost no CPU."""
        held = [self.connect("imaps"), self.tls(self.connect("imaps")), self.connect("imap")]
        half = self.connect("imaps")
        half.sendall(b"\x16")
        closing = self.logged_in()
        everyone = self.gh.process.descendants() + [self.gh.process]
        time.sleep(0.5)
        before = {p: self.cpu_ticks(p) for p in everyone if p.alive()}
        time.sleep(2)
        for p, ticks in before.items():
            if p.alive():
                self.assertLess(self.cpu_ticks(p) - ticks, 50, f"{p} spins")
        for s in held + [half]:
            s.close()
        closing.close()


class AbuseOfPool(Abuse):
    imap_login = "service_count = 0\n  process_min_avail = 1"

    def test_nothing_piles_up(self):
        self.assert_serves()
        worker = self.gh.logins()[0]
        before = self.fds()
        for kind in self.KINDS:
            for _ in range(25):
                getattr(self, kind)()
            self.assert_serves()
        self.assertTrue(worker.alive(), "the pooled worker died")
        self.assertTrue(eventually(lambda: all(
            n <= before[k] + 2 for k, n in self.fds().items()), 60), (before, self.fds()))

    def test_data_after_the_end_in_the_clear(self):
        """The auth client holds a plaintext client's socket as well: closing it does not
        take it out of epoll, and what comes afterwards is for nobody."""
        self.assert_serves()
        worker = next(p for p in self.gh.workers() if "imap" in p.argv())
        auth = self.gh.helper("auth")
        c = self.imap()
        auth.kill(signal.SIGSTOP)
        try:
            self.assertTrue(c.command("LOGOUT")[1].startswith("OK"))
            before = self.cpu_ticks(worker)
            for _ in range(20):
                c.send("x NOOP\r\n")
                time.sleep(0.05)
            self.assertLess(self.cpu_ticks(worker) - before, 30, "it spins, or looks at what is freed")
        finally:
            auth.kill(signal.SIGCONT)
        self.assert_serves()
        self.assertTrue(worker.alive(), "the pooled worker died")


if __name__ == "__main__":
    import unittest
    unittest.main()
