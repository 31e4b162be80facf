"""The private key is in no process that an attacker could reach."""

import os
import re

import harness
from harness import SystemTest, eventually, needs_root
from procs import Process


def search(p, needles):
    """Which of the byte strings (either byte order) lie in the process's memory."""
    wanted = {name + order: b[::step] for name, b in needles.items()
              for order, step in ((" big-endian", 1), (" little-endian", -1))}
    found, searched = set(), 0
    longest = max(len(b) for b in wanted.values())
    with open(f"/proc/{p.pid}/maps") as maps, open(f"/proc/{p.pid}/mem", "rb", 0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r...)", line)
            if not m or "[v" in line:
                continue
            at, end, tail = int(m[1], 16), int(m[2], 16), b""
            while at < end:
                try:
                    mem.seek(at)
                    block = mem.read(min(end - at, 1 << 22))
                except OSError:
                    break           # memfd_secret, guard pages: nobody can read them
                if not block:
                    break
                searched += len(block)
                hay = tail + block
                found |= {n for n, b in wanted.items() if b in hay}
                tail = hay[-longest:]
                at += len(block)
    return found, searched


@needs_root("to read the memory of other processes")
class KeySearch(SystemTest):
    dovecot_options = {"users": {"alice": "wonderland",
                                 "secretive": "correct-horse-battery-staple-4711"}}

    def search_all(self, gh, needles):
        sessions = []
        for _ in range(3):
            c = self.keep(harness.Imap(gh.server("imaps"), tls=True))
            self.assertTrue(c.login().startswith("OK"))
            sessions.append(c)
        waiting = self.keep(harness.Imap(gh.server("imaps"), tls=True))
        everybody = {f"{p.comm()} {' '.join(p.argv()[1:])} {p.pid}": p
                     for p in [gh.process] + gh.process.descendants()}
        self.assertGreaterEqual(len(everybody), 4 + 1 + 4, everybody)
        for name, p in everybody.items():
            found, searched = search(p, needles)
            if p.comm() == "gatehouse-keys" and not self.secret_memory(gh):
                continue            # where the kernel lacks memfd_secret it is there
            with self.subTest(name):
                self.assertEqual(found, set(), f"{name}: in {searched} bytes")
                self.assertGreater(searched, 1 << 16, name)
        self.assertTrue(waiting.login().startswith("OK"))

    @staticmethod
    def secret_memory(gh):
        return bool(gh.find_log(r"gatehouse-keys.*secret memory enforced"))

    def test_search_finds_what_is_there(self):
        """The search itself: this process holds the key's bytes."""
        needles = self.gh.cert.secret_bytes()
        self.assertTrue(needles)
        found, _ = search(Process(os.getpid()), needles)
        self.assertTrue(found)

    def test_ec_key(self):
        self.search_all(self.gh, self.gh.cert.secret_bytes())

    def test_rsa_key(self):
        gh = self.make_gatehouse(kind="rsa2048")
        self.addCleanup(gh.close)
        gh.start()
        needles = gh.cert.secret_bytes()
        self.assertLessEqual({"prime1", "prime2", "privateExponent"}, set(needles))
        self.search_all(gh, needles)

    def test_password_of_a_finished_login_is_gone(self):
        """A worker wipes what the dialog used before it becomes the TLS proxy."""
        before = self.gh.workers()
        c = self.keep(harness.Imap(self.gh.server("imaps"), tls=True))
        self.assertTrue(c.login("secretive", self.dovecot.users["secretive"]).startswith("OK"))
        worker = self.new_workers(before)[0]
        self.assertTrue(eventually(lambda: self.gh.depth(worker) == 3))
        c.command("NOOP")               # the record buffers move on
        needles = {"password": self.dovecot.users["secretive"].encode()}
        for p in (worker, self.gh.helper("auth"), self.gh.templates("imap")[0]):
            self.assertEqual(search(p, needles)[0], set(), p)
