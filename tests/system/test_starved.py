"""A worker whose arena is used up, in the models with one connection for each: whatever
allocation fails, it costs that connection and nothing else.

No client can use up four MiB alone, so a worker that has eaten them itself takes
their part (tests/lib/puppet.c)."""

import contextlib
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import harness  # noqa: E402
import puppet  # noqa: E402


class Starved(puppet.PuppetTest):
    rooms = [*range(0, 4096, 512), *range(4096, 110000, 4096)]

    def attempt(self, room, maximum, starttls):
        """OK (a login), NO (refused in words) or END (closed by the server)."""
        source = f"127.253.{room // 64 // 256}.{room // 64 % 256}"
        context = harness.tls_context(maximum=maximum)
        with contextlib.ExitStack() as stack:
            try:
                c = stack.enter_context(harness.Imap(
                    self.gh.server("imap" if starttls else "imaps"), source=source,
                    tls=False if starttls else context, seconds=60))
                if starttls:
                    c.starttls(context)
                return c.login()[:2]
            except (OSError, harness.ClientError) as e:
                self.assertNotRegex(str(e), "timed out|no line in time")
                return "END"

    def test_each_allocation(self):
        mark = self.gh.mark()
        for starttls, maximum in ((False, None), (False, ssl.TLSVersion.TLSv1_2), (True, None)):
            got = [self.attempt(room, maximum, starttls) for room in self.rooms]
            with self.subTest(starttls=starttls, maximum=maximum):
                text = " ".join(f"{room}:{word}" for room, word in zip(self.rooms, got))
                print(f"# {type(self).__name__}: {text}")
                self.assertEqual(got[0], "END", text)
                self.assertEqual(got[-1], "OK", text)
                self.assertLessEqual(set(got), {"END", "NO", "OK"})
        # One line of each kind a second at most, so only that there is one.
        self.gh.wait_log(r"Disconnected: Out of memory for TLS.*rip=127\.253\.|"
                         r"rip=127\.253\..*TLS handshaking: SSL_accept\(\) failed: .*malloc", 60,
                         mark)
        self.assertEqual([], self.gh.find_log(r"signal|template retired|forbids|rehearsal", mark))


class StarvedExec(Starved):
    settings = puppet.PuppetTest.settings + "\nworker_spawn = exec"
    rooms = [0, 2048, *range(8192, 110000, 12288)]


if __name__ == "__main__":
    import unittest
    unittest.main()
