"""Drives the probe in the place of gatehouse's processes (src/probe/standin.c).

libexec_dir of a real gatehouse names a directory in which the probe bears a helper's
name; policies are the shipped ones, or the same with walls taken out.  An attempt is
one process: we connect to the IMAP port, say which row is wanted in which phase, and
read what it announces until its end.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import gatehouse  # noqa: E402
from dovecot import make_directory, remove_tree  # noqa: E402

TREE = gatehouse.TREE
PROBE = os.path.join(TREE, "build/bin/gatehouse-probe")
GATEHOUSE = os.path.join(TREE, "build/bin/gatehouse")
ROOT = gatehouse.ROOT
NOBODY = 65500
LIMIT = 20                      # seconds, against hangs: an attempt takes milliseconds

# enum test_flag
T_ROOT, T_NO_CALL, T_EXEC, T_CRASH, T_KNOWN, T_REACHED, T_INFO, T_ALLOWED, T_SWEEP = (
    1 << n for n in range(9))

WALLS = {"F": (), "S-": ("seccomp",), "L-": ("seccomp", "landlock")}


def rows():
    """The probe's table."""
    out = subprocess.run([PROBE, "--list", "--json"], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def policies(where, config):
    """The shipped policies, without the walls that this configuration lacks."""
    os.mkdir(where)
    for name in os.listdir(f"{TREE}/policy"):
        if not name.endswith(".policy"):
            continue
        with open(f"{TREE}/policy/{name}") as f:
            text = f.read()
        if name != "supervisor.policy":
            if "landlock" in WALLS[config]:
                text = re.sub(r"(?m)^landlock .*$", "landlock off", text)
            if "seccomp" in WALLS[config]:
                text = re.sub(r"(?m)^(default|allow|errno|budget|log|kill) .*\n(?:[ \t]+.*\n)*",
                              "", text) + "seccomp off\n"
        with open(f"{where}/{name}", "w") as f:
            f.write(text)


class Result:
    """What one attempt came to: .verdict, .err, .note, .calls (abi, number, arguments)."""

    def __init__(self):
        self.verdict, self.err, self.note = None, 0, ""
        self.calls, self.returned, self.never = [], [], []
        self.ended = None               # what the launcher's stand-in saw of its child

    def take(self, line):
        word, _, rest = line.partition(" ")
        f = rest.split(" ")
        if word == "T":
            self.calls.append((f[0], int(f[1], 16), tuple(int(x, 16) for x in f[2:8])))
        elif word == "V":
            self.returned.append((int(f[0], 16), signed(int(f[1], 16))))
        elif word == "N":
            self.never.append(int(f[0], 16))
        elif word == "H":
            self.verdict = "HUNG"
        elif word == "E":
            self.ended = int(f[0], 16)
        elif word == "R":
            self.verdict, self.err = f[0], int(f[1], 16)
            self.note = rest.split(" ", 2)[2] if rest.count(" ") >= 2 else ""

    def text(self):
        if self.verdict == "ERRNO":
            import errno
            return f"ERRNO {errno.errorcode.get(self.err, self.err)}"
        if self.verdict == "CRASH" and self.err:
            return f"CRASH {signal.Signals(self.err).name}"
        return self.verdict or "?"


def signed(n):
    return n - (1 << 64) if n >> 63 else n


class Stage:
    """One gatehouse with the probe in the place of the programs."""

    def __init__(self, config="F", programs=("gatehouse-login",), settings="", imap_login=""):
        self.config, self.programs = config, programs
        self.dir = make_directory("/tmp")
        os.mkdir(f"{self.dir}/libexec")
        os.mkdir(f"{self.dir}/sock")
        os.chmod(f"{self.dir}/sock", 0o755)
        for name in os.listdir(f"{TREE}/build/libexec"):
            shutil.copy(PROBE if name in programs else f"{TREE}/build/libexec/{name}",
                        f"{self.dir}/libexec/{name}")
        policies(f"{self.dir}/policy", config)
        settings += (f"\npolicy_dir = {self.dir}/policy\nlibexec_dir = {self.dir}/libexec\n"
                     "login_timeout = 60s\n")
        if config != "F":
            settings += "policy_allow_widen = yes\n"
        self.gh = gatehouse.Gatehouse(f"{self.dir}/sock", settings=settings,
                                      imap_login=imap_login)
        self.kept = [self.door()]

    def lacks(self):
        """Walls of the table that this machine does not have."""
        return set() if "no nesting enforced" in self.gh.text() else {"UL"}

    @staticmethod
    def door():
        """Somebody to find by an abstract name, if the walls let them."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(OSError):      # another run has it: as good
            s.bind("\0gatehouse-probe-door")
            s.listen(64)
        return s

    def __enter__(self):
        try:
            self.gh.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        for s in self.kept:
            s.close()
        try:
            self.gh.close(check=False)
        finally:
            remove_tree(self.dir)

    def connect(self, order):
        """A connection whose worker has its order."""
        s = socket.create_connection(self.gh.server("imap"), timeout=LIMIT)
        s.sendall(order.encode() + b"\n")
        return s

    def hold(self, phase):
        """A worker that waits, until the end of the stage."""
        s = self.connect(f"hold {phase}")
        self.kept.append(s)
        if b"holding" not in s.recv(200):
            raise AssertionError("no worker holds")
        return s

    def attempt(self, order):
        """The result of `ID PHASE`.  Once more if a connection ended without a word: a
        pooled worker or a helper that has just died takes with it whoever came too early."""
        for _ in range(3):
            r = self.attempt_once(order)
            if r.verdict != "CRASH" or r.err or r.calls:
                break
        return r

    def attempt_once(self, order):
        mark, r, text, reset = self.gh.mark(), Result(), b"", False
        try:
            with self.connect(order) as s:
                while chunk := s.recv(65536):
                    text += chunk
        except ConnectionResetError:
            reset = True
        except TimeoutError:
            r.verdict = "HUNG"
            return r
        for line in text.decode("utf-8", "replace").splitlines():
            r.take(line)
        if r.verdict is None and reset and r.calls and r.calls[-1][:2] == ("n", CONNECT):
            r.verdict, r.note = "OPEN", "the client's connection is gone"
        elif r.verdict is None:
            self.autopsy(r, mark)
        return r

    def autopsy(self, r, mark):
        """It ended without a word: the launcher or the supervisor knows why."""
        if r.ended is not None:
            r.err = r.ended
            r.verdict = {0: "CRASH", signal.SIGSYS: "KILLED"}.get(r.err, "CRASH")
            if not r.err and r.calls and r.calls[-1][1] in EXECS:
                r.verdict, r.note = "OPEN", "another program ran in its place"
            return
        executed = bool(r.calls) and r.calls[-1][1] in EXECS
        patience = 2 if executed or not r.calls else LIMIT
        who = next((p for p in self.programs if p in ("gatehouse-auth", "gatehouse-keys")), "")
        try:
            m = self.gh.wait_log(who + r".*(?:killed with|died of|killed by) signal (\d+)",
                                 patience, mark)
        except AssertionError:
            m = None
        if m is None:
            r.verdict = "OPEN" if executed else "CRASH"
            r.note = "another program ran in its place" if executed else "ended without a word"
            return
        r.err = int(m[1])
        r.verdict = "KILLED" if r.err == signal.SIGSYS else "CRASH"


CONNECT = 42 if os.uname().machine == "x86_64" else 203
# execve, execveat
EXECS = (59, 322) if os.uname().machine == "x86_64" else (221, 281)


def controls(table):
    """id -> what the row comes to unconfined: as an unprivileged uid and, where the row
    needs it, as root in namespaces of his own.  OPEN if one of them finds the door open."""
    where = make_directory("/tmp")
    try:
        probe = f"{where}/gatehouse-probe"
        shutil.copy(PROBE, probe)
        os.chmod(where, 0o755)
        ids = [r["id"] for r in table if not r["flags"] & T_SWEEP]
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        out = _here((drop if ROOT else []) + [probe], ids)
        if ROOT:
            closed = [r["id"] for r in table if r["flags"] & T_ROOT and out[r["id"]] != "OPEN"]
            # The probe makes namespaces of its own as well: never the host's.
            fence = ["unshare", "-mnpiuCf", "--propagation", "private", "--mount-proc"]
            for name, result in _here(fence + [probe], closed).items() if closed else ():
                if result == "OPEN":
                    out[name] = result
        return out
    finally:
        remove_tree(where)


def _here(argv, ids):
    out = subprocess.run(argv + ["--here", "--json", "--exact"] + ids, capture_output=True,
                         text=True, timeout=300)
    results = {}
    for line in out.stdout.splitlines():
        o = json.loads(line)
        r = Result()
        r.verdict, r.err = o["result"], o["errno"]
        results[o["id"]] = r.text()
    missing = set(ids) - set(results)
    if missing:
        raise AssertionError(f"no control for {sorted(missing)}: {out.stderr}")
    return results
