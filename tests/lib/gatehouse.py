"""gatehouse as a child process: configuration, start, log, process tree, end.

Used by the system tests (harness.py) and by scripts/demo.py.  Whoever imports
this becomes a subreaper, so that even what outlives a killed supervisor comes
back to be ended by pid.
"""

import contextlib
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import procs
from certs import Certificate
from dovecot import die_with_parent, make_directory, remove_tree
from procs import Process

ROOT = os.geteuid() == 0
TREE = os.environ.get("GATEHOUSE_TREE") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
KEYS_ID = 64601                 # default_keys_user: a number, no account is made
COMM = {"launcher": "gatehouse-launc", "login": "gatehouse-login", "auth": "gatehouse-auth",
        "keys": "gatehouse-keys"}
PR_SET_CHILD_SUBREAPER = 36

ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

CONFIG = """\
base_dir = {dir}/run
listen = {address}
protocols = imap pop3
{ids}
ssl_cert = <{cert}
ssl_key = <{key}
auth_socket_path = {sock}/login
login_socket_dir = {sock}
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
  {imap_login}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = {pop3s_port}
    ssl = yes
  }}
  {pop3_login}
}}
{settings}
"""


def eventually(check, seconds=20, every=0.05):
    """Wait until check() is true; returns its last value."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value or time.monotonic() >= end:
            return value
        time.sleep(every)


def own_address():
    """An address of 127.0.0.0/8 that nobody else is likely to use."""
    return f"127.{random.randint(2, 250)}.{random.randint(0, 250)}.{random.randint(2, 250)}"


def may_fork(p):
    """A template; each of its children has no processes left to make."""
    return p.limits().get("Max processes", ("0",))[0] != "0"


HANDED_OUT = set()


def free_port(address):
    """Free now, and never the same twice: nobody binds it before we go on."""
    while True:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
            s.bind((address, 0))
            port = s.getsockname()[1]
        if (address, port) not in HANDED_OUT:
            HANDED_OUT.add((address, port))
            return port


def reap_orphans(known=()):
    """End and reap what was left to us as subreaper, but for the known pids."""
    left = [p for p in Process(os.getpid()).children() if p.pid not in known]
    family = left + [d for p in left for d in p.descendants()]
    names = [f"{p.comm()} {p.pid}" for p in family if p.alive()]
    for p in family:
        p.kill(signal.SIGKILL)
    for p in left:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(p.pid, 0)
    # Grandchildren come to us when their parents are gone.
    return names + (reap_orphans(known) if left else [])


class StartError(Exception):
    """gatehouse ended or did not become ready; .status and .log say why."""

    def __init__(self, status, log):
        super().__init__(f"gatehouse did not start (status {status}):\n{log}")
        self.status, self.log = status, log


class Gatehouse:
    """One gatehouse -F.  .address, .ports["imap" "imaps" "pop3" "pop3s"].

    sock        the directory with Dovecot's sockets
    keep_ids    do not set default_keys_user
    conf        where the configuration is written (default: in .dir)
    echo        called with each log line
    """

    def __init__(self, sock, settings="", imap_login="", pop3_login="", cert=None, kind="p256",
                 address=None, keep_ids=False, program=None, ports=None,
                 conf=None, echo=None, base="/tmp"):
        self.dir = make_directory(base)
        self.sock = sock
        self.address = address or own_address()
        self.ports = ports or {n: free_port(self.address)
                               for n in ("imap", "imaps", "pop3", "pop3s")}
        self.cert = cert or Certificate(self.dir, kind=kind, addresses=(self.address,))
        self.conf = conf or os.path.join(self.dir, "gatehouse.conf")
        self.echo = echo
        self.settings, self.imap_login, self.pop3_login = settings, imap_login, pop3_login
        self.program = program or os.path.join(TREE, "build/bin/gatehouse")
        self.keep_ids = keep_ids
        self.process = self.popen = None
        self.lines, self.changed = [], threading.Condition()
        self.write_config()

    def server(self, name):
        return self.address, self.ports[name]

    def write_config(self, **changes):
        """Write it again, with .settings, .cert or others changed."""
        for k, v in changes.items():
            setattr(self, k, v)
        ids = f"default_keys_user = {KEYS_ID}" if ROOT and not self.keep_ids else ""
        with open(self.conf, "w") as f:
            f.write(CONFIG.format(
                dir=self.dir, address=self.address, ids=ids, cert=self.cert.cert,
                key=self.cert.key, sock=self.sock, settings=self.settings,
                imap_login=self.imap_login, pop3_login=self.pop3_login,
                **{f"{n}_port": p for n, p in self.ports.items()}))

    # ---- start and end ---------------------------------------------------------

    def start(self, seconds=60, wait=True):
        mark = self.mark()
        self.popen = subprocess.Popen([self.program, "-F", "-c", self.conf],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, start_new_session=True,
                                      preexec_fn=die_with_parent,
                                      env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
        self.process = Process(self.popen.pid)
        self.reader = threading.Thread(target=self._read, args=(self.popen.stderr,), daemon=True)
        self.reader.start()
        if wait:
            try:
                self.wait_log(r"ready: generation \d+", seconds, mark)
            except AssertionError:
                status = self.popen.poll()
                self.stop(check=False)
                raise StartError(status, self.text(mark)) from None
        return self

    def _read(self, pipe):
        for raw in pipe:
            with self.changed:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
            if self.echo:
                self.echo(self.lines[-1])
        pipe.close()
        with self.changed:
            self.changed.notify_all()

    def wait_status(self, seconds=30):
        """Its exit status; AssertionError if it does not end."""
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("gatehouse does not end:\n" + self.text()) from None
        self.reader.join(5)
        return status

    def stop(self, check=True):
        """INT, then KILL.  With check, whatever is left afterwards is an error."""
        if self.popen is None:
            return
        family = [self.process] + self.process.descendants()
        if self.popen.poll() is None:
            self.process.kill(signal.SIGINT)
            try:
                self.popen.wait(20)
                ended = True
            except subprocess.TimeoutExpired:
                ended = False
        else:
            ended = True
        left = [p for p in procs.wait_gone(family, 5) if p != self.process]
        for p in family:
            p.kill(signal.SIGKILL)
        self.popen.wait()
        procs.wait_gone(family, 10)
        self.reader.join(5)
        self.popen = None
        if check and not ended:
            raise AssertionError("gatehouse did not end after INT:\n" + self.text())
        if check and left:
            raise AssertionError(f"left behind after INT: {left}\n" + self.text())

    def close(self, check=True):
        try:
            self.stop(check)
        finally:
            remove_tree(self.dir)

    def signal(self, sig):
        self.process.kill(sig)

    def reload(self, seconds=60):
        mark = self.mark()
        self.signal(signal.SIGHUP)
        return self.wait_log(r"ready: generation \d+|reload refused.*", seconds, mark)

    def command(self, *words):
        """`gatehouse WORDS -c FILE`: exit status and all that it says."""
        r = subprocess.run([self.program, *words, "-c", self.conf], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=120)
        return r.returncode, r.stdout

    # ---- log -------------------------------------------------------------------

    def mark(self):
        """Where the log ends now, for `after`."""
        with self.changed:
            return len(self.lines)

    def text(self, after=0):
        with self.changed:
            return "\n".join(self.lines[after:])

    def find_log(self, pattern, after=0):
        with self.changed:
            return [m for line in self.lines[after:] if (m := re.search(pattern, line))]

    def wait_log(self, pattern, seconds=20, after=0):
        """The match of the first line since `after` that has the pattern."""
        end = time.monotonic() + seconds
        with self.changed:
            at = after
            while True:
                while at < len(self.lines):
                    if m := re.search(pattern, self.lines[at]):
                        return m
                    at += 1
                left = end - time.monotonic()
                ended = self.popen is not None and self.popen.poll() is not None \
                    and not self.reader.is_alive()
                if left <= 0 or ended:
                    raise AssertionError(f"no log line {pattern!r}"
                                         f"{' before the end' if ended else ''}; since then:\n"
                                         + "\n".join(self.lines[after:][-60:]))
                self.changed.wait(min(left, 0.2))

    # ---- processes -------------------------------------------------------------

    def helpers(self, name):
        """Live children of the supervisor: 'launcher', 'auth', 'keys'; newest last."""
        return sorted((p for p in self.process.children()
                       if p.comm() == COMM[name] and p.alive()), key=lambda p: (p.start, p.pid))

    def helper(self, name, seconds=20):
        found = eventually(lambda: self.helpers(name), seconds)
        assert found, f"no {name}:\n{self.text()}"
        return found[-1]

    def logins(self, launcher=None):
        """All gatehouse-login processes (of one launcher)."""
        of = [launcher] if launcher else self.helpers("launcher")
        return [p for x in of for p in x.children() if p.comm() == COMM["login"] and p.alive()]

    def depth(self, p):
        """How many filters it has above the launcher's: in the fork model 1 a
        template, 2 before login, 3 after; exec 1 before and 2 after."""
        try:
            return int(p.status()["Seccomp_filters"]) - self._launcher_filters()
        except KeyError:
            return None

    def _launcher_filters(self):
        return int(self.helper("launcher").status()["Seccomp_filters"])

    def _before_client(self, service):
        return [p for p in self.logins() if p.argv()[1:2] == ["template"] and self.depth(p) == 1
                and (service is None or p.argv()[2:3] == [service])]

    def templates(self, service=None):
        return [p for p in self._before_client(service) if may_fork(p)]

    def waiting(self, service=None):
        """Forked children that wait for their connection (process_min_avail)."""
        return [p for p in self._before_client(service) if not may_fork(p)]

    def workers(self):
        """Workers with a connection in the fork model; all in the others."""
        without = set(self._before_client(None))
        return [p for p in self.logins() if p not in without]
