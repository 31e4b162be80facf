"""`gatehouse policy` on files, kernels and processes that are none of gatehouse's."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import cbpf  # noqa: E402
import oci_filter  # noqa: E402
from gatehouse import ROOT, TREE  # noqa: E402

ORDINARY = ["setpriv", "--reuid=65500", "--regid=65500", "--clear-groups"]
SCHEMA = "/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema"
PODMAN = "/usr/share/containers/seccomp.json"
NAMES = ("supervisor", "start", "launcher", "template", "login", "tls-proxy", "pool",
         "auth-client", "key-signer")
HEAD = """\
policy  {name}  version 1
about   "For a test."
identity   uid self  gid self  groups keep
caps       none optional
namespaces user off  mount off  net off  pid off  ipc off  uts off  cgroup off
root       host
landlock   off
mdwe       off
limit      core 0
fd 0 in any read
fd 1 out any write
fd 2 err any write
"""
STARTS = """\
default kill-process
allow execve why "the start"
allow read why "input"
allow write fd in {out, err} why "output"
allow exit_group why "the end"
"""
FOREIGN = r"""
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	long rv = 20;                               /* i386 getpid */
	(void)argv;
	if (argc > 1)
		__asm__ volatile("int $0x80" : "+a"(rv) : : "memory", "r8", "r9", "r10", "r11");
	syscall(0x40000000 + 39);                   /* x32 getpid */
	return 7;
}
"""


class Tools(unittest.TestCase):
    """A directory that everybody can read, with the program and the policies in it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dir = tempfile.mkdtemp(prefix="gh-tools-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        os.chmod(cls.dir, 0o755)
        cls.program = os.path.join(cls.dir, "gatehouse")
        shutil.copy(os.path.join(TREE, "build/bin/gatehouse"), cls.program)
        os.chmod(cls.program, 0o755)
        shutil.copytree(os.path.join(TREE, "policy"), os.path.join(cls.dir, "policy"))
        subprocess.run(["chmod", "-R", "a+rX", cls.dir], check=True)

    def call(self, command, *args, user=False, status=0, sandbox=(), policies=True, **kw):
        argv = [self.program, "policy", command]
        if policies:
            argv += ["-d", f"{self.dir}/policy"]
        r = subprocess.run([*(ORDINARY if user and ROOT else []), *sandbox, *argv, *args],
                           capture_output=True, timeout=120, cwd="/", **kw)
        if status is not None:
            self.assertEqual(r.returncode, status, (r.stdout, r.stderr))
        r.out, r.err = r.stdout.decode(errors="replace"), r.stderr.decode(errors="replace")
        return r

    def json(self, command, *args, **kw):
        return json.loads(self.call(command, "--json", *args, **kw).out)

    def policy(self, name, rest, head=HEAD):
        path = f"{self.dir}/{name}.policy"
        with open(path, "w") as f:
            f.write(head.format(name=name) + rest)
        os.chmod(path, 0o644)
        return path

    def filter_file(self, data):
        f = tempfile.TemporaryFile()
        self.addCleanup(f.close)
        f.write(data)
        f.flush()
        return f

    def bwrap(self, program, *argv, **kw):
        """argv under bubblewrap with this filter."""
        f = self.filter_file(program)
        f.seek(0)
        return subprocess.run(["bwrap", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev",
                               "--seccomp", str(f.fileno()), *argv],
                              pass_fds=[f.fileno()], capture_output=True, timeout=60, **kw)


@unittest.skipUnless(ROOT, "needs root: the kernel shows filters to root only")
class CountPid(Tools):
    def child(self, *argv, program=None):
        """A child that sleeps; under bubblewrap with a filter if there is one."""
        if program is None:
            p = subprocess.Popen(argv)
            pid = p.pid
        else:
            f = self.filter_file(program)
            f.seek(0)
            info_r, info_w = os.pipe()
            p = subprocess.Popen(["bwrap", "--die-with-parent", "--ro-bind", "/", "/",
                                  "--info-fd", str(info_w), "--seccomp", str(f.fileno()), *argv],
                                 pass_fds=[f.fileno(), info_w], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
            os.close(info_w)
            with os.fdopen(info_r) as r:
                pid = json.load(r)["child-pid"]
            self.assertEqual(p.stdout.read(2), b"go")       # it runs: the filter is there
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdout and p.stdout.close(),
                                 p.stdin and p.stdin.close()))
        return pid

    def abis(self, pid):
        answer = self.json("count", "--pid", str(pid))
        return answer, {a["abi"]: a for a in answer["abis"]}

    def test_no_filter_says_all(self):
        pid = self.child("sleep", "60")
        answer, abis = self.abis(pid)
        self.assertEqual(answer["filters"], 0)
        for a in abis.values():
            self.assertTrue(a["all"])
            self.assertEqual(a["reachable"], a["known"])
            self.assertGreater(a["known"], 300)
        text = self.call("count", "--pid", str(pid)).out
        self.assertRegex(text, r"^\d+ sleep: no filter: all\nx86_64 +all \d+ syscalls\n")

    def test_podmans_profile(self):
        with open(PODMAN) as f:
            profile = json.load(f)
        profile["architectures"] = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]
        program, unknown = oci_filter.program(profile)
        self.assertEqual(unknown, [])
        pid = self.child("sh", "-c", "echo go; exec sleep 60", program=program)
        answer, abis = self.abis(pid)
        self.assertEqual((answer["filters"], answer["instructions"]), (1, len(program) // 8))
        native = abis["x86_64"]
        self.assertFalse(native["all"])
        self.assertEqual(native["default"], "errno EPERM")
        free = {c["call"] for c in native["free"]}
        pinned = {c["call"]: c["arguments"] for c in native["pinned"]}
        # What the profile says, read by somebody else.
        want_free, want_pinned = set(), {}
        for rule in profile["syscalls"]:
            if rule["action"] != "SCMP_ACT_ALLOW" or not oci_filter.applies(rule, "amd64", ()):
                continue
            for n in rule["names"]:
                if rule.get("args"):
                    want_pinned.setdefault(n, set()).update(x["index"] for x in rule["args"])
                else:
                    want_free.add(n)
        known = {c["call"] for c in native["free"] + native["pinned"]}
        for n in want_free:
            nr = oci_filter.LIB.seccomp_syscall_resolve_name(n.encode())
            if nr >= 0:
                self.assertIn(n, free)
        self.assertEqual({n for n in free if n not in want_free}, set())
        self.assertEqual(set(pinned), set(want_pinned) - want_free)
        self.assertEqual(pinned["personality"], ["persona"])
        self.assertEqual(pinned["socket"], ["domain", "protocol"])
        self.assertNotIn("kexec_load", known)
        self.assertGreater(abis["i386"]["reachable"], 300)
        self.assertGreater(abis["x32"]["reachable"], 250)
        # and by a third evaluator, over every number
        insns = cbpf.parse(program)
        for c in native["free"]:
            nr = oci_filter.LIB.seccomp_syscall_resolve_name(c["call"].encode())
            for args in ((0,) * 6, (2**64 - 1,) * 6, (16, 9, 16, 9, 16, 9)):
                self.assertEqual(cbpf.run(insns, nr, args), cbpf.ALLOW, c)

    def test_a_sandbox_before_authentication(self):
        """As sshd's: resource limits, a filter that kills, few calls, some of them pinned."""
        profile = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
            {"names": ["read", "write", "exit_group", "brk", "ppoll", "execve", "nanosleep",
                       "clock_nanosleep", "close", "fstat", "newfstatat", "openat", "access",
                       "pread64", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
                       "prlimit64", "munmap", "mprotect", "getrandom", "readlink", "readlinkat"],
             "action": "SCMP_ACT_ALLOW"},
            {"names": ["mmap"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["madvise"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 2, "op": "SCMP_CMP_EQ", "value": 4}]},
            {"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 0xff00,
                       "valueTwo": 0x5400}]}]}
        program, _ = oci_filter.program(profile, bad_arch="SCMP_ACT_KILL_PROCESS")
        pid = self.sleeper(program)
        answer, abis = self.abis(pid)
        native = abis["x86_64"]
        self.assertEqual({c["call"]: c["arguments"] for c in native["pinned"]},
                         {"madvise": ["advice"], "ioctl": ["op"]})
        self.assertEqual({c["call"] for c in native["free"]},
                         {n for r in profile["syscalls"][:2] for n in r["names"]})
        self.assertEqual(native["default"], "kill-process")
        for abi in ("i386", "x32"):
            self.assertEqual((abis[abi]["reachable"], abis[abi]["unnamed"]), (0, 0))
        text = self.call("count", "--pid", str(pid)).out
        self.assertRegex(text, r"x86_64 +27 of \d+ syscalls \(25 free, 2 pinned\), "
                               r"the others kill-process\n")
        self.assertRegex(text, r"pinned +(ioctl\(op\) madvise\(advice\)|madvise\(advice\) ioctl\(op\))")
        self.assertRegex(text, r"i386 +none: kill-process\nx32 +none: kill-process")

    def sleeper(self, program):
        """A small program: what a C library needs at its start, and a read."""
        path = f"{self.dir}/sleeper"
        if not os.path.exists(path):
            with open(path + ".c", "w") as f:
                f.write('#include <unistd.h>\nint main(void) { char c; write(1, "go", 2); '
                        'return (int)read(0, &c, 1); }\n')
            subprocess.run(["gcc", "-static", "-o", path, path + ".c"], check=True)
        return self.child(path, program=program)

    def test_who_cannot_be_counted(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        self.assertIn("there is none", self.call("count", "--pid", str(gone.pid), status=66).err)
        self.call("count", "--pid", "x", status=64)
        sleep = self.child("sleep", "60")
        self.call("count", "--pid", str(sleep), user=True, status=77)
        r = self.call("verify", str(sleep), user=True, status=77, policies=False)
        self.assertIn("verify needs root", r.err)

    def test_a_thread_with_a_filter_of_its_own(self):
        code = """
import ctypes, threading
class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
def confined():
    prog = Prog(1, b"\\x06\\0\\0\\0\\0\\0\\xff\\x7f")
    libc = ctypes.CDLL(None)
    print(libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(prog)), flush=True)
    threading.Event().wait()
threading.Thread(target=confined, daemon=True).start()
input()
"""
        p = subprocess.Popen(["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdin.close(), p.stdout.close()))
        self.assertEqual(p.stdout.readline(), b"0\n")
        answer, _ = self.abis(p.pid)
        self.assertEqual((answer["filters"], answer["threads"], answer["threads_with_others"]),
                         (0, 2, 1))
        self.assertIn("1 of 2 have other filters", self.call("count", "--pid", str(p.pid)).out)


class Doctor(Tools):
    def items(self, **kw):
        answer = self.json("doctor", **kw)
        return answer, {i["what"]: i for i in answer["items"]}

    def surroundings(self):
        """Mounts, namespaces and settings: what probes of this kind could change."""
        out = {}
        for path in ("/proc/self/mounts", "/proc/sys/user/max_user_namespaces",
                     "/proc/sys/vm/memfd_noexec", "/proc/sys/kernel/seccomp/actions_logged"):
            with open(path) as f:
                out[path] = f.read()
        for ns in os.listdir("/proc/self/ns"):
            out[ns] = os.readlink(f"/proc/self/ns/{ns}")
        return out

    def assert_told(self, items):
        for i in items.values():
            self.assertIn(i["state"], ("present", "absent", "refused"))
            self.assertIn(i["need"], ("required", "optional", "none"))
            self.assertTrue(i["follows"], i)
            if i["state"] != "present" and i["need"] != "none":
                self.assertTrue(i["way_out"], i)
        for what in ("kernel", "user namespace", "mount namespace", "net namespace", "pid namespace",
                     "ipc namespace", "uts namespace", "cgroup namespace", "landlock", "seccomp",
                     "no_new_privs", "memory-deny-write-execute", "mseal", "secret memory",
                     "memlock limit", "vm/memfd_noexec", "close_range", "clone",
                     "user/max_user_namespaces", "kernel/yama/ptrace_scope", "landlock errata",
                     "seccomp kill-process", "user notification", "reading filters"):
            self.assertIn(what, items)

    def test_this_machine(self):
        before = self.surroundings()
        answer, items = self.items()
        self.assertTrue(answer["good"], answer)
        self.assertEqual(answer["root"], ROOT)
        self.assert_told(items)
        self.assertEqual(items["landlock"]["need"], "required")
        self.assertRegex(items["landlock"]["detail"], r"^ABI \d+$")
        self.assertIn(os.uname().release, items["kernel"]["detail"])
        self.assertEqual(self.surroundings(), before)       # it has changed nothing

    @unittest.skipUnless(ROOT, "needs root: to make /proc/sys read-only, in a namespace")
    def test_no_nesting_needs_proc_sys(self):
        self.assertEqual(self.items()[1]["no nesting"]["state"], "present")
        r = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c",
                            "mount --bind /proc/sys /proc/sys && "
                            "mount -o remount,ro,bind /proc/sys && "
                            f"exec {TREE}/build/bin/gatehouse policy doctor"],
                           capture_output=True, text=True)
        self.assertRegex(r.stdout, r"(?m)^refused +optional +no nesting: EROFS\n.*only seccomp")

    @unittest.skipUnless(ROOT, "needs root: to become an ordinary user")
    def test_ordinary_user(self):
        answer, items = self.items(user=True)
        self.assertTrue(answer["good"], answer)
        self.assertFalse(answer["root"])
        self.assert_told(items)
        self.assertEqual(items["own ids"]["state"], "absent")
        self.assertEqual(items["own ids"]["need"], "optional")
        self.assertEqual(items["reading filters"]["state"], "refused")
        self.assertEqual(items["user notification"]["state"], "present")

    def obstructed(self, calls, errno, **kw):
        """Under a filter that answers these calls with an error."""
        program, unknown = oci_filter.program({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno}]})
        self.assertEqual(unknown, [])
        f = self.filter_file(program)
        f.seek(0)
        return self.items(sandbox=["bwrap", "--die-with-parent", "--bind", "/", "/", "--proc",
                                   "/proc", "--dev", "/dev", "--seccomp", str(f.fileno())],
                          pass_fds=[f.fileno()], **kw)

    def test_no_namespaces(self):
        answer, items = self.obstructed(["unshare"], 1, status=69)
        self.assertFalse(answer["good"])
        self.assert_told(items)
        for ns in ("mount", "net", "pid", "ipc"):
            self.assertEqual(items[f"{ns} namespace"]["state"], "refused", ns)
            self.assertEqual(items[f"{ns} namespace"]["error"], "EPERM", ns)
            self.assertIn("max_user_namespaces", items[f"{ns} namespace"]["way_out"])
        self.assertEqual(items["landlock"]["state"], "present")

    def test_no_landlock(self):
        answer, items = self.obstructed(["landlock_create_ruleset"], 38, status=69)
        self.assertEqual(items["landlock"]["state"], "absent")
        self.assertIn("lsm=", items["landlock"]["way_out"])

    def test_what_is_optional_may_be_missing(self):
        answer, items = self.obstructed(["memfd_secret"], 38)
        self.assertTrue(answer["good"])
        self.assertEqual(items["secret memory"]["state"], "absent")

    def test_text(self):
        text = self.call("doctor").out
        self.assertIn("everything that the policies require is there", text)
        self.assertRegex(text, r"(?m)^present  required  landlock: ABI \d+\n {21}\S")
        self.call("doctor", "more", status=64)


class Trace(Tools):
    def trace(self, policy, *argv, user=False, **kw):
        """(exit status, report)"""
        fd, path = tempfile.mkstemp(dir="/tmp", prefix="gh-trace-")
        os.close(fd)
        self.addCleanup(os.unlink, path)
        os.chmod(path, 0o666)
        r = self.call("trace", "--json", "-o", path, policy, "--", *argv, user=user, status=None,
                      policies=False, **kw)
        with open(path) as f:
            text = f.read()
        self.assertTrue(text, (r.returncode, r.err))
        return r, json.loads(text)

    def complete(self, name, argv, budget=80):
        """A policy for a program, made from what trace says; its path."""
        rest = STARTS
        for _ in range(6):
            path = self.policy(name, rest + f"budget syscalls {budget} unpinned {budget}\n")
            r, report = self.trace(path, *argv)
            if not report["denied"]:
                return path
            names = {x.split()[1] for x in report["rules"]}
            rest = "".join(x + "\n" for x in rest.splitlines()
                           if not (x.startswith("allow ") and x.split()[1] in names))
            for rule in report["rules"]:
                self.assertRegex(rule, r'^allow \w+( .*)?  why ""$')
                rest += rule.replace('why ""', 'why "trace"') + "\n"
        self.fail(f"trace never ends: {report}")

    def test_what_would_have_died(self):
        path = self.policy("starts", STARTS + "budget syscalls 4 unpinned 4\n")
        for user in (False, True):
            r, t = self.trace(path, "sh", "-c", "cat /etc/hostname; exit 9", user=user)
            self.assertEqual(r.returncode, 9)
            with open("/etc/hostname", "rb") as f:
                self.assertEqual(r.stdout, f.read())    # it went on
            self.assertEqual((t["exit"], t["signal"], t["policy"]), (9, 0, "starts"))
            calls = {(d["process"], d["call"]): d for d in t["denied"]}
            self.assertIn(("sh", "mmap"), calls)
            self.assertIn(("cat", "openat"), calls)     # children are followed
            self.assertNotEqual(calls["sh", "mmap"]["pid"], calls["cat", "openat"]["pid"])
            self.assertNotIn("read", {d["call"] for d in t["denied"]})
            self.assertEqual(sum(d["count"] for d in t["denied"]), t["calls"])
            self.assertTrue(all(len(d["arguments"]) == 6 for d in t["denied"]))
            self.assertIn("allow openat  dirfd == AT_FDCWD",
                          "\n".join(t["rules"]))

    def test_the_end_is_passed_on(self):
        path = self.policy("starts", STARTS + "budget syscalls 4 unpinned 4\n")
        r, t = self.trace(path, "sh", "-c", "kill -TERM $$")
        self.assertEqual((r.returncode, t["signal"]), (128 + 15, 15))
        self.call("trace", path, "--", "no-such-program", status=127, policies=False)
        self.call("trace", "supervisor", "--", "true", status=64)
        self.call("trace", path, status=64, policies=False)
        r = self.call("trace", path, "--", "/etc/hostname", status=None, policies=False)
        self.assertNotEqual(r.returncode, 0)

    def test_a_thread_and_a_grandchild(self):
        path = self.policy("starts", STARTS + "budget syscalls 4 unpinned 4\n")
        code = ("import threading, os\nt = threading.Thread(target=lambda: os.sync())\nt.start()\n"
                "t.join()\nos.system(\"sh -c 'umask 0; true'\")")
        _, t = self.trace(path, "/usr/bin/python3", "-c", code)
        calls = {d["call"] for d in t["denied"]}
        self.assertLessEqual({"sync", "umask"}, calls)
        self.assertEqual(t["exit"], 0)

    def foreign(self):
        path = f"{self.dir}/foreign"
        if not os.path.exists(path):
            with open(path + ".c", "w") as f:
                f.write(FOREIGN)
            subprocess.run(["gcc", "-static", "-o", path, path + ".c"], check=True)
        return path

    def foreign_calls(self, abi, *argv):
        path = self.policy("starts", STARTS + "budget syscalls 4 unpinned 4\n")
        r, t = self.trace(path, self.foreign(), *argv)
        self.assertEqual(r.returncode, 7)
        self.assertIn((abi, "getpid", 1), {(d["abi"], d["call"], d["count"]) for d in t["denied"]})
        text = self.call("trace", path, "--", self.foreign(), *argv, status=7, policies=False).err
        self.assertRegex(text, rf" 1  {abi} getpid\(.*\)  by foreign \(\d+\)")
        self.assertIn(f"# {abi} getpid: no policy can allow calls of another architecture", text)

    def test_x32_calls(self):
        self.foreign_calls("x32")

    def test_i386_calls(self):
        if subprocess.run([self.foreign(), "i386"]).returncode != 7:
            self.skipTest("this kernel runs no i386 calls (the unit test shows them)")
        self.foreign_calls("i386", "i386")

    def test_what_falls_to_a_default_of_errno(self):
        path = self.policy("polite", STARTS.replace("kill-process", "errno EPERM")
                           + "budget syscalls 4 unpinned 4\n")
        r = self.call("trace", path, "--", "true", policies=False)
        self.assertIn("would have died or failed", r.err)

    def test_from_trace_to_a_policy_that_runs(self):
        """And its export as --bpf: what it was made for runs, others are killed."""
        path = self.complete("true", ["/bin/true"])
        self.assertIn("good", self.call("check", path).out)
        r = self.call("trace", path, "--", "/bin/true", policies=False)
        self.assertIn("policy true allows all of it", r.err)
        program = self.call("export", "--bpf", path).stdout
        r = self.bwrap(program, "/bin/true")
        self.assertEqual(r.returncode, 0, r.stderr)
        r = self.bwrap(program, "/bin/mkdir", "/tmp/gh-tools-never")
        self.assertIn(r.returncode, (-31, 128 + 31), r)
        self.assertFalse(os.path.exists("/tmp/gh-tools-never"))


class Diff(Tools):
    BASE = HEAD + STARTS + "budget syscalls 40 unpinned 40\n"
    # what is written instead of what, in the direction that widens
    WIDER = [
        ("groups none", "groups keep"),
        ("caps       none required", "caps       kill required"),
        ("caps       none required", "caps       none optional"),
        ("user required", "user optional"), ("net required", "net off"),
        ("root       empty read-only", "root       host"),
        ("landlock   required abi >= 3  allow nothing", "landlock   required abi >= 1  allow nothing"),
        ("landlock   required abi >= 3  allow nothing", "landlock   optional abi >= 3  allow nothing"),
        ("mdwe       required", "mdwe       optional"),
        ("oom-score  300 required why \"x x\"\n", ""), ("oom-score  300", "oom-score  299"),
        ("limit      core 0", "limit      core 1"),
        ("nofile 16", ""),
        ("fd 2 err any write", "fd 2 err any read write"),
        ("fd 2 err any write", "fd 2-3 err any write"),
        ("default kill-process", "default errno EPERM"),
        ("allow exit_group why", "allow getppid why \"for x\"\nallow exit_group why"),
        ("fd in {out, err}", ""),
        ("errno 0 getpid", "allow getpid"),
        ("errno 0 getpid", "log getpid"),
        ("log getuid", "allow getuid"),
        ("prot & PROT_EXEC == 0", ""),
        ("flags == 0", "flags in {0, 1}"),
    ]
    TIGHT = """\
policy  {name}  version 1
about   "For a test."
identity   uid self  gid self  groups none
caps       none required
namespaces user required  mount required  net required  pid off  ipc off  uts off  cgroup off
root       empty read-only
landlock   required abi >= 3  allow nothing
mdwe       required
oom-score  300 required why "x x"
limit      core 0  nofile 16
fd 0 in any read
fd 1 out any write
fd 2 err any write
default kill-process
allow execve why "the start"
allow read why "input"
allow write fd in {{out, err}} why "output"
allow mmap prot & PROT_EXEC == 0 why "memory"
allow getrandom flags == 0 why "seed"
errno 0 getpid why "for x"
log getuid why "for x"
allow exit_group why "the end"
budget syscalls 40 unpinned 40
"""

    def test_every_kind_of_widening(self):
        base = self.policy("base", "", head=self.TIGHT)
        text = self.TIGHT.format(name="other")
        self.assertEqual(self.json("diff", base, base), {"changes": [], "wider": False})
        for old, new in self.WIDER:
            with self.subTest(old=old, new=new):
                self.assertIn(old, text)
                path = f"{self.dir}/other.policy"
                with open(path, "w") as f:
                    f.write(text.replace(old, new, 1))
                d = self.json("diff", base, path, status=2)
                self.assertTrue(d["wider"])
                self.assertIn("wider", {c["change"] for c in d["changes"]}, d)
                d = self.json("diff", path, base)
                self.assertFalse(d["wider"], d)
                self.assertEqual({c["change"] for c in d["changes"]}, {"narrower"}, d)
                self.assertRegex(self.call("diff", base, path, status=2).out, r"(?m)^\+ ")
                self.assertRegex(self.call("diff", path, base).out, r"(?m)^- ")

    def test_every_layer_that_differs_is_named(self):
        base = self.policy("base", "", head=self.TIGHT)
        loose = self.TIGHT
        for old, new in (("net required", "net off"), ("nofile 16", "nofile 32"),
                         ("landlock   required", "landlock   optional"),
                         ("mdwe       required", "mdwe       off")):
            self.assertIn(old, loose)
            loose = loose.replace(old, new)
        path = self.policy("loose", "", head=loose)
        layers = {"namespace net", "limit nofile", "landlock", "mdwe"}
        self.assertEqual({(c["change"], c["layer"]) for c in
                          self.json("diff", base, path, status=2)["changes"]},
                         {("wider", x) for x in layers})
        self.assertEqual({(c["change"], c["layer"]) for c in self.json("diff", path, base)["changes"]},
                         {("narrower", x) for x in layers})

    def test_what_cannot_be_compared_is_wider(self):
        """Another account: neither is less than the other."""
        a = self.policy("base", "", head=self.TIGHT)
        b = self.policy("other", "", head=self.TIGHT.replace("uid self", "uid 0"))
        for x, y in ((a, b), (b, a)):
            self.assertIn({"change": "wider", "layer": "identity"},
                          self.json("diff", x, y, status=2)["changes"])

    def test_other_words_for_the_same(self):
        base = self.policy("base", "", head=self.TIGHT)
        path = self.policy("same", "", head=self.TIGHT.replace(
            "fd in {{out, err}}", "fd in {{err, out}}").replace("flags == 0", "flags < 1"))
        self.assertEqual(self.call("diff", base, path).out, "the same behaviour\n")

    def test_a_call_that_only_aarch64_has(self):
        """epoll_wait is not there, so a difference in it must not hide behind x86_64."""
        base = self.policy("base", "", head=self.TIGHT)
        path = self.policy("other", "allow 600 why \"for x\"\n", head=self.TIGHT)
        self.assertTrue(self.json("diff", base, path, status=2)["wider"])

    def test_shipped_chain(self):
        d = self.json("diff", "template", "login")
        self.assertFalse(d["wider"])
        self.assertIn("clone", {c["call"].split("(")[0] for c in d["changes"] if "call" in c})


class Export(Tools):
    def boundaries(self, args):
        """Values on every side of what a profile's rules compare."""
        out = [{0, 1, 2**64 - 1} for _ in range(6)]
        for a in args:
            for v in (a["value"], a.get("valueTwo", 0)):
                out[a["index"]] |= {v, (v - 1) % 2**64, (v + 1) % 2**64, v ^ 1 << 32}
            for bit in range(64):
                if a["op"] == "SCMP_CMP_MASKED_EQ" and a["value"] >> bit & 1 and bit < 40:
                    out[a["index"]].add(a["valueTwo"] ^ 1 << bit)
        return out

    def test_oci_is_valid_and_means_the_same(self):
        import jsonschema
        with open(f"{SCHEMA}/defs-linux.json") as f:
            defs = json.load(f)
        schema = {"$ref": f"file://{SCHEMA}/config-linux.json#/linux/properties/seccomp"}
        with open(f"{SCHEMA}/config-linux.json") as f:
            linux = json.load(f)
        self.assertIn("seccomp", linux["linux"]["properties"])
        resolver = jsonschema.RefResolver(f"file://{SCHEMA}/config-linux.json", linux)
        self.assertIn("SeccompAction", defs["definitions"])
        validator = jsonschema.Draft4Validator(schema, resolver=resolver)
        with self.assertRaises(jsonschema.ValidationError):         # it can fail
            validator.validate({"defaultAction": "SCMP_ACT_NONSENSE"})
        polite = self.policy("polite", STARTS.replace("kill-process", "errno EXDEV")
                             + "budget syscalls 40 unpinned 40\n")
        for name in (*NAMES, polite):
            with self.subTest(policy=name):
                profile = json.loads(self.call("export", "--oci", name).out)
                validator.validate(profile)
                if name == "supervisor":
                    self.assertEqual(profile, {"defaultAction": "SCMP_ACT_ALLOW"})
                    continue
                self.same_verdicts(name, profile)

    def same_verdicts(self, name, profile):
        """The source's program, and what libseccomp makes of the export."""
        source = cbpf.parse(self.call("export", "--bpf", name).stdout)
        loaded, unknown = oci_filter.program(profile, bad_arch="SCMP_ACT_KILL_PROCESS")
        loaded = cbpf.parse(loaded)
        self.assertLessEqual(set(unknown), {"mseal", "epoll_pwait2"})    # newer than libseccomp
        rules = {}
        for rule in profile["syscalls"]:
            for n in rule["names"]:
                rules.setdefault(n, []).extend(rule.get("args") or [])
        numbers = {n: oci_filter.LIB.seccomp_syscall_resolve_name(n.encode()) for n in rules}
        tried = 0
        for nr in (*range(0, 500), 0x40000000, 0x40000001, 2**32 - 1):
            call = next((n for n, k in numbers.items() if k == nr), None)
            sets = self.boundaries(rules.get(call, []))
            used = {a["index"] for a in rules.get(call, [])}
            dims = [sorted(sets[i]) if i in used else [0] for i in range(6)]
            if call is None and cbpf.run(source, nr) != cbpf.run(loaded, nr):
                self.assertIn("mseal", unknown, nr)
                self.assertEqual(nr, 462)
                continue
            for args in itertools.islice(itertools.product(*dims), 600):
                tried += 1
                self.assertEqual(cbpf.run(source, nr, args), cbpf.run(loaded, nr, args),
                                 (name, call, nr, [hex(a) for a in args]))
        for nr in range(0, 500):
            self.assertEqual(cbpf.run(source, nr, arch=cbpf.I386), cbpf.KILL_PROCESS)
            self.assertEqual(cbpf.run(loaded, nr, arch=cbpf.I386), cbpf.KILL_PROCESS)
        self.assertGreater(tried, 500)

    def test_systemd(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed (package systemd)")
        d = tempfile.mkdtemp(prefix="gh-unit-", dir="/tmp")
        self.addCleanup(shutil.rmtree, d)

        def verify(texts):
            """What systemd says of these units, for each."""
            paths = [f"{d}/gatehouse-{name}.service" for name in texts]
            for path, text in zip(paths, texts.values()):
                with open(path, "w") as f:
                    f.write("[Unit]\nDescription=x\n" + text.replace(
                        "[Service]", "[Service]\nExecStart=/bin/true"))
            r = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True,
                               text=True)
            return {name: [x for x in r.stderr.splitlines() if f"gatehouse-{name}.service" in x]
                    for name in texts}

        polite = self.policy("polite", STARTS.replace("kill-process", "errno EXDEV")
                             + "budget syscalls 40 unpinned 40\n")
        units = {os.path.basename(name): self.call("export", "--systemd", name).out
                 for name in (*NAMES, polite)}
        login = units["login"]
        # it complains when there is something wrong
        units["bad-call"] = login.replace("SystemCallFilter=", "SystemCallFilter=nonsense ")
        units["bad-key"] = login.replace("NoNewPrivileges", "NoNewPrivilegez")
        complaints = verify(units)
        self.assertTrue(complaints.pop("bad-call"))
        self.assertTrue(complaints.pop("bad-key"))
        for name, lines in complaints.items():
            self.assertEqual([x for x in lines if "mseal" not in x], [], name)
        allowed = re.search(r"(?m)^SystemCallFilter=(.*)$", login)[1].split()
        self.assertEqual(sorted(allowed),
                         ["exit_group", "getrandom", "ppoll", "read", "seccomp", "write"])
        self.assertIn("cannot answer with an error: denied here are getpid.", login)
        self.assertIn("the conditions of 5 rules are lost here", login)
        self.assertIn("CapabilityBoundingSet=\n", login)
        self.assertIn("LimitNPROC=0\n", login)
        self.assertIn("OOMScoreAdjust=300\n", login)
        self.assertNotIn("OOMScoreAdjust", units["launcher"])
        self.assertIn(" openat ", units["start"])        # both an errno rule and an allow rule

    def test_bpf_is_the_program(self):
        for arch, audit in (("x86_64", cbpf.X86_64), ("aarch64", cbpf.AARCH64)):
            insns = cbpf.parse(self.call("export", "--bpf", "-a", arch, "login").stdout)
            read = {"x86_64": 0, "aarch64": 63}[arch]
            self.assertEqual(cbpf.run(insns, read, (3,), audit), cbpf.ALLOW)
            self.assertEqual(cbpf.run(insns, read, (7,), audit), cbpf.KILL_PROCESS)
            self.assertEqual(cbpf.run(insns, read, (3,), cbpf.I386), cbpf.KILL_PROCESS)
        r = self.bwrap(self.call("export", "--bpf", "login").stdout, "/bin/true")
        self.assertIn(r.returncode, (-31, 128 + 31), r)

    def test_asm_is_the_program(self):
        text = self.call("export", "--asm", "login").out.splitlines()
        insns = cbpf.parse(self.call("export", "--bpf", "login").stdout)
        self.assertEqual(len(text), len(insns))
        for i, line in enumerate(text):
            self.assertRegex(line, rf"^ *{i}  (ld   (nr|arch|arg\d\.(low|high))|and  0x[0-9a-f]{{8}}|"
                                   r"ja   \d+|j(eq|gt|ge|set) +0x[0-9a-f]+  true \d+  false \d+"
                                   r"(  ; \w+)?|ret  .*)$")
        for call in ("read", "write", "ppoll", "getrandom", "seccomp", "getpid", "exit_group"):
            self.assertTrue([x for x in text if x.endswith(f"; {call}")], call)
        self.assertIn("ret  errno 0", "\n".join(text))


class Json(Tools):
    """Valid, with the keys that gatehouse-policy(1) promises."""

    def assert_keys(self, command, value, *keys):
        self.assertEqual(sorted(value), sorted(keys), command)
        with open(os.path.join(TREE, "src/tools/gatehouse-policy.1")) as f:
            page = f.read()
        for k in keys:
            self.assertRegex(page, rf"\b{k}\b", f"{command}: {k} is not in the manual")

    def test_keys(self):
        for v in self.json("check"):
            self.assert_keys("check", v, "policy", "instructions", "fingerprint")
        v = self.json("check", "login", "pool")
        self.assertEqual([x["policy"] for x in v], ["login", "pool"])
        self.assert_keys("check", v[0], "policy", "x86_64", "aarch64")
        bad = self.policy("bad", "allow nonsense\n")
        v = self.json("check", "login", bad, status=78)
        self.assert_keys("check", v[1], "policy", "error")
        self.assertRegex(v[1]["error"], r"bad\.policy:13:7: ")
        v = self.json("explain", "login")
        self.assert_keys("explain", v, "policy", "about", "follows", "within", "oom_score", "seccomp",
                         "rules", "can", "cannot")
        self.assert_keys("explain", v["oom_score"], "adj", "need", "why")
        self.assertIsNone(self.json("explain", "launcher")["oom_score"])
        self.assert_keys("explain", v["rules"][0], "action", "errno", "call", "x86_64", "aarch64",
                         "line", "conditions", "why")
        self.assertEqual(len(self.json("count")), len(NAMES))
        for v in self.json("count", "login"):
            self.assert_keys("count", v, "policy", "seccomp", "syscalls", "free", "pinned",
                             "default")
        v = self.json("eval", "login", "write", "7", status=1)
        self.assertEqual([x["policy"] for x in v], ["login", "template", "launcher", "supervisor"])
        self.assert_keys("eval", v[0], "policy", "verdict", "line", "why")
        self.assertEqual(v[0]["verdict"], "kill-process")
        self.assertEqual(self.json("eval", "login", "write", "client")[0]["verdict"], "allow")
        v = self.json("diff", "login", "pool", status=2)
        self.assert_keys("diff", v, "changes", "wider")
        for c in v["changes"]:
            self.assert_keys("diff", c, *(("change", "layer") if "layer" in c
                                          else ("change", "call", "old", "new")))
        v = self.json("doctor")
        self.assert_keys("doctor", v, "good", "root", "items")
        self.assert_keys("doctor", v["items"][0], "what", "state", "need", "error", "detail",
                         "follows", "way_out")
        path = self.policy("starts", STARTS + "budget syscalls 4 unpinned 4\n")
        r = self.call("trace", "-j", path, "--", "true", policies=False)
        v = json.loads(r.err)
        self.assert_keys("trace", v, "policy", "calls", "unlisted", "exit", "signal", "denied",
                         "rules")
        self.assert_keys("trace", v["denied"][0], "abi", "call", "number", "count", "process",
                         "pid", "arguments")
        if ROOT:
            sleep = subprocess.Popen(["sleep", "60"])
            self.addCleanup(lambda: (sleep.kill(), sleep.wait()))
            v = self.json("count", "--pid", str(sleep.pid))
            self.assert_keys("count", v, "pid", "name", "filters", "instructions", "threads",
                             "threads_with_others", "abis")
            self.assert_keys("count", v["abis"][0], "abi", "known", "reachable", "all", "unnamed",
                             "default", "free", "pinned", "asked", "undecided")

    def test_names_of_processes_are_escaped(self):
        if not ROOT:
            self.skipTest("needs root: count --pid")
        p = subprocess.Popen(["/usr/bin/python3", "-c",
                              "open('/proc/self/comm', 'w').write('a\"\\\\\\x01\\n'); print(flush=True);"
                              "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdin.close(), p.stdout.close()))
        p.stdout.readline()
        self.assertIn('a"', self.json("count", "--pid", str(p.pid))["name"])


class Help(Tools):
    def test_every_command_says_how(self):
        general = self.call("--help", policies=False).out
        commands = re.findall(r"gatehouse policy (\w+) ", general)
        self.assertEqual(commands, ["check", "explain", "count", "list", "eval", "diff", "export",
                                    "verify", "doctor", "trace"])
        for c in commands:
            text = self.call(c, "--help", policies=False).out
            self.assertIn(f"usage: gatehouse policy {c} ", text)
            self.assertNotIn("\n       gatehouse policy", text)
            r = self.call(c, "--nonsense", status=64, policies=False)
            self.assertIn(f"gatehouse policy {c} ", r.err)
            self.assertEqual(r.out, "")
        r = self.call("nonsense", status=64, policies=False)
        self.assertIn('there is no command "nonsense"', r.err)
        # options of other commands are no options
        self.call("explain", "--pid", "1", "login", status=64)
        self.call("check", "--oci", "login", status=64)


class Manual(Tools):
    """Every example of gatehouse-policy(1)."""

    STATUS = {"gatehouse policy eval login write 7": 1}

    def test_examples(self):
        with open(os.path.join(TREE, "src/tools/gatehouse-policy.1")) as f:
            page = f.read()
        examples = re.findall(r"(?m)^\.Dl ([$#]) (.*)$", page.split(".Sh EXAMPLES")[1])
        self.assertGreater(len(examples), 12)
        work = tempfile.mkdtemp(prefix="gh-manual-", dir="/tmp")
        self.addCleanup(shutil.rmtree, work)
        os.symlink(os.path.join(TREE, "policy"), f"{work}/policy")
        subprocess.run("seq 1 2000 | xz > file.xz", shell=True, cwd=work, check=True)
        sleep = subprocess.Popen(["sleep", "60"])
        self.addCleanup(lambda: (sleep.kill(), sleep.wait()))
        env = {"PATH": f"{TREE}/build/bin:/usr/bin:/bin"}
        for prompt, line in examples:
            with self.subTest(example=line):
                if prompt == "#" and not ROOT:
                    continue
                if " verify " in line:
                    continue        # test_policy_cmd: it needs a gatehouse that runs
                r = subprocess.run(["sh", "-c", line.replace("4711", str(sleep.pid))], cwd=work,
                                   env=env, capture_output=True, timeout=60)
                self.assertEqual(r.returncode, self.STATUS.get(line, 0), r.stderr)
                if "xz -dc" in line:
                    self.assertTrue(r.stdout.endswith(b"1999\n2000\n"), r.stderr)
                elif ">" not in line:
                    self.assertTrue(r.stdout)


if __name__ == "__main__":
    unittest.main()
