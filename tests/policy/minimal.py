#!/usr/bin/python3 -B
"""Is every right in policy/ needed?  Takes away one rule at a time (and one
element of each `in {}`), runs gatehouse with what is left, and says which test
then fails.  A rule that no test needs should not be there.

    minimal.py [-j N] [-o FILE] [--new] [POLICY[:CALL]...]   as root; all policies if none is named

A rule whose reason begins with "elsewhere: " is for other kernels, architectures
or C libraries than this one; it is listed as such and not tried.

The tests are short and look for the paths that matter for system calls, failures
included: see PROBES.  -o writes the table (docs/minimality.md).  --new tries only the
rights that the table in FILE does not have yet, and keeps its other rows.
"""

import argparse
import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TREE, "tests/lib"))
os.environ.setdefault("GATEHOUSE_TREE", TREE)

import dovecot  # noqa: E402
import gatehouse  # noqa: E402
from client import ClientError, Imap, Pop  # noqa: E402

PROGRAM = os.path.join(TREE, "build/bin/gatehouse")
CLOCK = os.path.join(TREE, "build/clock")
KILLED = r"system call that (it|its)|signal 31|\(SYS\)|forbids"
# Kept although no test here needs it: what no test can bring about at will.
KEPT = {("pool", "write", "log"): "says that there is no room for one more connection",
        ("auth-client", "exit_group", None): "a fatal error ends it so, and not by a signal",
        ("key-signer", "epoll_ctl", "EPOLL_CTL_MOD"):
            "the auth client's channel is full: the launcher's, which fills first, hides it",
        ("key-signer", "exit_group", None): "a fatal error ends it so, and not by a signal"}
ORDER = ("start", "launcher", "template", "login", "tls-proxy", "pool", "auth-client",
         "key-signer")


class Failed(Exception):
    pass


# ---- what is taken away -------------------------------------------------------------

class Right:
    """One rule of a policy, or one element of one of its lists."""

    def __init__(self, policy, line, text, element=None):
        self.policy, self.line, self.text, self.element = policy, line, text, element
        self.call = re.match(r"(?:allow|errno \w+|log)\s+(\w+)", text)[1]
        self.why = re.search(r'why "(.*?)"', text)[1]

    def name(self):
        rule = re.sub(r"\s+", " ", self.text.partition("why ")[0]).strip()
        return f"{rule}: without {self.element}" if self.element else rule

    def without(self, lines):
        out = list(lines)
        if self.element is None:
            del out[self.line]
            return out
        head, _, rest = out[self.line].partition("{")
        inside, _, tail = rest.partition("}")
        left = [e for e in map(str.strip, inside.split(",")) if e != self.element]
        out[self.line] = head + "{" + ", ".join(left) + "}" + tail
        return out


def read_policy(name):
    with open(os.path.join(TREE, f"policy/{name}.policy")) as f:
        return f.read().splitlines()


def rights_of(name, elements=True):
    for n, line in enumerate(read_policy(name)):
        if not re.match(r"(allow|errno|log) ", line):
            continue
        yield Right(name, n, line)
        for inside in re.findall(r"\{(.*?)\}", line) if elements else ():
            parts = [p.strip() for p in inside.split(",")]
            if len(parts) > 1:
                for p in parts:
                    yield Right(name, n, line, p)


def without_fd(lines, name):
    """A descriptor that no rule uses any more is not declared either."""
    return [line for line in lines if not re.match(rf"fd\s+[\d-]+\s+{re.escape(name)}\s", line)]


def mutated(right, into):
    """Writes the policies without this right.  None, or why that is no policy."""
    for f in os.listdir(os.path.join(TREE, "policy")):
        if f.endswith(".policy"):
            shutil.copy(os.path.join(TREE, "policy", f), into)
    lines = read_policy(right.policy) if right else None
    while True:
        if right:
            with open(os.path.join(into, f"{right.policy}.policy"), "w") as f:
                f.write("\n".join(right.without(lines)) + "\n")
        r = subprocess.run([PROGRAM, "policy", "check", "-d", into], capture_output=True, text=True)
        if r.returncode == 0:
            return None
        unused = re.search(r'descriptor \d+, "([\w-]+)", is used by no rule', r.stderr)
        if not unused:
            return r.stderr.strip().replace(into + "/", "")
        fewer = without_fd(lines, unused[1])
        if fewer == lines:
            return r.stderr.strip()
        right = Right(right.policy, fewer.index(lines[right.line]), right.text, right.element)
        lines = fewer


# ---- the tests ------------------------------------------------------------------------

class Bench:
    """One gatehouse under the policies in question."""

    def __init__(self, sock, policies, settings="", imap_login="", pop3_login=""):
        self.gh = gatehouse.Gatehouse(sock, imap_login=imap_login, pop3_login=pop3_login,
                                      settings=f"policy_dir = {policies}\n"
                                      f"mail_max_userip_connections = 0\n{settings}")
        self.seconds = 12
        self.dovecot = None

    def close(self):
        self.gh.close(check=False)

    def lacks(self, rules):
        """On a kernel that lacks things."""
        script = os.path.join(self.gh.dir, "lacking")
        with open(script, "w") as f:
            f.write(f"#!/bin/sh\nexec /usr/bin/python3 -B {TREE}/tests/lib/lacking.py "
                    f"{' '.join(rules)} -- {self.gh.program} \"$@\"\n")
        os.chmod(script, 0o755)
        self.gh.program = script

    def start(self):
        try:
            self.gh.start(seconds=25)
        except gatehouse.StartError as e:
            raise Failed(e.log) from None

    def imap(self, tls=True, **kw):
        kw.setdefault("seconds", self.seconds)
        return Imap(self.gh.server("imaps" if tls else "imap"), tls=tls, **kw)

    def logged_in(self, **kw):
        c = self.imap(**kw)
        self.ok(c.login())
        return c

    @staticmethod
    def ok(answer, want="OK"):
        if not answer.startswith(want):
            raise Failed(f"answer {answer!r}")

    @staticmethod
    def want(value, what):
        if not value:
            raise Failed(what)
        return value

    def new_worker(self, before):
        found = gatehouse.eventually(lambda: set(self.gh.workers()) - set(before), self.seconds)
        return sorted(self.want(found, "no worker"), key=lambda p: p.start)[-1]

    # Each: one thing that happens to a server.

    def tls_login(self):
        with self.logged_in() as c:
            c.command("SELECT INBOX")
            self.want(b"Welcome" in c.fetch("BODY.PEEK[]"), "no message")
            self.ok(c.command("LOGOUT")[1])

    def plain_login(self):
        with self.logged_in(tls=False, source=self.gh.address) as c:
            self.ok(c.command("NOOP")[1])

    def starttls_login(self):
        with self.imap(tls=False) as c:
            c.starttls()
            self.ok(c.login())
            self.ok(c.command("NOOP")[1])

    def pop3_login(self):
        with Pop(self.gh.server("pop3s"), tls=True, seconds=self.seconds) as c:
            self.want(c.login(), "no login")
            c.command("QUIT")

    def refused_login(self):
        with self.imap() as c:
            self.ok(c.login(password="wrong"), "NO")
            self.ok(c.login())

    def noise(self):
        for tls, data in ((False, b"\x16\x03\x01\x02\x00" + bytes(100)), (False, b"x" * 20000),
                          (True, b"x\r\n" * 30)):
            with contextlib.suppress(OSError, ClientError), self.imap(tls=tls) as c:
                c.send(data)
                c.rest(4)
        with contextlib.suppress(OSError, ClientError):
            Imap(self.gh.server("imaps"), tls=False, greet=False, seconds=3).close()

    def client_gone(self):
        """Before the login, in the handshake, and after the login without a word."""
        self.imap().close()
        c = self.logged_in()
        c.sock.close()
        self.tls_login()

    def slow_reader(self):
        """More than all buffers hold, read late."""
        with self.logged_in(rcvbuf=1 << 14) as c:
            c.command("SELECT INBOX")
            n = 400
            c.send(b"".join(b"f%d FETCH 1 BODY.PEEK[]\r\n" % i for i in range(n)))
            time.sleep(0.5)
            for _ in range(3):
                c.send(b"n NOOP\r\n" * 2000)
            c.sock.settimeout(40)
            got = b""
            while b"f%d OK" % (n - 1) not in got:
                more = c.sock.recv(1 << 16)
                self.want(more, "connection ended")
                got = got[-4000:] + more

    def flood_before_login(self):
        """Commands without reading the answers."""
        with contextlib.suppress(OSError, ClientError), self.imap(rcvbuf=1 << 12) as c:
            c.sock.settimeout(3)
            for _ in range(60):
                c.send(b"a CAPABILITY\r\n" * 500)
        self.tls_login()

    def stop_and_continue(self):
        """Blocked workers, before and after login, and the helpers."""
        c = self.imap()
        family = self.gh.logins() + [self.gh.helper(n) for n in ("launcher", "auth", "keys")]
        for _ in range(2):
            for p in family:
                p.kill(signal.SIGSTOP)
            time.sleep(0.15)
            for p in family:
                p.kill(signal.SIGCONT)
            time.sleep(0.05)
            if _ == 0:
                self.ok(c.login())
        self.ok(c.command("NOOP")[1])
        c.close()
        self.tls_login()

    def templates_retire(self):
        """template_max_uses is 3."""
        for _ in range(5):
            with self.imap(tls=False):
                pass
        self.tls_login()

    def worker_crashes(self):
        """As by a wild pointer, and as by abort()."""
        for sig in (signal.SIGSEGV, signal.SIGABRT):
            before = set(self.gh.workers())
            c = self.imap()
            self.new_worker(before)
            for p in set(self.gh.workers()) - before:   # a new template may be among them
                p.kill(sig)
            c.rest(10)
            c.close()
            self.want(gatehouse.eventually(self.can_log_in, 20), "no login after a crash")

    def full_channels(self):
        """Helpers stand still while clients ask them for more than the channels hold."""
        for name in ("auth", "keys"):
            p = self.gh.helper(name)
            p.kill(signal.SIGSTOP)
            held = []
            try:
                for i in range(30):
                    with contextlib.suppress(OSError, ClientError):
                        held.append(self.imap(tls=False, greet=False, seconds=2))
                        held[-1].send(b"\x16\x03\x01" if i % 2 else b"a LOGIN u1 x\r\n" * 3)
                    with contextlib.suppress(OSError, ClientError):
                        held.append(self.imap(greet=False, seconds=0.05))
            finally:
                p.kill(signal.SIGCONT)
            for c in held:
                c.close()
            self.want(gatehouse.eventually(self.can_log_in, 20), f"no login after {name} stood still")

    def memory_runs_out(self):
        """vsz_limit is 32 MiB: a pool's arena is full of TLS connections."""
        held = []
        with contextlib.suppress(OSError, ClientError):
            for _ in range(600):
                held.append(self.imap(seconds=4))
        self.want(len(held) < 600, "the arena was never full")
        for c in held:
            c.close()
        self.want(gatehouse.eventually(self.can_log_in, 20), "no login after the arena was full")

    def children_wait(self):
        """process_min_avail is 3: connections find a child that is there already."""
        for _ in range(4):
            held = [self.imap(tls=i % 2 == 0) for i in range(4)]
            self.ok(held[0].login())
            for c in held:
                c.close()
        self.tls_login()

    def at_the_limit(self):
        """process_limit 6: the oldest one before its login makes room."""
        held = [self.imap(tls=False) for _ in range(8)]
        self.tls_login()
        for c in held:
            c.close()

    def helpers_die(self):
        live = self.logged_in()
        for name in ("auth", "keys"):
            old = self.gh.helper(name)
            old.kill(signal.SIGKILL)
            self.want(gatehouse.eventually(lambda: [p for p in self.gh.helpers(name) if p != old],
                                           20), f"{name} does not come back")
            self.want(gatehouse.eventually(self.can_log_in, 20), f"no login after {name} died")
        self.ok(live.command("NOOP")[1])
        live.close()

    def can_log_in(self):
        try:
            self.tls_login()
            return True
        except (OSError, ClientError, Failed):
            time.sleep(0.2)
            return False

    def launcher_dies(self):
        old = self.gh.helper("launcher")
        old.kill(signal.SIGKILL)
        self.want(gatehouse.eventually(lambda: [p for p in self.gh.helpers("launcher")
                                                if p != old], 20), "no launcher")
        self.want(gatehouse.eventually(self.can_log_in, 20), "no login after the launcher died")

    def auth_server_dies(self):
        self.dovecot.kill_auth()
        self.want(gatehouse.eventually(self.can_log_in, 20), "no login after the auth server died")

    def reloads(self):
        live, idle = self.logged_in(), self.imap()
        self.want("ready" in self.gh.reload(30)[0], "reload refused")
        self.ok(live.command("NOOP")[1])
        self.ok(idle.login())
        self.tls_login()
        live.close()
        idle.close()

    def two_hours_ahead(self):
        """A clock on which 100 s pass between any two looks: each DRBG is reseeded."""
        held = [self.imap() for _ in range(3)]
        for c in held:
            self.ok(c.login())
            self.ok(c.command("NOOP")[1])
            c.close()
        for _ in range(12):
            self.tls_login()

    def many_at_once(self):
        held = [self.imap(tls=i % 2 == 0) for i in range(12)]
        for c in held[::2]:
            self.ok(c.login())
        for c in held:
            c.close()
        self.tls_login()

    def workers_wear_out(self):
        """service_count 40 (pool), and all is served on."""
        for _ in range(45):
            with self.imap(tls=False):
                pass
        self.tls_login()

    def login_timeout(self):
        """login_timeout is 2 s."""
        with self.imap(tls=False) as c:
            c.rest(15)

    def no_filter_after_login(self):
        """The kernel refuses the tls-proxy filter: said, and no session."""
        mark = self.gh.mark()
        with contextlib.suppress(OSError, ClientError), self.imap() as c:
            c.login()
            if c.command("NOOP")[1].startswith("OK"):
                raise Failed("a session without its filter")
        self.gh.wait_log("cannot install the tls-proxy filter", 8, mark)

    def ends(self):
        """TERM with a session that stays: told, then killed."""
        live, idle = self.logged_in(), self.imap()
        self.gh.signal(signal.SIGTERM)
        self.gh.wait_status(20)
        live.close()
        idle.close()


FORK = dict(settings="template_max_uses = 3\nshutdown_timeout = 1s\nlogin_timeout = 25s",
            imap_login="process_limit = 6")
EXEC = dict(settings="worker_spawn = exec\nshutdown_timeout = 1s\nlogin_timeout = 25s",
            imap_login="process_min_avail = 1")
POOL = dict(settings="shutdown_timeout = 1s\nlogin_timeout = 25s",
            imap_login="service_count = 40\nclient_limit = 20", pop3_login="service_count = 0")
READY = dict(settings="shutdown_timeout = 1s\nlogin_timeout = 25s",
             imap_login="process_min_avail = 3\nprocess_limit = 12")
FULL = dict(settings="shutdown_timeout = 1s\nlogin_timeout = 25s",
            imap_login="service_count = 0\nprocess_limit = 1\nclient_limit = 1000\n"
            "vsz_limit = 32M")
SHORT = dict(settings="login_timeout = 2s\nshutdown_timeout = 1s")
LESS = dict(settings="shutdown_timeout = 1s")
# What a site may have made of a policy: (file, pattern, what comes there).
NARROWED = {"narrow-login": ("login", r"nofile \d+", "nofile 14")}
LACKS = {"no-secret-memory": ["memfd_secret=ENOSYS"],    # see tests/lib/lacking.py
         "no-proxy-filter": ["seccomp:2==0x20000000=ENOMEM"]}
PROBES = {
    "fork": (FORK, ("start", "tls_login", "plain_login", "starttls_login", "pop3_login",
                    "refused_login", "templates_retire", "client_gone", "noise", "at_the_limit",
                    "stop_and_continue", "worker_crashes", "slow_reader", "flood_before_login",
                    "reloads", "full_channels", "helpers_die", "auth_server_dies",
                    "launcher_dies", "ends")),
    "ready": (READY, ("start", "children_wait", "reloads", "ends")),
    "narrow-login": (LESS, ("start", "tls_login")),
    "full": (FULL, ("start", "memory_runs_out", "ends")),
    "exec": (EXEC, ("start", "tls_login", "plain_login", "starttls_login", "pop3_login",
                    "refused_login", "client_gone", "noise", "many_at_once", "stop_and_continue",
                    "slow_reader", "flood_before_login", "reloads", "ends")),
    "pool": (POOL, ("start", "tls_login", "plain_login", "starttls_login", "pop3_login",
                    "refused_login", "many_at_once", "client_gone", "noise", "stop_and_continue",
                    "slow_reader", "flood_before_login", "workers_wear_out", "reloads",
                    "helpers_die", "ends")),
    "short": (SHORT, ("start", "login_timeout")),
    "no-secret-memory": (LESS, ("start", "tls_login")),
    "no-proxy-filter": (LESS, ("start", "no_filter_after_login")),
    "clock-fork": (FORK, ("start", "two_hours_ahead")),
    "clock-exec": (EXEC, ("start", "two_hours_ahead")),
    "clock-pool": (POOL, ("start", "two_hours_ahead")),
}
VARIANTS = {
    "start": ("fork", "clock-fork", "no-secret-memory"),
    "launcher": ("fork", "exec", "pool", "short", "ready"),
    "template": ("fork", "clock-fork", "short", "ready", "narrow-login"),
    "login": ("fork", "no-proxy-filter", "ready", "exec", "clock-exec", "clock-fork", "short"),
    "tls-proxy": ("fork", "exec"),
    "pool": ("pool", "clock-pool", "full"),
    "auth-client": ("fork", "pool", "exec"),
    "key-signer": ("fork", "clock-fork", "no-secret-memory", "pool"),
}
def run_probe(bench, name):
    mark = bench.gh.mark()
    try:
        getattr(bench, name)()
    except Failed as e:
        return f"{e}"
    except (OSError, ClientError, AssertionError, IndexError) as e:
        return repr(e)
    finally:
        time.sleep(0.05)
    killed = bench.gh.find_log(KILLED, mark)
    return killed[0].string if killed else None


def words(failure, log):
    """What to say of it: who was killed, if somebody was."""
    for line in log:
        m = re.search(r"(gatehouse-\w+|\w+-login)[: ].*(?:signal 31|SIGSYS|\(SYS\))", line)
        if m:
            return f"{m[1]} is killed by SIGSYS"
    line = failure.strip().splitlines()[-1] if failure.strip() else failure
    return re.sub(r"\(pid \d+\) ?|^\w{3} +\d+ [\d:]+ |/tmp/[\w./-]+/", "", line)[:110]


def narrowed(policies, name, pattern, replacement):
    """A copy beside them."""
    into = f"{policies}/narrowed"
    shutil.copytree(policies, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("narrowed"))
    path = f"{into}/{name}.policy"
    with open(path) as f:
        text, n = re.subn(pattern, replacement, f.read(), count=1)
    if n != 1:
        raise Failed(f"{name}.policy has no {pattern}")
    with open(path, "w") as f:
        f.write(text)
    return into


def try_variant(dove, policies, variant):
    """None: all tests pass.  Else (test, what happened)."""
    options, probes = PROBES[variant]
    options = dict(options)
    if variant.startswith("clock"):
        options["settings"] += f"\nlibexec_dir = {CLOCK}\nssl_session_lifetime = 1 day"
    if variant in NARROWED:
        policies = narrowed(policies, *NARROWED[variant])
    bench = Bench(dove.sock, policies, **options)
    bench.dovecot = dove
    if variant in LACKS:
        bench.lacks(LACKS[variant])
    try:
        for name in probes:
            failure = run_probe(bench, name)
            if failure is not None:
                return f"{variant}: {name}", words(failure, bench.gh.lines)
    finally:
        bench.close()
    return None


def judge(dove, right):
    """(verdict, test, what): verdict is needed, inherited, elsewhere, kept or unneeded."""
    if right.why.startswith("elsewhere: "):
        return "elsewhere", "", right.why.removeprefix("elsewhere: ")
    if (right.policy, right.call, right.element) in KEPT:
        return "kept", "", KEPT[right.policy, right.call, right.element]
    with tempfile.TemporaryDirectory(prefix="gh-minimal.", dir="/tmp") as d:
        os.chmod(d, 0o755)
        refusal = mutated(right, d)
        if refusal is not None:
            m = re.search(r"([\w-]+)\.policy:\d+:\d+: (\w+)\(.*stays in force", refusal)
            return "inherited", "", f"{m[1]} has it, too: {m[2]}" if m else refusal[:150]
        for variant in VARIANTS[right.policy]:
            found = try_variant(dove, d, variant)
            if found:
                return ("needed", *found)
    return "unneeded", "", "NO TEST NEEDS THIS"


def baseline(dove):
    bad = []
    with tempfile.TemporaryDirectory(prefix="gh-minimal.", dir="/tmp") as d:
        os.chmod(d, 0o755)
        if (refusal := mutated(None, d)) is not None:
            return [refusal]
        for variant in PROBES:
            found = try_variant(dove, d, variant)
            if found:
                bad.append(f"{found[0]}: {found[1]}")
    return bad


def row_name(right):
    name = f"&nbsp;&nbsp;{right.call}: `{right.element}`" if right.element else f"`{right.name()}`"
    return name.replace("|", "\\|")


def key_of(right):
    """The element of a list stands below its rule, and is known by both."""
    return right.policy, row_name(Right(right.policy, right.line, right.text)), row_name(right)


def known(path):
    """The results in a table, by key_of."""
    rows, policy, rule = {}, None, None
    if not os.path.exists(path):
        return rows
    with open(path) as f:
        for line in f:
            if line.startswith("## "):
                policy = line[3:].strip()
            cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
            if policy is None or len(cells) != 3 or not re.match(r"`|&nbsp;", cells[0]):
                continue
            if cells[0].startswith("`"):
                rule = cells[0]
            verdict = re.fullmatch(r"\*(\w+)\*", cells[1])
            rows[policy, rule, cells[0]] = (verdict[1], "", cells[2]) if verdict else \
                ("needed", cells[1], cells[2])
    return rows


def table(results, to):
    print("# Minimality: which right is needed for what\n\n"
          "Made by `make minimal` (tests/policy/minimal.py): each rule of `policy/`, and each "
          "element of a list, is taken away in turn; this is the first test that then fails. "
          "*inherited*: a later filter of the same processes has the right, and could not if it "
          "were missing here. *elsewhere*: for other kernels, architectures or C libraries; not "
          "tried here. *kept*: no test can bring it about at will. With `--new` rows of rights "
          "that did not change are from earlier runs.\n", file=to)
    for policy in ORDER:
        rows = [r for r in results if r[0].policy == policy]
        if not rows:
            continue
        print(f"## {policy}\n\n| right | without it fails | how |\n|---|---|---|", file=to)
        for right, (verdict, test, what) in rows:
            print(f"| {row_name(right)} | {test or '*' + verdict + '*'} | {what} |", file=to)
        print(file=to)


def main():
    p = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    p.add_argument("-j", type=int, default=2)
    p.add_argument("-o")
    p.add_argument("--new", action="store_true", help="only what the table of -o lacks")
    p.add_argument("--rules", action="store_true", help="whole rules only, no elements")
    p.add_argument("what", nargs="*")
    args = p.parse_args()
    if args.new and not args.o:
        p.error("--new: which table? (-o FILE)")
    rights = [r for name in ORDER for r in rights_of(name, not args.rules)
              if not args.what or name in args.what or f"{name}:{r.call}" in args.what]
    old = known(args.o) if args.new else {}
    results = {r: old[key_of(r)] for r in rights if key_of(r) in old}
    with contextlib.ExitStack() as doves:
        mine = threading.local()

        def a_dovecot():
            mine.dove = dovecot.Dovecot()
            doves.callback(mine.dove.close)
            mine.dove.start()

        # The process that starts another dies with its thread: all is done in the pool's.
        with concurrent.futures.ThreadPoolExecutor(args.j, initializer=a_dovecot) as pool:
            bad = pool.submit(lambda: baseline(mine.dove)).result()
            if bad:
                sys.exit("with the policies as they are:\n  " + "\n  ".join(bad))
            todo = [r for r in rights if r not in results]
            print(f"baseline good; {len(todo)} of {len(rights)} rights to try", flush=True)
            jobs = {pool.submit(lambda r=r: judge(mine.dove, r)): r for r in todo}
            for job in concurrent.futures.as_completed(jobs):
                right = jobs[job]
                results[right] = job.result()
                print(f"{right.policy}: {right.name()}: {' / '.join(results[right])}", flush=True)
    rows = [(r, results[r]) for r in rights]
    if args.o:
        with open(args.o, "w") as f:
            table(rows, f)
    unneeded = [r for r, v in rows if v[0] == "unneeded"]
    print(f"{len(rows)} rights, {len(unneeded)} of them needed by no test")
    for r in unneeded:
        print(f"  {r.policy}: {r.name()}")
    return 1 if unneeded else 0


if __name__ == "__main__":
    sys.exit(main())
