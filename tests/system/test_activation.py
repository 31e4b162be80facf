# check: also as an ordinary user
"""Sockets of the service manager (systemd socket activation)."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import gatehouse
import harness
from gatehouse import StartError, eventually
from harness import SystemTest

# As systemd does it: bound and listening before the program starts, from
# descriptor 3 on, with the pid of the process that executes it.
LAUNCH = """#!/usr/bin/python3 -B
import json, os, socket, sys
want = json.load(open({file!r}))
fds = []
for s in want["sockets"]:
    sock = socket.socket(socket.AF_INET6 if ":" in s[0] else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(tuple(s))
    sock.listen(16)
    fds.append(os.dup2(sock.fileno(), 50 + len(fds)))
    sock.close()
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)),
                  LISTEN_FDNAMES=":".join(want["names"]))
os.execv({program!r}, [{program!r}] + sys.argv[1:])
"""


def script(gh, name, text):
    path = os.path.join(gh.dir, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def activated(gh, *sockets):
    """gh will start with these listening sockets."""
    file = os.path.join(gh.dir, "sockets.json")
    with open(file, "w") as f:
        json.dump({"sockets": [list(s) for s in sockets], "names": ["mail"] * len(sockets)}, f)
    gh.program = script(gh, "launch", LAUNCH.format(
        file=file, program=os.path.join(gatehouse.TREE, "build/bin/gatehouse")))


class Activation(SystemTest):
    @classmethod
    def make_gatehouse(cls, **kw):
        gh = super().make_gatehouse(**kw)
        gh.v6 = ("::1", gatehouse.free_port(gh.address))
        gh.write_config(imap_login="inet_listener v6 {\n address = 0:0::1\n port = %d\n ssl = yes\n}"
                        % gh.v6[1])
        activated(gh, gh.server("imaps"), gh.v6, gh.server("pop3"))    # imap, pop3s: our own
        return gh

    def serves(self):
        self.logged_in().close()
        c = harness.Imap(self.gh.v6, tls=True)
        self.assertTrue(c.login().startswith("OK"))
        c.close()
        self.assertTrue(self.pop3(equal=True).login().startswith("+OK"))
        self.imap().close()

    def test_matched_and_kept(self):
        self.serves()
        self.assertEqual(self.gh.reload()[0], "ready: generation 2")
        self.serves()
        # Not dumpable: only root may look.
        for p in [self.gh.helper(n) for n in ("launcher", "auth", "keys") if harness.ROOT]:
            with open(f"/proc/{p.pid}/environ", "rb") as f:
                self.assertNotIn(b"LISTEN_", f.read())
        # A configuration that no longer names one of them does not count.
        before = self.gh.imap_login
        self.gh.write_config(imap_login="")
        m = self.gh.reload()[0]
        self.assertRegex(m, r"reload refused, everything stays as it is: the service manager passed a "
                         rf"socket for ::1 port {self.gh.v6[1]} \(mail\), but no inet_listener has this")
        self.serves()
        self.gh.write_config(imap_login=before)
        self.assertEqual(self.gh.reload()[0], "ready: generation 3")
        self.serves()

    def test_one_too_many(self):
        other = self.make_gatehouse()
        try:
            activated(other, other.server("imaps"), (other.address, gatehouse.free_port(other.address)))
            with self.assertRaises(StartError) as e:
                other.start()
            self.assertEqual(e.exception.status, 78, e.exception.log)
            self.assertRegex(e.exception.log, rf"passed a socket for {other.address} port \d+ \(mail\), but "
                             "no inet_listener")
        finally:
            other.close()

    @harness.needs_program("systemd-socket-activate", "systemd")
    def test_systemd_socket_activate(self):
        """The real thing starts us with the first connection, which is then served."""
        other = self.make_gatehouse()
        try:
            at = [f"--listen={a}:{p}" for a, p in (other.server("imaps"), other.server("imap"))]
            other.program = script(other, "launch", "#!/bin/sh\nexec %s %s %s \"$@\"\n" % (
                shutil.which("systemd-socket-activate"), " ".join(at),
                os.path.join(gatehouse.TREE, "build/bin/gatehouse")))
            other.start(wait=False)
            c = eventually(lambda: self.connect(other), 20)
            c.start_tls(harness.tls_context())
            self.assertTrue(c.line().startswith("* OK"))
            self.assertTrue(c.login().startswith("OK"))
            c.close()
            other.wait_log(r"ready: generation 1, \d listeners", 20)
        finally:
            other.close()

    @staticmethod
    def connect(gh):
        try:
            return harness.Imap(gh.server("imaps"), greet=False)
        except OSError:
            return None                 # it does not listen yet


class Units(unittest.TestCase):
    """packaging/systemd."""

    @harness.needs_program("systemd-analyze", "systemd")
    def test_systemd_reads_them(self):
        source = os.path.join(gatehouse.TREE, "packaging/systemd")
        with tempfile.TemporaryDirectory() as d:
            for name in ("gatehouse.service", "gatehouse.socket"):
                with open(os.path.join(source, name)) as f, open(os.path.join(d, name), "w") as out:
                    out.write(f.read().replace("/usr/bin/gatehouse", "/bin/true"))
            r = subprocess.run(["systemd-analyze", "verify", "--man=no", f"{d}/gatehouse.service",
                                f"{d}/gatehouse.socket"], capture_output=True, text=True, timeout=60)
        self.assertEqual((r.returncode, r.stdout + r.stderr), (0, ""))

    def test_they_are_the_default_listeners(self):
        with open(os.path.join(gatehouse.TREE, "packaging/systemd/gatehouse.socket")) as f:
            found = re.findall(r"^ListenStream=(.*)$", f.read(), re.M)
        self.assertEqual(sorted(found), sorted(f"{a}:{p}" for a in ("0.0.0.0", "[::]")
                                               for p in (143, 993, 110, 995)))


if __name__ == "__main__":
    unittest.main()
