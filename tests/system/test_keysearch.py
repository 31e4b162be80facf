"""The private key is in no process that an attacker could reach."""

import os

import harness
from harness import SystemTest, eventually, needs_root
from memory import search
from procs import Process


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

    def test_control_without_secret_memory(self):
        """Where memfd_secret is refused the same search finds the key in the signer, and
        in no other process; where it is not, the secret memory cannot be read."""
        gh = self.on_lacking_kernel("memfd_secret=ENOSYS")
        gh.start()
        needles = gh.cert.secret_bytes()
        with harness.Imap(gh.server("imaps"), tls=True) as c:
            self.assertTrue(c.login().startswith("OK"))
            for p in [gh.process] + gh.process.descendants():
                found, _ = search(p, needles)
                self.assertEqual(bool(found), p.comm() == "gatehouse-keys", p)
        if not self.secret_memory(self.gh):
            self.skipTest("this kernel has no memfd_secret")
        signer = self.gh.helper("keys")
        secret = [m for m in signer.maps() if "secretmem" in m]
        self.assertTrue(secret)
        with open(f"/proc/{signer.pid}/mem", "rb", 0) as mem:
            mem.seek(int(secret[0].split("-")[0], 16))
            with self.assertRaises(OSError):
                mem.read(4096)

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
