# check: also as an ordinary user
"""gatehouse confine with the policies of policy/examples: the program does its
work, and what it should not do is refused or kills it."""

import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import unittest

from certs import Certificate
from gatehouse import ROOT, TREE, eventually, own_address

GATEHOUSE = os.path.join(TREE, "build/bin/gatehouse")
EXAMPLES = os.path.join(TREE, "policy/examples")
PYTHON = "/usr/bin/python3"


class Example(unittest.TestCase):
    policy = ""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="gh-example.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir)
        os.chmod(self.dir, 0o755)

    def command(self, *argv, options=()):
        return [GATEHOUSE, "confine", *options, os.path.join(EXAMPLES, f"{self.policy}.policy"),
                "--", *argv]

    def confine(self, *argv, options=(), data=b"", **kw):
        return subprocess.run(self.command(*argv, options=options), input=data,
                              capture_output=True, cwd=self.dir, timeout=60,
                              env={"PATH": "/usr/bin:/bin"}, **kw)

    def put(self, name, data, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)
        return path

    def assert_killed(self, r):
        self.assertEqual(r.returncode, -signal.SIGSYS, r.stderr)
        self.assertIn(b"killed by SIGSYS", r.stderr)

    def test_every_layer_that_the_policy_names_holds(self):
        r = self.confine("true" if self.policy == "" else self.harmless[0], *self.harmless[1:],
                         options=["-v"])
        self.assertEqual(r.returncode, 0, r.stderr)
        said = r.stderr.decode()
        for layer in ("user namespace", "pid namespace", "ipc namespace", "capabilities",
                      "securebits", "rlimits", "no_new_privs", "outer seccomp", "landlock"):
            self.assertIn(f"{layer} enforced", said)
        if ROOT and self.policy != "openssl-server":
            self.assertIn("own ids enforced", said)


class Xz(Example):
    policy = "xz"
    harmless = ("xz", "--version")

    def setUp(self):
        super().setUp()
        self.plain = os.urandom(300000) + bytes(2000000)
        self.packed = subprocess.run(["xz"], input=self.plain, capture_output=True,
                                     check=True).stdout

    def test_decompresses(self):
        r = self.confine("xz", "-dc", data=self.packed)
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        self.assertEqual(r.stdout, self.plain)

    def test_into_a_file_of_the_callers(self):
        with open(os.path.join(self.dir, "out"), "wb") as out:
            p = subprocess.run(self.command("xz", "-d"), input=self.packed, stdout=out,
                               timeout=60, check=False)
        self.assertEqual(p.returncode, 0)
        with open(os.path.join(self.dir, "out"), "rb") as f:
            self.assertEqual(f.read(), self.plain)

    def test_status_is_passed_on(self):
        r = self.confine("xz", "-dc", data=b"this is no xz file")
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"not recognized", r.stderr)

    def test_opens_no_file(self):
        """Neither one that it names (with other flags than it may) nor any other."""
        path = self.put("secret.xz", self.packed)
        self.assert_killed(self.confine("xz", "-dc", path))
        self.assertTrue(os.path.exists(path))
        # --files opens a list of names with fopen: Landlock refuses
        r = self.confine("xz", "-dc", f"--files={path}")
        self.assertNotEqual(r.returncode, 0)
        self.assertIn(b"Permission denied", r.stderr)
        self.assertEqual(r.stdout, b"")

    def test_executes_nothing_else(self):
        r = self.confine("sh", "-c", "echo hello")
        self.assertNotIn(b"hello", r.stdout)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn(b"EACCES", r.stderr)


class OpensslServer(Example):
    policy = "openssl-server"
    harmless = ("openssl", "version")

    def setUp(self):
        super().setUp()
        self.address = own_address()
        self.cert = Certificate(self.dir, kind="p256", addresses=(self.address,))

    def server(self, accept=4433, key=None):
        return self.command("openssl", "s_server", "-4", "-www", "-accept",
                            f"{self.address}:{accept}", "-cert", os.path.basename(self.cert.cert),
                            "-key", key or os.path.basename(self.cert.key))

    def get(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        import socket
        try:
            with socket.create_connection((self.address, 4433), 10) as raw, \
                    context.wrap_socket(raw) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: s.recv(65536), b""))
        except ConnectionRefusedError:
            return b""

    def test_serves_and_passes_a_signal_on(self):
        with subprocess.Popen(self.server(), cwd=self.dir, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
            try:
                answer = eventually(self.get)
                self.assertIn(b"200 ok", answer or b"")
                self.assertIn(b"200 ok", self.get())
            finally:
                p.send_signal(signal.SIGTERM)
                out = p.communicate(timeout=30)[0]
        self.assertEqual(p.returncode, -signal.SIGTERM, out)

    def refused(self, argv, what):
        r = subprocess.run(argv, cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=60)
        self.assertIn(what, r.stderr)
        return r

    def test_binds_no_other_port(self):
        self.refused(self.server(accept=4434), b"bind:Permission denied")

    def test_reads_no_key_from_elsewhere(self):
        other = tempfile.mkdtemp(prefix="gh-example.", dir="/tmp")
        self.addCleanup(shutil.rmtree, other)
        path = Certificate(other).key
        with open(path, "rb"):
            pass                # we can
        self.refused(self.server(key=path), b"Permission denied")

    def test_connects_to_nothing(self):
        self.assert_killed(self.confine("openssl", "s_client", "-connect",
                                        f"{self.address}:4433"))

    def test_writes_nothing(self):
        self.assert_killed(self.confine("openssl", "rand", "-out", "x", "3"))
        self.assertFalse(os.path.exists(os.path.join(self.dir, "x")))


class Python(Example):
    policy = "python"
    harmless = (PYTHON, "-c", "")

    def python(self, code, **kw):
        return self.confine(PYTHON, "-I", "-c", code, **kw)

    def test_computes(self):
        r = self.python("import json, sys, random, re, datetime, time; random.random(); "
                        "time.sleep(0.01); datetime.datetime.now(); "
                        "print(json.dumps(sorted(map(int, re.findall('[0-9]+', sys.stdin.read())))))",
                        data=b"3 22 1")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"[1, 3, 22]\n", b""))

    def test_reads_its_directory(self):
        self.put("data", b"hello")
        r = self.python("print(open('data').read())")
        self.assertEqual((r.returncode, r.stdout), (0, b"hello\n"), r.stderr)

    def test_status_is_passed_on(self):
        self.assertEqual(self.python("raise SystemExit(7)").returncode, 7)

    def test_what_it_should_not_do(self):
        self.put("data", b"hello")
        for what in ("open('/etc/passwd')", "open('data', 'w')", "open('new', 'w')",
                     "__import__('socket').socket()", "__import__('os').fork()",
                     "__import__('os').kill(1, 9)", "__import__('os').unlink('data')",
                     "__import__('os').chmod('data', 0o777)", "__import__('os').listdir('/etc')",
                     "__import__('os').execv('/bin/sh', ['sh'])",
                     "__import__('os').setuid(0)", "__import__('os').mkdir('d')",
                     "__import__('os').symlink('a', 'b')"):
            with self.subTest(what):
                r = self.python(f"try:\n {what}\nexcept PermissionError: print('refused')")
                self.assertEqual((r.returncode, r.stdout), (0, b"refused\n"), r.stderr)
        self.assertEqual(sorted(os.listdir(self.dir)), ["data"])


del Example                     # its tests are the subclasses'

if __name__ == "__main__":
    unittest.main()
