"""What the kernel says about processes: read from /proc, nothing else.

Used by the tests and by scripts/run.  A process that is gone is None or an
empty answer, never an exception: processes end while one looks.
"""

import os
import re
import signal
import time

NAMESPACES = ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup")


def _read(pid, name, mode="r"):
    try:
        with open(f"/proc/{pid}/{name}", mode) as f:
            return f.read()
    except (OSError, UnicodeDecodeError):
        return None


class Process:
    """A pid with its start time, so that a reused pid is not mistaken for it."""

    def __init__(self, pid):
        self.pid = os.getpid() if pid == "self" else int(pid)
        self.start = self._start()

    def __repr__(self):
        return f"<{self.comm()} {self.pid}>"

    def __eq__(self, other):
        return isinstance(other, Process) and (self.pid, self.start) == (other.pid, other.start)

    def __hash__(self):
        return hash((self.pid, self.start))

    def _stat(self):
        text = _read(self.pid, "stat")
        return text.rsplit(")", 1)[1].split() if text else None

    def _start(self):
        f = self._stat()
        return int(f[19]) if f else None

    def state(self):
        f = self._stat()
        return f[0] if f and int(f[19]) == self.start else None

    def alive(self):
        """True while it runs; a zombie has ended."""
        return self.state() not in (None, "Z", "X")

    def comm(self):
        return (_read(self.pid, "comm") or "").strip()

    def argv(self):
        text = _read(self.pid, "cmdline") or ""
        return text.rstrip("\0").split("\0") if text else []

    def status(self):
        """The fields of /proc/PID/status; {} if it is gone."""
        text = _read(self.pid, "status") or ""
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def uid(self):
        s = self.status()
        return int(s["Uid"].split()[1]) if "Uid" in s else None

    def caps(self):
        """The five sets as numbers."""
        s = self.status()
        return {k: int(s[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
                if k in s}

    def namespaces(self):
        out = {}
        for ns in NAMESPACES:
            try:
                out[ns] = os.readlink(f"/proc/{self.pid}/ns/{ns}")
            except OSError:
                pass            # gone, or not ours to see
        return out

    def fds(self):
        """{number: what it is}, e.g. {3: 'socket:[123]'}."""
        out = {}
        try:
            for n in os.listdir(f"/proc/{self.pid}/fd"):
                try:
                    out[int(n)] = os.readlink(f"/proc/{self.pid}/fd/{n}")
                except OSError:
                    pass
        except OSError:
            pass
        return out

    def root_entries(self):
        """What lies in its root directory; None if that cannot be seen."""
        try:
            return os.listdir(f"/proc/{self.pid}/root/")
        except OSError:
            return None

    def limits(self):
        """{'Max core file size': ('0', '0'), ...}"""
        out = {}
        for line in (_read(self.pid, "limits") or "").splitlines()[1:]:
            m = re.match(r"(.{26})(\S+) +(\S+)", line)
            if m:
                out[m[1].strip()] = (m[2], m[3])
        return out

    def maps(self):
        return (_read(self.pid, "maps") or "").splitlines()

    def children(self):
        return [Process(p) for p in (_read(self.pid, f"task/{self.pid}/children") or "").split()]

    def descendants(self):
        out, queue = [], self.children()
        while queue:
            p = queue.pop(0)
            out.append(p)
            queue.extend(p.children())
        return out

    def kill(self, sig=signal.SIGKILL):
        """Only if it is still the process that it was."""
        if self.alive():
            try:
                os.kill(self.pid, sig)
            except ProcessLookupError:
                pass


def wait_gone(processes, seconds):
    """Wait until all have ended; returns those that have not."""
    end = time.monotonic() + seconds
    left = [p for p in processes if p.alive()]
    while left and time.monotonic() < end:
        time.sleep(0.02)
        left = [p for p in left if p.alive()]
    return left


def end_all(processes, grace=5.0):
    """TERM, then KILL.  Returns those that needed KILL."""
    for p in processes:
        p.kill(signal.SIGTERM)
    left = wait_gone(processes, grace)
    for p in left:
        p.kill(signal.SIGKILL)
    wait_gone(left, 10)
    return left


def confinement(p):
    """One line: what confines this process, from the kernel's mouth."""
    s = p.status()
    if not s:
        return "gone"
    own = Process(os.getpid()).namespaces()
    seen = p.namespaces()
    apart = [n for n in NAMESPACES if n in seen and seen[n] != own.get(n)]
    caps = p.caps()
    held = caps.get("CapPrm", 0) | caps.get("CapEff", 0) | caps.get("CapAmb", 0)
    root = p.root_entries()
    words = [
        f"uid {s['Uid'].split()[1]}",
        f"caps {'none' if held == 0 else format(held, 'x')}"
        + ("" if caps.get("CapBnd") == 0 else " (bounding set not empty)"),
        f"no_new_privs {s.get('NoNewPrivs', '?')}",
        "seccomp " + {"0": "none", "1": "strict"}.get(
            s.get("Seccomp", "?"), f"{s.get('Seccomp_filters', '?')} filters"),
        "namespaces " + (" ".join(apart) if apart else ("host's" if seen else "not visible")),
    ]
    if "mnt" in apart:
        words.append("root " + ("not visible" if root is None else
                                "empty" if not root else " ".join(sorted(root))))
    return ", ".join(words)


def tree_lines(top, confined=True):
    """'pid name: what confines it', indented, for the process and all below."""
    out = []

    def walk(p, depth):
        argv = p.argv()
        name = os.path.basename(argv[0]) if argv and argv[0] else p.comm()
        if name.startswith("gatehouse-login"):
            name = " ".join([name] + argv[1:3])
        what = f": {confinement(p)}" if confined else f" (uid {p.uid()})"
        out.append(f"{p.pid:>8} {'  ' * depth}{name}{what}")
        for c in p.children():
            walk(c, depth + 1)

    walk(top, 0)
    return out
