"""What can only be seen from outside: on a running gatehouse, by root.

Each test bears the id of the technique that it is for (tests/escape/ids).  Run by
tests/escape/run, or by hand:

    /usr/bin/python3 -B tests/lib/runner.py tests/escape/outside.py [Class[.test]]
"""

import ctypes
import glob
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import harness  # noqa: E402
from harness import ROOT, TREE, eventually  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_PIDFD_GETFD = 438
ADDR_NO_RANDOMIZE = 0x0040000
AUTH, SIGNER = 4, 5             # ipc/fds.h


def descriptor_of(process, fd):
    """Our copy of another process's descriptor."""
    pidfd = os.pidfd_open(process.pid)
    try:
        got = LIBC.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
        if got == -1:
            raise OSError(ctypes.get_errno(), f"pidfd_getfd {fd}")
        return got
    finally:
        os.close(pidfd)


def hung_up(process, fd):
    got = descriptor_of(process, fd)
    try:
        p = select.poll()
        p.register(got, 0)
        return bool(dict(p.poll(0)).get(got, 0) & select.POLLHUP)
    finally:
        os.close(got)


def undumped(process):
    """Bytes of its writable memory that no core file would have."""
    total, size = 0, 0
    with open(f"/proc/{process.pid}/smaps") as f:
        for line in f:
            if m := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line):
                size = int(m[2], 16) - int(m[1], 16) if "w" in m[3] else 0
            elif line.startswith("VmFlags:") and "dd" in line.split():
                total += size
    return total


@harness.needs_root("to look into other accounts' processes")
class Outside(harness.SystemTest):
    def everybody(self):
        """The supervisor, its helpers, templates, and a worker before its login."""
        self.waiting = self.imap(tls=True)
        return [self.gh.process, *self.gh.process.descendants()]

    def worker(self, **kw):
        before = self.gh.workers()
        client = self.imap(**kw)
        return client, self.new_workers(before)[0]

    def test_SWEEP_THREAD_one_thread_each(self):
        for p in self.everybody():
            self.assertEqual(len(os.listdir(f"/proc/{p.pid}/task")), 1, p)

    def test_FDX_13_no_peers_after_login(self):
        _, control = self.worker(tls=False)
        self.assertFalse(hung_up(control, AUTH), "control: before the login they are there")
        self.assertFalse(hung_up(control, SIGNER))
        client, worker = self.worker(tls=True)
        self.assertTrue(client.login().startswith("OK"))
        client.command("NOOP")
        self.assertTrue(eventually(lambda: hung_up(worker, AUTH)))
        self.assertTrue(eventually(lambda: hung_up(worker, SIGNER)))

    def test_SEC_06_stopped_and_continued(self):
        """A call that is restarted must not be one that the filter does not know."""
        client, worker = self.worker(tls=True)
        inside, proxy = self.worker(tls=True)
        self.assertTrue(inside.login().startswith("OK"))
        mark = self.gh.mark()
        for p in (worker, proxy, self.gh.templates("imap")[0],
                  *(self.gh.helper(n) for n in ("launcher", "auth", "keys"))):
            p.kill(signal.SIGSTOP)
            self.assertTrue(eventually(lambda p=p: p.state() == "T"), p)
            p.kill(signal.SIGCONT)
            self.assertTrue(eventually(lambda p=p: p.state() != "T"), p)
        self.assertTrue(client.login().startswith("OK"))
        inside.command("NOOP")
        self.assert_serves()
        self.assertEqual(self.gh.find_log(r"signal \d+", mark), [])

    def test_INFO_04_neither_environment_nor_arguments(self):
        for p in self.everybody()[1:]:
            with open(f"/proc/{p.pid}/environ", "rb") as f:
                self.assertEqual(f.read().strip(b"\0"), b"", p)
            for word in p.argv():
                self.assertRegex(word, r"^[a-z0-9-]+$", p)

    def test_INFO_10_arenas_are_in_no_dump(self):
        _, worker = self.worker(tls=True)
        self.assertGreaterEqual(undumped(worker), 1 << 20)
        self.assertGreaterEqual(undumped(self.gh.helper("keys")), 1 << 20)
        for p in (worker, self.gh.helper("launcher"), self.gh.helper("auth")):
            self.assertEqual(p.status()["VmLck"].strip(), "0 kB", p)

    def test_RES_06_no_core(self):
        _, worker = self.worker(tls=True)
        processes = [worker, *(self.gh.helper(n) for n in ("launcher", "auth", "keys"))]
        for p in processes:
            self.assertEqual(p.limits()["Max core file size"][:2], ("0", "0"), p)
            # Not dumpable: that stops a core_pattern with a pipe or a socket, too.
            self.assertEqual(os.stat(f"/proc/{p.pid}/mem").st_uid, 0, p)
        places = (os.getcwd(), TREE, "/", self.gh.dir)
        before = {f for d in places for f in glob.glob(f"{d}/core*")}
        mark = self.gh.mark()
        worker.kill(signal.SIGSEGV)
        self.gh.wait_log(r"signal 11", after=mark)
        self.assertEqual({f for d in places for f in glob.glob(f"{d}/core*")}, before)

    def test_INFO_11_BRK_11_unknown_user_and_wrong_password_answer_alike(self):
        answers = set()
        for user in ("alice", "nobody-of-that-name"):
            answers.add(self.imap(tls=True).login(user, "wrong"))
            answers.add("pop3 " + self.pop3(tls=True).login(user, "wrong"))
        self.assertEqual(len(answers), 2, answers)

    def test_INFO_12_no_version_and_no_policy_is_told(self):
        with open(f"{TREE}/Makefile") as f:
            version = re.search(r"^VERSION\s*:= (\S+)", f.read(), re.M)[1]
        client = self.imap(tls=True)
        told = client.greeting if hasattr(client, "greeting") else ""
        for words in ("CAPABILITY", "ID NIL", "NONSENSE", "LOGIN alice wrong"):
            told += str(client.command(words))
        self.assertNotIn(version, told)
        self.assertNotIn("policy", told)
        self.assertIn("BAD", told)

    def test_XCON_09_no_compression(self):
        client = self.imap(tls=True)
        self.assertIsNone(client.sock.compression())

    def test_LCH_03_no_byte_of_a_client_before_the_last_filter(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        template = self.gh.templates("imap")[0]
        trace = os.path.join(self.gh.dir, "trace")
        p = subprocess.Popen(["strace", "-f", "-q", "-e", "trace=read,recvmsg,seccomp", "-o", trace,
                              "-p", str(template.pid)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            traced = eventually(lambda: template.status()["TracerPid"] != "0")
            self.assertTrue(traced, "strace does not attach")
            client = self.imap(tls=True)
            client.command("NOOP")
            client.close()
        finally:
            p.terminate()
            p.wait()
        with open(trace) as f:
            lines = [x.split(None, 1) for x in f]
        readers = {pid for pid, call in lines if call.startswith("read(3,")}
        self.assertTrue(readers, lines)
        for pid in readers:
            calls = [call for x, call in lines if x == pid]
            first = next(i for i, c in enumerate(calls) if c.startswith("read(3,"))
            self.assertTrue(any(c.startswith("seccomp(") and c.rstrip().endswith("= 0")
                                for c in calls[:first]), calls[:first + 1])


class Started(harness.SystemTest):
    """gatehouses of which the start is the attack."""

    started = False

    def odd(self, python, settings="", **kw):
        """One that is started by a program which does these things before."""
        gh = self.make_gatehouse(settings=settings, **kw)
        self.addCleanup(gh.close)
        script = os.path.join(gh.dir, "odd")
        with open(script, "w") as f:
            f.write("#!/usr/bin/python3 -B\nimport ctypes, os, signal, sys\n" + python
                    + f"\nos.execv({gh.program!r}, [{gh.program!r}] + sys.argv[1:])\n")
        os.chmod(script, 0o755)
        gh.program = script
        return gh.start()

    def family(self, gh):
        """Helpers, templates and a worker that serves."""
        self.gh = gh
        client = self.imap(tls=True)
        self.assertTrue(client.login().startswith("OK"))
        return gh.process.descendants()

    def copied(self, name=None, by=None):
        """A libexec_dir of our own, with one program put in another's place."""
        where = os.path.join(self.dovecot.dir, f"libexec-{self.id().rsplit('.', 1)[1]}")
        shutil.copytree(f"{TREE}/build/libexec", where)
        if name:
            shutil.copy(f"{where}/{by}", f"{where}/{name}")
        return where

    def test_LCH_04_a_program_that_is_replaced(self):
        where = self.copied()
        gh = self.odd("", settings=f"libexec_dir = {where}\nworker_spawn = exec")
        os.rename(f"{where}/gatehouse-login", f"{where}/old")
        with open(f"{where}/gatehouse-login", "w") as f:
            f.write("#!/bin/sh\necho another program\n")
        os.chmod(f"{where}/gatehouse-login", 0o755)
        for _ in range(3):              # each is a new exec, of the sealed copy
            self.family(gh)

    def test_LCH_05_environment(self):
        log = os.path.join(self.dovecot.dir, "keylog")
        gh = self.odd(f"os.environ.update(SSLKEYLOGFILE={log!r}, OPENSSL_CONF='/nonexistent', "
                      "LD_PRELOAD='/nonexistent.so', GLIBC_TUNABLES='glibc.malloc.perturb=1', "
                      "TMPDIR='/nonexistent')")
        for p in self.family(gh):
            with open(f"/proc/{p.pid}/environ", "rb") as f:
                self.assertEqual(f.read().strip(b"\0"), b"", p)
        self.assertFalse(os.path.exists(log), "TLS secrets were written")

    def test_LCH_06_descriptors_of_the_caller(self):
        gh = self.odd("for i in range(200):\n"
                      "    os.set_inheritable(os.open('/etc/hostname', os.O_RDONLY), True)")
        for p in self.family(gh):
            self.assertNotIn("/etc/hostname", [str(x) for x in p.fds().values()], p)

    def test_LCH_07_an_odd_caller(self):
        gh = self.odd("os.umask(0)\nos.chdir('/usr/share')\n"
                      "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD, "
                      "signal.SIGHUP])\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
                      "signal.signal(signal.SIGUSR2, signal.SIG_IGN)\n"
                      f"ctypes.CDLL(None).personality({ADDR_NO_RANDOMIZE})")
        sigpipe, sigchld = 1 << signal.SIGPIPE - 1, 1 << signal.SIGCHLD - 1
        for p in self.family(gh):
            s = p.status()
            self.assertEqual(int(s["SigIgn"], 16) & ~sigpipe, 0, p)
            self.assertEqual(int(s["SigBlk"], 16) & ~sigchld, 0, p)
            self.assertEqual(s["Umask"], "0077", p)
            if ROOT:
                with open(f"/proc/{p.pid}/personality") as f:
                    self.assertEqual(int(f.read(), 16), 0, f"{p}: its layout is not random")

    def test_LCH_08_worker_that_ends_at_once(self):
        where = self.copied("gatehouse-login", "gatehouse-launcher")
        gh = self.odd("", settings=f"libexec_dir = {where}")
        launcher, mark = gh.helper("launcher"), gh.mark()

        def ticks():
            with open(f"/proc/{launcher.pid}/stat") as f:
                return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15]))

        before, seconds = ticks(), 4
        time.sleep(seconds)
        starts = len(gh.find_log(r"ended with status|died of signal", mark))
        self.assertLess(starts, 15 * seconds, gh.text(mark))
        self.assertLess(ticks() - before, seconds * os.sysconf("SC_CLK_TCK") // 2)
        self.assertTrue(launcher.alive())


class Recorded(harness.unittest.TestCase):
    @harness.needs_root("to read the kernel's log")
    def test_SEC_15_kills_are_recorded(self):
        import escape
        with escape.Stage("F") as stage:
            for _ in range(5):          # the kernel prints no more than a few in a while
                mark = stage.gh.mark()
                r = stage.attempt("KERN-20.alarm login")
                self.assertEqual(r.verdict, "KILLED")
                m = stage.gh.wait_log(r"worker (\d+) killed with signal 31 \(SIGSYS\)", after=mark)
                log = subprocess.run(["dmesg"], capture_output=True, text=True).stdout
                found = [x for x in log.splitlines() if "type=1326" in x and "gatehouse-login" in x
                         and f"syscall={r.calls[-1][1]} " in x]
                if found:
                    self.assertIn("sig=31", found[-1])
                    self.assertTrue(m[1])
                    return
        self.skipTest("the log line of ours is there; the kernel's audit record goes elsewhere, "
                      "or was dropped by its rate limit")


class Compared(harness.unittest.TestCase):
    def test_compare_counts_what_real_result_files_say(self):
        import escape
        where = escape.make_directory("/tmp")
        self.addCleanup(escape.remove_tree, where)
        paths, counts = [], []
        for name in ("one", "two"):
            out = subprocess.run([escape.PROBE, "--here", "--json", "--name", name, "LLK", "MEM"],
                                 capture_output=True, text=True).stdout
            rows = [json.loads(x) for x in out.splitlines()]
            proving = [r for r in rows if r["result"] != "SKIP" and not r["flags"]
                       & (escape.T_NO_CALL | escape.T_CRASH | escape.T_KNOWN | escape.T_INFO)]
            counts.append([f"{sum(r['result'] != 'OPEN' for r in of)}/{len(of)}" for of in
                           ([r for r in proving if r["class"] == c] for c in ("LLK", "MEM"))])
            paths.append(os.path.join(where, name))
            with open(paths[-1], "w") as f:
                f.write(out)
        table = subprocess.run([escape.PROBE, "--compare", *paths], capture_output=True, text=True,
                               check=True).stdout
        for i, cls in enumerate(("LLK", "MEM")):
            line = next(x for x in table.splitlines() if x.startswith(f"| {cls} "))
            self.assertEqual(line.split()[3::2], [c[i] for c in counts], table)
        self.assertIn("| one |", table.splitlines()[0])


# Whoever starts us may have cores: ours have none.
resource.setrlimit(resource.RLIMIT_CORE,
                   (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
