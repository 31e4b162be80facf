"""gatehouse stats: counters that only grow."""

import os
import re
import signal
import subprocess

import harness
from gatehouse import eventually
from harness import SystemTest

LINE = re.compile(r'gatehouse_(\w+)_total\{service="(imap|pop3)"(?:,reason="(\w+)")?\} (\d+)')


class Stats(SystemTest):
    def stats(self):
        """{(service, name or reason): number}; every line must be of the text format."""
        status, text = self.gh.command("stats")
        self.assertEqual(status, 0, text)
        found, typed = {}, set()
        for line in text.splitlines():
            if m := re.fullmatch(r"# TYPE (gatehouse_\w+_total) counter", line):
                typed.add(m[1])
            elif not line.startswith("# HELP "):
                m = LINE.fullmatch(line)
                self.assertTrue(m, line)
                self.assertIn(f"gatehouse_{m[1]}_total", typed)
                found[m[2], m[3] or m[1]] = int(m[4])
        return found

    def expect(self, before, **more):
        """So much more than before, in IMAP; nothing else is."""
        want = dict(before)
        for name, n in more.items():
            want["imap", name] += n
        self.assertTrue(eventually(lambda: self.stats() == want, 20),
                        ({k: v for k, v in self.stats().items() if v != before[k]}, more))
        return want

    def test_counted_and_kept(self):
        zero = self.stats()
        self.assertEqual(set(zero.values()), {0})
        self.assertEqual(len(zero), 2 * 9)
        self.logged_in().close()
        now = self.expect(zero, connections=1, tls_handshakes=1, logins=1)
        c = self.imap(tls=True)
        c.login("alice", "wrong")
        c.login("alice", "wrong")
        c.close()
        self.imap(equal=True).close()
        c = self.imap()
        c.command("LOGIN alice wonderland")     # not without TLS
        c.close()
        now = self.expect(now, connections=3, tls_handshakes=1, credentials=2, aborted=1, policy=1)
        self.gh.reload()
        self.logged_in().close()
        now = self.expect(now, connections=1, tls_handshakes=1, logins=1)
        mark = self.gh.mark()
        self.gh.helper("auth").kill(signal.SIGKILL)
        self.gh.wait_log(r"gatehouse-auth: Info: auth server ready", 20, mark)
        self.assertEqual(self.stats(), now)
        self.assertTrue(eventually(self.logs_in, 20))
        self.assertTrue(eventually(lambda: self.stats()["imap", "logins"] == now["imap", "logins"] + 1))

    def logs_in(self):
        try:
            self.logged_in().close()
            return True
        except (OSError, AssertionError, harness.ClientError):
            return False                # the new auth client is not there yet

    def test_not_running(self):
        path = os.path.join(self.gh.dir, "elsewhere.conf")
        with open(self.gh.conf) as f, open(path, "w") as out:
            out.write(f.read() + f"\nbase_dir = {self.gh.dir}/nowhere\n")
        r = subprocess.run([self.gh.program, "stats", "-c", path], capture_output=True, text=True,
                           timeout=60)
        self.assertEqual(r.returncode, 69)
        self.assertIn("is it running?", r.stderr)


if __name__ == "__main__":
    import unittest
    unittest.main()
