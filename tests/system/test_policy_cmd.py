"""`gatehouse policy verify`: live processes against their policies."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import unittest.mock

import gatehouse
import harness
from harness import SystemTest, eventually, needs_root

GOOD = {"holds", "reported"}


def seccomp_allow_all():
    """For the child between fork and exec."""
    class Prog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
    prog = Prog(1, b"\x06\0\0\0\0\0\xff\x7f")       # ret ALLOW
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(prog)) == 0


class Verifying:
    def verify(self, pid, *options, status=None):
        """(exit status, JSON)"""
        r = subprocess.run([self.gh.program, "policy", "verify", "--json", "-c", self.gh.conf,
                            *options, str(getattr(pid, "pid", pid))],
                           capture_output=True, text=True, timeout=120)
        answer = json.loads(r.stdout) if r.stdout else {}
        if status is not None:
            self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        return r.returncode, answer

    def assert_verified(self, p, phase, policy):
        _, v = self.verify(p, status=0)
        self.assertTrue(v["verified"])
        self.assertEqual((v["pid"], v["phase"], v["policy"]), (p.pid, phase, policy))
        self.assertRegex(v["fingerprint"], "^[0-9a-f]{16}$")
        self.assertEqual({c["state"] for c in v["checks"]} - GOOD, set(), v)
        checks = {c["check"]: c for c in v["checks"]}
        for name in ("filters", "no_new_privs", "seccomp mode", "identity", "groups",
                     "capabilities", "namespaces", "id map", "root", "limits", "descriptors"):
            self.assertEqual(checks[name]["state"], "holds", name)
        for name in ("landlock", "securebits", "memory-deny-write-execute"):
            self.assertEqual(checks[name]["state"], "reported", name)
        self.assertIn("they are the compiled programs", checks["filters"]["text"])
        return checks

    def assert_differs(self, answer, check, text):
        rows = [c["text"] for c in answer["checks"]
                if c["check"] == check and c["state"] == "differs"]
        self.assertTrue([t for t in rows if text in t], answer)

    def login_phase(self):
        """A connection before login and its worker."""
        before = self.gh.workers()
        c = self.imap(tls=True)
        return c, self.new_workers(before)[0]

    def policies(self, **changes):
        """A copy of the policies, with (old, new) replaced in some."""
        top = tempfile.mkdtemp(prefix="gh-policies-", dir="/tmp")
        self.addCleanup(shutil.rmtree, top)
        for f in os.listdir(os.path.join(harness.TREE, "policy")):
            if f.endswith(".policy"):
                shutil.copy(os.path.join(harness.TREE, "policy", f), top)
        for name, (old, new) in changes.items():
            path = os.path.join(top, name.replace("_", "-") + ".policy")
            with open(path) as f:
                text = f.read()
            self.assertIn(old, text)
            with open(path, "w") as f:
                f.write(text.replace(old, new))
        return top


@needs_root("the kernel shows filters to root only")
class Verify(Verifying, SystemTest):
    dovecot_options = {"address": "127.0.0.1", "imap_port": harness.free_port("127.0.0.1")}

    def test_helpers(self):
        self.assert_serves()
        self.assert_verified(self.gh.helper("launcher"), "launcher", "launcher")
        checks = self.assert_verified(self.gh.helper("auth"), "auth client", "auth-client")
        self.assertIn(self.dovecot.sock, checks["root"]["text"])
        checks = self.assert_verified(self.gh.helper("keys"), "key signer", "key-signer")
        self.assertIn(checks["secret memory"]["state"], GOOD)

    def test_supervisor(self):
        _, v = self.verify(self.gh.process, status=0)
        self.assertEqual(v["phase"], "supervisor")

    def test_template_and_both_phases_of_a_worker(self):
        t = eventually(lambda: self.gh.templates("imap"))[0]
        self.assert_verified(t, "template", "template")
        c, w = self.login_phase()
        self.assert_verified(w, "login (fork)", "login")
        self.assertTrue(c.login().startswith("OK"))
        self.assertTrue(eventually(lambda: self.gh.depth(w) == 3), "the tls-proxy filter")
        checks = self.assert_verified(w, "tls-proxy (fork)", "tls-proxy")
        self.assertIn("left from login, without a right to it: 2 log, 4 auth, 5 signer",
                      checks["descriptors"]["text"])
        self.assertIn(b"Welcome", self.fetch_welcome(c))

    def test_the_process_goes_on_undisturbed(self):
        """Looked at again and again while it waits in ppoll, and while it works."""
        c, w = self.login_phase()
        for _ in range(5):
            self.verify(w, status=0)
        self.assertTrue(w.alive())
        self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        look = subprocess.Popen([self.gh.program, "policy", "verify", "-c", self.gh.conf,
                                 str(w.pid)], stdout=subprocess.DEVNULL)
        self.assertTrue(c.login().startswith("OK"))
        self.assertTrue(eventually(lambda: self.gh.depth(w) == 3))
        look.wait(60)
        for helper in ("launcher", "auth", "keys"):
            self.verify(self.gh.helper(helper), status=0)
        self.assertIn(b"Welcome", self.fetch_welcome(c))
        self.assertTrue(w.alive())
        self.assertEqual(w.status()["TracerPid"].strip(), "0")
        self.assert_serves()

    def test_a_clear_no_for_every_other_process(self):
        sleep = subprocess.Popen(["sleep", "60"])
        self.addCleanup(sleep.wait)
        self.addCleanup(sleep.kill)
        bwrap = subprocess.Popen(["bwrap", "--die-with-parent", "--unshare-all", "--ro-bind", "/", "/", "sleep", "60"])
        self.addCleanup(bwrap.wait)
        self.addCleanup(bwrap.kill)
        gone = subprocess.Popen(["true"])
        gone.wait()
        for pid, why in ((sleep.pid, "/sleep"), (bwrap.pid, "bwrap"), (os.getpid(), "python"),
                         (gone.pid, "there is none")):
            _, v = self.verify(pid, status=1)
            self.assertFalse(v["verified"])
            self.assertIn(why, v["reason"])

    def test_another_policy_text(self):
        c, w = self.login_phase()
        d = self.policies(login=("count <= 256", "count <= 128"))
        _, v = self.verify(w, "-d", d, status=1)
        self.assertFalse(v["verified"])
        self.assert_differs(v, "filters", "not login (fork): call 318")
        self.assert_differs(v, "filters", "program says allow, text says kill-process")
        # what is in force before it is as its text says, and the signer too
        self.verify(self.gh.helper("keys"), "-d", d, status=0)

    def test_other_layers_than_the_text(self):
        c, w = self.login_phase()
        _, v = self.verify(w, "-d", self.policies(login=("nofile 16", "nofile 8")), status=1)
        self.assert_differs(v, "limits", "nofile is 16 (hard 16), not 8")
        # A list without the log: it is open.
        _, v = self.verify(self.gh.helper("launcher"), "-d",
                           self.policies(launcher=("fd 14 worker-log       pipe       write\n", "")),
                           status=1)
        self.assert_differs(v, "descriptors", "14 (pipe")
        _, v = self.verify(self.gh.helper("launcher"), "-d",
                           self.policies(launcher=("control          seqpacket", "control          stream")),
                           status=1)
        self.assert_differs(v, "descriptors", "7 control: is another type (seqpacket")

    def test_a_score_that_somebody_has_lowered(self):
        c, w = self.login_phase()
        _, v = self.verify(w, status=0)
        self.assertEqual([(r["state"], r["text"]) for r in v["checks"] if r["check"] == "oom score"],
                         [("holds", "oom_score_adj 300")])
        with open(f"/proc/{w.pid}/oom_score_adj", "w") as f:
            f.write("299")
        _, v = self.verify(w, status=1)
        self.assert_differs(v, "oom score", "oom_score_adj 299 is below 300")

    def test_a_process_that_is_stopped_stays_so(self):
        c, w = self.login_phase()
        w.kill(signal.SIGSTOP)
        self.assertTrue(eventually(lambda: w.state() == "T"))
        self.verify(w, status=0)
        self.assertTrue(eventually(lambda: w.state() == "T"), w.state())
        w.kill(signal.SIGCONT)
        self.assertTrue(c.login().startswith("OK"))

    def test_where_filters_cannot_be_read(self):
        """The kernel shows them to nobody who lives under one himself."""
        c, w = self.login_phase()
        for command in (["verify", "-c", self.gh.conf, str(w.pid)], ["count", "--pid", str(w.pid)]):
            r = subprocess.run([self.gh.program, "policy", *command], capture_output=True, text=True,
                               preexec_fn=seccomp_allow_all, timeout=60)
            self.assertEqual(r.returncode, 69, r.stdout + r.stderr)
            self.assertIn("filters cannot be read", r.stderr)
        self.assertTrue(c.login().startswith("OK"))

    def test_a_gatehouse_that_lives_under_a_filter_itself(self):
        """As in a container: that filter is nobody's but the container's."""
        gh = harness.Gatehouse(self.dovecot.sock)
        self.addCleanup(gh.close)
        with unittest.mock.patch.object(gatehouse, "die_with_parent", seccomp_allow_all):
            gh.start()
        with harness.Imap(gh.server("imaps"), tls=True) as c:
            self.assertTrue(c.greeting.startswith("* OK"))
            for p in [gh.process, gh.helper("keys"), *gh.logins()]:
                r = subprocess.run([gh.program, "policy", "verify", "--json", "-c", gh.conf,
                                    str(p.pid)], capture_output=True, text=True, timeout=60)
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_text(self):
        c, w = self.login_phase()
        r = subprocess.run([self.gh.program, "policy", "verify", "-c", self.gh.conf, str(w.pid)],
                           capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout, r"phase login \(fork\), policy login, fingerprint [0-9a-f]{16}")
        self.assertRegex(r.stdout, r"(?m)^reported +landlock +enforced, ABI \d+$")
        self.assertIn("the process is what its policy says", r.stdout)

    def test_example_of_the_manual_and_its_keys(self):
        with open(os.path.join(harness.TREE, "src/tools/gatehouse-policy.1")) as f:
            page = f.read()
        self.assertIn("\n.Dl # gatehouse policy verify 4711\n", page)
        _, v = self.verify(self.gh.helper("keys"), status=0)
        self.assertEqual(sorted(v), sorted(["pid", "name", "verified", "generation", "phase",
                                            "policy", "fingerprint", "reason", "checks"]))
        self.assertEqual(sorted(v["checks"][0]), ["check", "state", "text"])
        for k in [*v, *v["checks"][0]]:
            self.assertRegex(page, rf"\b{k}\b")

    def test_count_of_ours_and_of_dovecots_login_process(self):
        """The same question to both front ends, before a login."""
        def count(pid):
            r = subprocess.run([self.gh.program, "policy", "count", "--json", "--pid", str(pid)],
                               capture_output=True, text=True, timeout=60)
            self.assertEqual(r.returncode, 0, r.stderr)
            return {a["abi"]: a for a in json.loads(r.stdout)["abis"]}

        c, w = self.login_phase()
        ours = count(w.pid)
        self.assertEqual([x["call"] for x in ours["x86_64"]["free"]], ["exit_group"])
        self.assertEqual({x["call"]: x["arguments"] for x in ours["x86_64"]["pinned"]},
                         {"read": ["fd"], "write": ["fd"], "ppoll": ["nfds", "sigmask"],
                          "getrandom": ["buflen", "flags"], "seccomp": ["op", "flags", "args"]})
        self.assertEqual((ours["i386"]["reachable"], ours["x32"]["reachable"]), (0, 0))
        self.assertEqual(ours["x86_64"]["unnamed"], 0)
        self.assertTrue(c.login().startswith("OK"))
        self.assertTrue(eventually(lambda: self.gh.depth(w) == 3))
        after = count(w.pid)["x86_64"]
        self.assertEqual({x["call"] for x in after["free"] + after["pinned"]},
                         {"read", "write", "ppoll", "exit_group"})
        with socket.create_connection(("127.0.0.1", self.dovecot.settings["imap_port"]),
                                      timeout=20) as s:
            self.assertIn(b"OK", s.recv(1000))
            logins = [p for p in self.dovecot.process.descendants()
                      if p.comm() == "imap-login"]
            self.assertTrue(logins)
            theirs = count(logins[0].pid)
            _, v = self.verify(logins[0].pid, status=1)
            self.assertIn("imap-login", v["reason"])
        self.assertTrue(theirs["x86_64"]["all"])
        self.assertTrue(theirs["i386"]["all"])

    def test_who_may_ask_and_how(self):
        def status(*argv, **kw):
            return subprocess.run([self.gh.program, "policy", "verify", *argv],
                                  capture_output=True, **kw).returncode
        self.assertEqual(status("-c", self.gh.conf), 64)
        self.assertEqual(status("-c", self.gh.conf, "x"), 64)
        self.assertEqual(status("-c", "/nonexistent.conf", "1"), 78)


@needs_root("the kernel shows filters to root only")
class VerifyRecord(Verifying, SystemTest):
    def record(self):
        return sorted(f for f in os.listdir(f"{self.gh.dir}/run") if f.startswith("layers."))

    def test_generations(self):
        """An old worker is still known; the record of a generation ends with it."""
        c = self.logged_in()
        old = eventually(lambda: [w for w in self.gh.workers() if self.gh.depth(w) == 3])[0]
        self.assertEqual(self.record(), ["layers.0", "layers.1"])
        for f in self.record():
            self.assertEqual(os.stat(f"{self.gh.dir}/run/{f}").st_mode & 0o777, 0o600)
        self.gh.reload()
        self.assertEqual(self.record(), ["layers.0", "layers.1", "layers.2"])
        self.assertEqual(self.verify(old, status=0)[1]["generation"], 1)
        self.assertEqual(self.verify(self.gh.helper("keys"), status=0)[1]["generation"], 2)
        c.command("LOGOUT")
        self.assertTrue(eventually(lambda: self.record() == ["layers.0", "layers.2"], 60),
                        self.record())
        # A helper that died is not in it any more, its successor is.
        keys = self.gh.helper("keys")
        keys.kill(signal.SIGKILL)
        new = eventually(lambda: [k for k in self.gh.helpers("keys") if k != keys], 60)[0]
        self.assertTrue(eventually(lambda: self.verify(new)[0] == 0, 60), self.gh.text())
        # A report of a layer that is required and does not hold.
        c = self.imap(tls=True)
        worker = self.gh.workers()[-1]
        path = f"{self.gh.dir}/run/layers.2"
        with open(path) as f:
            lines = f.read().splitlines(True)
        with open(path, "w") as f:
            f.writelines(x.replace("landlock=enforced", "landlock=absent:38") for x in lines)
        self.assert_differs(self.verify(worker, status=1)[1], "landlock", "absent: ENOSYS")
        # Without a report the layers that the kernel does not show are unproven.
        with open(path, "w") as f:
            f.writelines(line for line in lines if "template" not in line)
        _, v = self.verify(worker, status=69)
        self.assertIn("unseen", {x["state"] for x in v["checks"] if x["check"] == "landlock"})
        # Somebody else's word does not count.
        os.chmod(path, 0o666)
        self.assertIn("no gatehouse", self.verify(worker, status=1)[1]["reason"])
        self.gh.stop()
        self.assertEqual(self.record(), [])


@needs_root("the kernel shows filters to root only")
class VerifyExec(Verifying, SystemTest):
    settings = "worker_spawn = exec"

    def test_exec_in_all_its_phases(self):
        c = self.imap(tls=True)
        phases = lambda: {self.verify(w)[1].get("phase"): w for w in self.gh.workers()}  # noqa: E731
        found = eventually(lambda: (p := phases()) and
                           {"login (exec)", "worker, starting or waiting"} <= set(p) and p)
        self.assertTrue(found, phases())
        self.assert_verified(found["login (exec)"], "login (exec)", "login")
        self.assertTrue(c.login().startswith("OK"))
        w = found["login (exec)"]
        self.assertTrue(eventually(lambda: self.gh.depth(w) == 2))
        self.assert_verified(w, "tls-proxy (exec)", "tls-proxy")
        self.assertIn(b"Welcome", self.fetch_welcome(c))


@needs_root("the kernel shows filters to root only")
class VerifyPool(Verifying, SystemTest):
    imap_login = "service_count = 0"

    def test_pool(self):
        c, d = self.logged_in(), self.imap(tls=True)
        pools = [w for w in self.gh.workers() if w.argv()[1:2] == ["pool"]]
        self.assertTrue(pools)
        for w in pools:
            self.assert_verified(w, "pool", "pool")
        self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        self.assertTrue(d.command("NOOP")[1].startswith("OK"))


ORDINARY = """
import os, sys
sys.path.insert(0, os.environ["GATEHOUSE_TREE"] + "/tests/lib")
import harness
harness.SystemTest.setUpClass()
try:
    t = harness.SystemTest()
    t.setUp()
    before, after = t.imap(tls=True), t.logged_in()
    gh = harness.SystemTest.gh
    proxy = harness.eventually(lambda: [w for w in gh.workers() if gh.depth(w) == 3])
    print(gh.conf, *[p.pid for p in [gh.process, *(gh.helper(n) for n in
          ("launcher", "auth", "keys")), *gh.logins()]], flush=True)
    sys.stdin.read()
    t.doCleanups()
finally:
    harness.SystemTest.doClassCleanups()
"""


@needs_root("to look at somebody else's processes")
class VerifyOrdinaryUsers(unittest.TestCase):
    """root looks at a gatehouse that an ordinary user has started."""

    def test_all_of_it(self):
        top = tempfile.mkdtemp(prefix="gh-ordinary-", dir="/tmp")
        self.addCleanup(shutil.rmtree, top)
        for d in ("build/bin", "build/libexec", "policy", "tests/lib"):
            shutil.copytree(f"{harness.TREE}/{d}", f"{top}/{d}")
        subprocess.run(["chmod", "-R", "a+rX", top], check=True)
        p = subprocess.Popen(["setpriv", "--reuid=65500", "--regid=65500", "--clear-groups",
                              "--inh-caps=-all", "/usr/bin/python3", "-B", "-c", ORDINARY],
                             env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": top,
                                  "GATEHOUSE_TREE": top}, cwd="/", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        try:
            conf, *pids = p.stdout.readline().split()
            phases = []
            for pid in pids:
                r = subprocess.run([f"{top}/build/bin/gatehouse", "policy", "verify", "--json", "-c",
                                    conf, pid], capture_output=True, text=True, timeout=120)
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                v = json.loads(r.stdout)
                phases.append(v["phase"])
                identity = [c["text"] for c in v["checks"] if c["check"] == "identity"]
                self.assertEqual(identity, ["uid 65500, gid 65500, all four of each"])
            self.assertLessEqual({"supervisor", "launcher", "auth client", "key signer", "template",
                                  "login (fork)", "tls-proxy (fork)"}, set(phases))
        finally:
            p.communicate(timeout=120)
        self.assertEqual(p.returncode, 0)
