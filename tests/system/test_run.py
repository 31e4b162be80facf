# check: also as an ordinary user
"""make run: starts, shows, serves, and ends without a trace."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from dovecot import remove_tree
from harness import TREE, own_address
from procs import Process, wait_gone


class Run(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="gh-runtest-", dir="/tmp")
        self.addCleanup(remove_tree, self.dir)
        self.address = own_address()
        self.command = ["/usr/bin/python3", "-B", os.path.join(TREE, "scripts/demo.py"),
                        "--address", self.address, "--dir", self.dir]

    def start(self, *more):
        p = subprocess.Popen(self.command + list(more), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                             start_new_session=True)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p

    def test_once(self):
        r = subprocess.run(self.command + ["--once"], capture_output=True, text=True, timeout=180,
                           stdin=subprocess.DEVNULL)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertIn("You came through gatehouse.", r.stdout)
        self.assertIn(f'curl -k "imaps://{self.address}:10993/INBOX;MAILINDEX=1" '
                      "-u alice:wonderland", r.stdout)
        for name in ("gatehouse-launcher", "gatehouse-auth", "gatehouse-keys",
                     "gatehouse-login template imap"):
            self.assertRegex(r.stdout, rf"{name}: uid \d+, caps none.*, no_new_privs 1, seccomp")
        self.assertEqual(os.stat(os.path.join(self.dir, "server.key")).st_mode & 0o777, 0o600)
        where = re.search(r"Dovecot is in (/tmp/[^/\s]+)", r.stdout)[1]
        self.assertFalse(os.path.exists(where))

    def wait_ready(self, p):
        text = ""
        for line in p.stdout:
            text += line
            if "Ctrl-C ends everything" in line:
                return text
        raise AssertionError(text)

    def test_signals_end_everything(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(sig.name):
                p = self.start()
                text = self.wait_ready(p)
                family = Process(p.pid).descendants()
                self.assertGreater(len(family), 5)
                p.send_signal(sig)
                rest = p.stdout.read()
                self.assertEqual(p.wait(60), 0, rest)
                self.assertEqual(wait_gone(family, 10), [])
                where = re.search(r"Dovecot is in (/tmp/[^/\s]+)", text)[1]
                self.assertFalse(os.path.exists(where))

    def test_killed_gatehouse_is_a_failure_that_cleans_up(self):
        p = self.start()
        self.wait_ready(p)
        family = Process(p.pid).descendants()
        for q in family:
            if q.comm() == "gatehouse":
                q.kill()
        p.stdout.read()
        self.assertEqual(p.wait(60), 1)
        self.assertEqual(wait_gone(family, 10), [])

    def test_busy_port_is_named_before_anything_starts(self):
        with socket.socket() as s:
            s.bind((self.address, 10995))
            s.listen()
            r = subprocess.run(self.command + ["--once"], capture_output=True, text=True,
                               timeout=60, stdin=subprocess.DEVNULL)
        self.assertEqual(r.returncode, 1)
        self.assertIn(f"{self.address}:10995", r.stdout)
        self.assertIn(str(os.getpid()), r.stdout)
        self.assertNotIn("starting", r.stdout)

    @unittest.skipUnless(os.access(TREE, os.W_OK) and os.path.isdir(f"{TREE}/build/obj"),
                         "needs a source tree that it may build in")
    def test_the_whole_script(self):
        r = subprocess.run([os.path.join(TREE, "scripts/run"), "--once"] + self.command[3:],
                           capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertIn("You came through gatehouse.", r.stdout)


