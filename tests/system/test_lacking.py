"""Kernels that lack things, and sandboxes around us that refuse them: what
`gatehouse check` and the log say, what starts, what refuses, and what
confine_optional changes.  tests/lib/lacking.py plays the kernel."""

import os
import subprocess

import harness
from harness import StartError, SystemTest, needs_root

EX_CONFIG = 78
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MDWE, SECUREBITS, NO_NEW_PRIVS = 65, 28, 38     # operations of prctl


def landlock(error):
    return [f"landlock_{c}={error}" for c in ("create_ruleset", "add_rule", "restrict_self")]


class Lacking(SystemTest):
    started = False

    def check(self, gh):
        r = subprocess.run([gh.program, "check", "-c", gh.conf], capture_output=True, text=True,
                           timeout=60, stdin=subprocess.DEVNULL)
        return r.returncode, r.stdout + r.stderr

    def refuses(self, rules, *says, settings=""):
        """Both check and the start, with 78 and the same words."""
        gh = self.on_lacking_kernel(*rules, settings=settings)
        status, text = self.check(gh)
        with self.assertRaises(StartError) as e:
            gh.start()
        for what, got, words in (("check", status, text),
                                 ("start", e.exception.status, e.exception.log)):
            self.assertEqual(got, EX_CONFIG, f"{what}\n{words}")
            for word in says:
                self.assertIn(word, words, what)

    def starts(self, rules, *says, settings="", everywhere=True):
        """With these words in check's output and in the log of each helper."""
        gh = self.on_lacking_kernel(*rules, settings=settings)
        status, text = self.check(gh)
        self.assertEqual(status, 0, text)
        gh.start()
        with harness.Imap(gh.server("imaps"), tls=True) as c:
            self.assertTrue(c.login().startswith("OK"))
            self.assertIn(b"Welcome", self.fetch_welcome(c))
        for word in says:
            self.assertIn(f" {word}", text)
            for name in ("keys", "auth", "launcher") if everywhere else ("keys",):
                line = gh.wait_log(rf"gatehouse-{name} \(pid \d+\): .*")[0]
                self.assertIn(f" {word}", line)
        return gh

    # ---- Landlock -----------------------------------------------------------------

    def test_landlock_absent(self):
        for error, state, why in (("ENOSYS", "absent", "built without Landlock"),
                                  ("EOPNOTSUPP", "absent", "lsm="),
                                  ("EPERM", "refused", "outer seccomp profile")):
            with self.subTest(error):
                self.refuses(landlock(error), f'"landlock" is required and {state} ({error})',
                             why, "confine_optional = landlock")
        self.starts(landlock("ENOSYS"), "landlock absent (ENOSYS)",
                    settings="confine_optional = landlock")

    def test_landlock_of_every_age(self):
        """Each ABI is used as far as it goes; one that nobody knows yet, like the
        newest that this kernel and we both know."""
        for abi in (1, 2, 3, 4, 5, 6, 7):
            with self.subTest(abi):
                status, text = self.check(self.on_lacking_kernel(f"landlock-abi={abi}"))
                self.assertEqual(status, 0, text)
                self.assertIn(f"landlock enforced (ABI {abi})", text)
        status, text = self.check(self.on_lacking_kernel("landlock-abi=99"))
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"landlock enforced \(ABI ([7-9]|10)\)")

    def test_landlock_older_than_a_policy_wants(self):
        gh = self.make_gatehouse()
        self.addCleanup(gh.close)
        with open(os.path.join(harness.TREE, "policy/key-signer.policy")) as f:
            text = f.read()
        self.assertIn("abi >= 1 ", text)
        with open(os.path.join(gh.dir, "key-signer.policy"), "w") as f:
            f.write(text.replace("abi >= 1 ", "abi >= 6 "))
        site = f"site_policy_dir = {gh.dir}"
        self.refuses(["landlock-abi=5"], '"landlock" is required and absent (ERANGE)',
                     "older than the policy wants", settings=site)
        self.starts(["landlock-abi=6"], "landlock enforced (ABI 6)", settings=site)

    # ---- namespaces and root --------------------------------------------------------

    @needs_root("an ordinary user has nothing else: see test_start.NoUserNamespaces")
    def test_no_user_namespaces(self):
        """Root makes the others with its own rights."""
        for error in ("EPERM", "ENOSPC"):
            with self.subTest(error):
                self.starts([f"unshare:0&{NEWUSER:#x}={error}"], f"user namespace refused ({error})",
                            "mount namespace enforced", "net namespace enforced", "root enforced")

    def test_each_required_namespace(self):
        for flag, word, call in ((NEWNET, "net", "CLONE_NEWNET"), (NEWPID, "pid", "CLONE_NEWPID"),
                                 (NEWIPC, "ipc", "CLONE_NEWIPC")):
            with self.subTest(word):
                self.refuses([f"unshare:0&{flag:#x}=EPERM"],
                             f'"{word} namespace" is required and not enforced', call,
                             f"confine_optional = {word}")
        self.starts([f"unshare:0&{NEWNET:#x}=EPERM"], "net namespace refused (EPERM)",
                    settings="confine_optional = net")

    def test_optional_namespaces(self):
        self.starts([f"unshare:0&{NEWUTS | NEWCGROUP:#x}=EINVAL"],
                    "uts namespace absent (EINVAL)", "cgroup namespace absent (EINVAL)")

    def test_no_namespaces_at_all(self):
        self.refuses(["unshare=EPERM"], "not enforced", "kernel.unprivileged_userns_clone",
                     "confine_optional = mount net pid ipc root")
        gh = self.starts(["unshare=EPERM"], "net namespace refused (EPERM)",
                         "root refused (EPERM)", "landlock enforced", "outer seccomp enforced",
                         settings="confine_optional = user mount net pid ipc uts cgroup root")
        for name in ("launcher", "auth", "keys"):
            self.assertEqual(gh.helper(name).status()["Seccomp"], "2")

    def test_no_mounts(self):
        self.refuses(["mount=EPERM"], '"root" is required and not enforced',
                     "confine_optional = root")
        self.starts(["mount=EPERM"], "root refused (EPERM)",
                    settings="confine_optional = root")

    def test_old_mount_calls(self):
        """Before Linux 5.12: read-only by remounting."""
        gh = self.starts(["mount_setattr=ENOSYS"], "root enforced")
        if harness.ROOT:
            with open(f"/proc/{gh.helper('keys').pid}/mountinfo") as f:
                options = f.read().split()[5]
            self.assertIn("ro", options.split(","))

    def test_scores_that_cannot_be_written(self):
        rule = f"openat:2=={os.O_RDWR}=EROFS"
        gh = self.starts([rule], everywhere=False)
        line = gh.wait_log(r"gatehouse-login imap template: .*")[0]
        self.assertIn("oom score refused (EROFS)", line)
        with open(os.path.join(harness.TREE, "policy/pool.policy")) as f:
            text = f.read()
        self.assertIn("300 optional", text)
        with open(os.path.join(gh.dir, "pool.policy"), "w") as f:
            f.write(text.replace("300 optional", "300 required"))
        site = f"site_policy_dir = {gh.dir}\n"
        pooled = "service pop3-login {\n service_count = 0\n}\n"
        self.refuses([rule], '"oom score" is required and not enforced',
                     "confine_optional = oom-score", settings=site + pooled)
        self.starts([rule], settings=site + pooled + "confine_optional = oom-score", everywhere=False)

    # ---- memory and the rest -----------------------------------------------------------

    def test_no_secret_memory(self):
        self.starts(["memfd_secret=ENOSYS"], "secret memory absent (ENOSYS)", everywhere=False)

    def test_secret_memory_that_a_site_requires(self):
        gh = self.make_gatehouse()
        self.addCleanup(gh.close)
        with open(os.path.join(harness.TREE, "policy/key-signer.policy")) as f:
            text = f.read()
        self.assertIn("secret optional", text)
        with open(os.path.join(gh.dir, "key-signer.policy"), "w") as f:
            f.write(text.replace("secret optional", "secret required"))
        self.refuses(["memfd_secret=ENOSYS"], "memfd_secret", "Function not implemented",
                     settings=f"site_policy_dir = {gh.dir}")

    def test_no_memory_deny_write_execute(self):
        self.starts([f"prctl:0=={MDWE}=EINVAL"], "memory-deny-write-execute absent (EINVAL)")

    def test_nothing_to_report(self):
        """Conveniences: without them all is as before."""
        gh = self.starts(["mseal=ENOSYS", "memfd_create:1&0x18=EINVAL", "pidfd_open=ENOSYS",
                          "madvise:2==23=EINVAL", "clone:0&0x1000=EINVAL"], "landlock enforced",
                         "root enforced", "outer seccomp enforced")
        self.assertNotRegex(gh.text(), "absent|refused")

    def test_no_securebits(self):
        self.refuses([f"prctl:0=={SECUREBITS}=EPERM"],
                     '"securebits" is required and not enforced', "confine_optional = securebits")

    def test_what_nothing_goes_without(self):
        self.refuses([f"prctl:0=={NO_NEW_PRIVS}=EINVAL"], "no_new_privs", "EINVAL")
        self.refuses(["close_range=ENOSYS"], "close_range", "Linux 5.9")
        for error in ("ENOSYS", "EINVAL"):
            self.refuses([f"seccomp={error}"], "seccomp", "CONFIG_SECCOMP_FILTER")
