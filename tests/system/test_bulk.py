"""Large messages through the TLS proxy, both ways, and slow readers."""

import hashlib
import os
import time

from harness import SystemTest, eventually

MB = 1 << 20
LINE = 76


def message(size):
    """A message of at least that size, in CRLF lines of noise."""
    head = b"Subject: large\r\nFrom: a@example.test\r\n\r\n"
    noise = os.urandom(MB // 2).hex().encode()
    block = b"\r\n".join(noise[i:i + LINE] for i in range(0, len(noise), LINE)) + b"\r\n"
    return head + b"".join(b"%08d\r\n" % i + block for i in range(size // len(block) + 1))


class Bulk(SystemTest):
    dovecot_options = {"users": {"alice": "wonderland", "big": "x", "up": "x"}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.message = message(50 * MB)
        cls.dovecot.deliver("big", cls.message, name="1.first")

    def digest(self, c, size, per_second=None):
        """Read the literal that was announced; no faster than per_second."""
        sha, left, began = hashlib.sha256(), size, time.monotonic()
        while left:
            chunk = c.exactly(min(left, 1 << 16))
            sha.update(chunk)
            left -= len(chunk)
            if per_second:
                ahead = (size - left) / per_second - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(ahead)
        return sha.hexdigest()

    def begin_fetch(self, c, number=None):
        c.command("SELECT INBOX")
        if number is None:  # which of the two is first, is the file system's whim
            number = c.command("SEARCH LARGER 1000000")[0][-1].split()[-1]
        c.send(f"f FETCH {number} (BODY.PEEK[])\r\n")
        line = c.line()
        self.assertTrue(line.endswith("}"), line)
        return int(line.rsplit("{", 1)[1][:-1])

    def test_50_mb(self):
        c = self.logged_in(user="big", password="x", seconds=300)
        size = self.begin_fetch(c)
        self.assertEqual(size, len(self.message))
        began = time.monotonic()
        self.assertEqual(self.digest(c, size), hashlib.sha256(self.message).hexdigest())
        self.assertTrue(c.reply("f")[1].startswith("OK"))
        print(f"# {size / MB / (time.monotonic() - began):.0f} MB/s")

    def test_reader_of_1_mb_a_second(self):
        before = self.gh.workers()
        c = self.logged_in(user="big", password="x", seconds=300, rcvbuf=1 << 16)
        worker = self.new_workers(before)[0]
        size = self.begin_fetch(c)
        rss = int(worker.status()["VmRSS"].split()[0])
        self.assertEqual(self.digest(c, size, MB), hashlib.sha256(self.message).hexdigest())
        self.assertTrue(c.reply("f")[1].startswith("OK"))
        after = int(worker.status()["VmRSS"].split()[0])
        self.assertLess(after, rss + 2048, "the worker's memory is bounded (KiB)")

    def test_reader_that_stalls_costs_no_cpu(self):
        before = self.gh.workers()
        c = self.logged_in(user="big", password="x", rcvbuf=1 << 16)
        worker = self.new_workers(before)[0]
        self.begin_fetch(c)

        def ticks():
            return sum(int(x) for x in worker._stat()[11:13])
        time.sleep(1)
        used = ticks()
        time.sleep(3)
        self.assertLessEqual(ticks() - used, 10, "1/100 s of CPU in 3 s of waiting")

    def test_append_50_mb(self):
        c = self.logged_in(user="up", password="x", seconds=300)
        c.send(b"a APPEND INBOX {%d+}\r\n" % len(self.message))
        c.sock.settimeout(300)
        c.send(self.message + b"\r\n")
        self.assertTrue(c.reply("a")[1].startswith("OK"))
        size = self.begin_fetch(c, "*")
        self.assertEqual(self.digest(c, size), hashlib.sha256(self.message).hexdigest())

    def test_the_end_reaches_both_sides(self):
        before = self.gh.workers()
        c = self.logged_in(user="alice")
        worker = self.new_workers(before)[0]
        c.send("z LOGOUT\r\n")
        rest = c.rest(30)
        self.assertIn(b"z OK", rest)
        self.assertTrue(eventually(lambda: not worker.alive()))

        before = self.gh.workers()
        c = self.logged_in(user="alice")
        worker = self.new_workers(before)[0]
        c.close()                       # no close_notify, no LOGOUT
        self.assertTrue(eventually(lambda: not worker.alive()))
        self.assertTrue(eventually(lambda: not self.dovecot.helper("imap")))
