#!/usr/bin/python3
"""Live test of gatehouse-auth: plays supervisor, launcher, key signer and worker
against the real binary, with a real private Dovecot 2.3 behind it, or with a
scripted auth server and mail process (for 2.4 and for faults).

  tests/lib/auth_driver.py [--bin FILE] [--filter FILE] [-v] [NAME...]

Prints TAP.  Needs root (chroot, Dovecot).  --filter: a compiled seccomp program
(raw struct sock_filter array) that the process installs as its last filter.
Only the Python standard library is needed.
"""

import argparse
import base64
import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# ---- the IPC codec, again (docs/internals.md, src/ipc) -----------------------

R_SUPERVISOR, R_LAUNCHER, R_AUTH, R_KEYS, R_WORKER = 1, 2, 4, 8, 16


def message_numbers():
    text = open(os.path.join(TOP, "src/ipc/msg.def")).read()
    names = re.findall(r"^MSG\((\w+),", text, re.M)
    return {name: number for number, name in enumerate(names, 1)}


MSG = message_numbers()
NAME = {number: name for name, number in MSG.items()}

TLS_IMPLICIT, TLS_OFFERED, SECURED = 1, 2, 4
FAIL = dict(enumerate("AUTH REASON AUTHZ TEMP EXPIRED BASE64 NOLOGIN REFERRAL MECH PLAINTEXT "
                      "SSL_REQUIRED LIMIT UNAVAILABLE".split()))
BYE = dict(enumerate("QUEUE_FULL SHUTDOWN TIMEOUT TIMEOUT_AUTH TIMEOUT_LOGIN INTERNAL "
                     "ATTEMPTS".split()))


def u8(v):
    return struct.pack("<B", v)


def u16(v):
    return struct.pack("<H", v)


def u32(v):
    return struct.pack("<I", v)


def block(v):
    if isinstance(v, str):
        v = v.encode()
    return u32(len(v)) + v


class Fields:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        piece, self.data = self.data[:n], self.data[n:]
        assert len(piece) == n
        return piece

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def block(self):
        return self.take(self.u32())


def send(sock, name, ident=0, fields=b"", fds=()):
    data = struct.pack("<HHI", MSG[name], 0, ident) + fields
    if fds:
        socket.send_fds(sock, [data], list(fds))
    else:
        sock.send(data)


def recv(sock, timeout=20):
    sock.settimeout(timeout)
    data, fds, _, _ = socket.recv_fds(sock, 16384, 4)
    for fd in fds:
        os.close(fd)
    if not data:
        return None, 0, Fields(b"")
    kind, zero, ident = struct.unpack("<HHI", data[:8])
    assert zero == 0
    return NAME[kind], ident, Fields(data[8:])


def seqpair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def addr(ip, port):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    raw = socket.inet_pton(family, ip)
    return u16(family) + u16(port) + raw.ljust(16, b"\0")


# ---- the process under test --------------------------------------------------


class Auth:
    """gatehouse-auth in a chroot of its own, as nobody."""

    def __init__(self, root, binary, filter_file=None, **settings):
        self.binary = binary
        image = open(binary, "rb").read()
        self.build_id = re.search(rb"\d+\.\d+\.\d+-[0-9a-f]{16}", image).group().decode()
        self.root = root
        self.lines = []
        self.log_lock = threading.Condition()
        log_r, log_w = os.pipe()
        mine, theirs = seqpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.child(log_w, theirs.fileno(), settings, filter_file)
            except BaseException:
                traceback.print_exc()
            os._exit(99)
        os.close(log_w)
        theirs.close()
        self.control = mine
        self.log_r = log_r
        threading.Thread(target=self.read_log, daemon=True).start()
        name, _, f = recv(mine)
        assert name == "HELLO", (name, self.lines)
        assert f.block().decode() == self.build_id and f.u8() == R_AUTH
        send(mine, "HELLO", 0, self.hello(R_SUPERVISOR))
        self.launcher = self.peer(R_LAUNCHER)
        self.signer = self.peer(R_KEYS)
        self.next_id = 1000

    def child(self, log, control, settings, filter_file):
        image = os.open(self.binary, os.O_RDONLY)
        set_fd = os.memfd_create("settings")
        os.write(set_fd, pack_settings(filter_file is not None, **settings))
        flt = os.memfd_create("filters", os.MFD_ALLOW_SEALING)
        os.ftruncate(flt, 6 * 4096)
        if filter_file:
            prog = open(filter_file, "rb").read()
            at = 0x20000000 + 5 * 4096
            os.pwrite(flt, struct.pack("<HxxxxxxQ", len(prog) // 8, at + 64), 5 * 4096)
            os.pwrite(flt, prog, 5 * 4096 + 64)
        fcntl.fcntl(flt, 1033, 1 | 2 | 4 | 8)
        ro = os.open("/proc/self/fd/%d" % flt, os.O_RDONLY)
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (log, control, set_fd, ro, image)]
        for fd, want in zip(moved, (2, 7, 8, 9, 10)):
            os.dup2(fd, want)
        for fd in (0, 1, 3, 4, 5, 6):
            try:
                os.close(fd)
            except OSError:
                pass
        os.closerange(11, 4096)
        os.set_inheritable(10, False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        os.chroot(self.root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        if filter_file:
            import ctypes
            ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        os.execve(10, ["gatehouse-auth"], {})

    def hello(self, role):
        return block(self.build_id) + u8(role) + u32(1) + block(b"")

    def peer(self, role):
        mine, theirs = seqpair()
        send(self.control, "PEER", 0, u8(role), [theirs.fileno()])
        theirs.close()
        send(mine, "HELLO", 0, self.hello(role))
        name, _, _ = recv(mine)
        assert name == "HELLO"
        return mine

    def read_log(self):
        with os.fdopen(self.log_r, "r", errors="replace") as f:
            for line in f:
                with self.log_lock:
                    self.lines.append(line.rstrip("\n"))
                    self.log_lock.notify_all()
                if VERBOSE:
                    print("# log:", line.rstrip("\n"))

    def log_has(self, pattern, timeout=10):
        end = time.time() + timeout
        with self.log_lock:
            while True:
                for line in self.lines:
                    if re.search(pattern, line):
                        return line
                if not self.log_lock.wait(max(0.0, end - time.time())) and time.time() > end:
                    raise AssertionError("not in the log: %s\n%s" % (
                        pattern, "\n".join(self.lines[-20:])))

    def end(self):
        """Stop it; a death by signal is a failure of the test."""
        try:
            send(self.control, "STOP")
        except OSError:
            pass
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, "status %#x" % status


def pack_settings(with_filter, hostname="mail.example.test", auth="login", imap="imap", pop3="pop3",
                  anvil="", fmt="user=<%u> method=%m rip=%r lip=%l mpid=%e %c "
                  "session=<%{session}>", max_userip=10, attempts=5, auth_timeout=30000,
                  handoff_timeout=90000, ssl=1, no_plaintext=1, verbose=1):
    plan = bytes([0, 0, 0, 0, 2 if with_filter else 0])
    return (block(hostname) + block(auth) + block(imap) + block(pop3) + block(anvil) + block(fmt) +
            u32(max_userip) + u32(attempts) + u32(auth_timeout) + u32(handoff_timeout) +
            u8(ssl) + u8(no_plaintext) + u8(verbose) + u8(1) + plan)


class Conn:
    """A connection as the launcher opens it, with us as its worker and client."""

    def __init__(self, auth, flags=TLS_IMPLICIT, service=0, rip="192.0.2.7", tls=None):
        self.auth = auth
        auth.next_id += 1
        self.id = auth.next_id
        self.session = "session%d" % self.id
        self.request = 0
        self.chan, chan_far = seqpair()
        self.mail, mail_far = socket.socketpair()
        fds = [chan_far.fileno(), mail_far.fileno()]
        self.client = None
        server = None
        if not flags & TLS_IMPLICIT:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.client = socket.create_connection(listener.getsockname())
                server, _ = listener.accept()
            fds.append(server.fileno())
        info = (u8(service) + u8(flags) + block(self.session) + addr(rip, 45678) +
                addr("127.0.0.1", 993) + u32(0))
        send(auth.launcher, "CONN_OPEN", self.id, info, fds)
        for s in (chan_far, mail_far, server):
            if s:
                s.close()
        if tls if tls is not None else flags & TLS_IMPLICIT:
            send(auth.signer, "CONN_TLS", self.id)
            send(self.chan, "TLS_INFO", self.id, block("Mail.Example.test") +
                 block("TLSv1.3 with cipher X") + u8(0))

    def get(self, want, timeout=20):
        name, ident, f = recv(self.chan, timeout)
        assert name == want, "%s instead of %s: %r" % (name, want, f.data)
        return ident, f

    def ready(self):
        _, f = self.get("AUTH_READY")
        mechs = {}
        for _ in range(f.u8()):
            name = f.block().decode()
            mechs[name] = f.u8()
        self.apop = f.block().decode()
        return mechs

    def start(self, mech, ir=None):
        self.request += 1
        send(self.chan, "AUTH_START", self.request,
             block(mech) + u8(ir is not None) + block(ir or b""))

    def cont(self, data):
        send(self.chan, "AUTH_CONT", self.request, block(data))

    def plain(self, user="alice", password="wonderland"):
        self.start("PLAIN", b"\0" + user.encode() + b"\0" + password.encode())

    def fail(self):
        ident, f = self.get("AUTH_FAIL")
        assert ident == self.request
        return FAIL[f.u8()], f.block().decode()

    def ok(self):
        ident, f = self.get("AUTH_OK")
        assert ident == self.request
        return f.block().decode()

    def challenge(self):
        return self.get("AUTH_CHALLENGE")[1].block()

    def handoff(self, prefix=b"0a1\0", data=b""):
        send(self.chan, "HANDOFF", self.request, block(prefix) + block(data))

    def result(self, timeout=20):
        _, f = self.get("HANDOFF_RES", timeout)
        return f.u8(), f.block().decode()

    def logged_in(self):
        name, ident, _ = recv(self.auth.launcher)
        assert (name, ident) == ("CONN_LOGGED_IN", self.id), (name, ident)

    def over(self):
        name, _, _ = recv(self.chan)
        assert name is None, name

    def close(self, why=None):
        if why:
            send(self.chan, "GOODBYE", self.id, u8(0) + block(why))
        self.chan.close()
        self.mail.close()
        if self.client:
            self.client.close()


def imap_says(sock, want, timeout=20):
    """Read until the text is there."""
    sock.settimeout(timeout)
    got = b""
    while want not in got:
        piece = sock.recv(4096)
        assert piece, "closed after %r" % got
        got += piece
    return got


# ---- a private Dovecot -------------------------------------------------------

DOVECOT = """
base_dir = {d}/run
state_dir = {d}/state
log_path = {d}/dovecot.log
auth_verbose = yes
protocols = imap pop3
ssl = no
auth_failure_delay = 0
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = 0
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service auth {{
  unix_listener {d}/sock/login {{
    mode = 0666
  }}
}}
service imap {{
  process_limit = {limit}
  unix_listener {d}/sock/imap {{
    mode = 0666
  }}
}}
service pop3 {{
  unix_listener {d}/sock/pop3 {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener {d}/sock/anvil {{
    mode = 0666
  }}
}}
auth_mechanisms = plain login cram-md5 apop
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {d}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={d}/mail/%u
}}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
"""

USERS = """alice:{PLAIN}wonderland
nologin:{PLAIN}x::::::nologin reason=Gone_fishing
expired:{PLAIN}x::::::
"""


class Dovecot:
    def __init__(self, limit=100):
        self.dir = tempfile.mkdtemp(prefix="gha", dir="/tmp")
        os.chmod(self.dir, 0o755)
        for sub, mode in (("sock", 0o755), ("state", 0o755), ("mail", 0o777)):
            os.mkdir("%s/%s" % (self.dir, sub))
            os.chmod("%s/%s" % (self.dir, sub), mode)
        open(self.dir + "/users", "w").write(USERS)
        self.conf = self.dir + "/dovecot.conf"
        open(self.conf, "w").write(DOVECOT.format(d=self.dir, limit=limit))
        self.sock = self.dir + "/sock"
        self.start()

    def start(self):
        subprocess.run(["dovecot", "-c", self.conf], check=True, stdout=subprocess.DEVNULL)

    def reload(self):
        subprocess.run(["doveadm", "-c", self.conf, "reload"], check=True)

    def stop(self):
        subprocess.run(["doveadm", "-c", self.conf, "stop"], check=False)
        end = time.time() + 10
        while os.path.exists(self.dir + "/run/master.pid") and time.time() < end:
            time.sleep(0.05)

    def auth_pid(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                cmd = open("/proc/%s/cmdline" % pid).read()
                parent = open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if cmd.startswith("dovecot/auth\0") and "-w" not in cmd and \
                    int(parent) == int(open(self.dir + "/run/master.pid").read()):
                return int(pid)
        return None

    def end(self):
        self.stop()
        if VERBOSE:
            for line in open(self.dir + "/dovecot.log"):
                print("# dovecot:", line.rstrip())
        shutil.rmtree(self.dir)


# ---- tests with the real Dovecot --------------------------------------------

VERBOSE = False
TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


def with_dovecot(limit=100, **settings):
    """A decorator: the test gets a Dovecot and an Auth."""
    def wrap(fn):
        def run(args):
            d = Dovecot(limit)
            try:
                a = Auth(d.sock, args.bin, args.filter, **settings)
                try:
                    fn(d, a)
                finally:
                    a.end()
            finally:
                d.end()
        run.__name__ = fn.__name__
        TESTS.append(run)
        return run
    return wrap


def serve_check(c, sock, tag=b"a1"):
    """The mail process really has it."""
    imap_says(sock, tag + b" OK [CAPABILITY ")
    sock.sendall(b"z9 LOGOUT\r\n")
    imap_says(sock, b"z9 OK")


@with_dovecot()
def plain_tls_pipelined(d, a):
    c = Conn(a)
    mechs = c.ready()
    assert mechs["PLAIN"] == 4 and mechs["APOP"] & 1, mechs
    c.plain()
    assert c.ok() == "alice"
    c.handoff(b"0a1\0", b"a2 NOOP\r\n")
    assert c.result() == (0, "")
    c.logged_in()
    got = imap_says(c.mail, b"a2 OK")
    assert b"a1 OK [CAPABILITY " in got
    c.over()
    c.mail.sendall(b"a3 LOGOUT\r\n")
    imap_says(c.mail, b"a3 OK")
    assert c.mail.recv(10) == b"", "our end of the mail channel was not closed"
    a.log_has(r"^Iimap-login: Login: user=<alice>, method=PLAIN, rip=192\.0\.2\.7, "
              r"lip=127\.0\.0\.1, mpid=\d+, TLS, session=<session\d+>$")


@with_dovecot()
def plain_cleartext_secured(d, a):
    c = Conn(a, TLS_OFFERED | SECURED)
    c.ready()
    c.plain()
    c.ok()
    c.handoff(b"0a1\0", b"a2 NOOP\r\n")
    assert c.result()[0] == 0
    c.logged_in()
    imap_says(c.client, b"a2 OK")
    a.log_has(r"Login: user=<alice>.*, secured, session")


@with_dovecot()
def pop3_and_apop(d, a):
    c = Conn(a, TLS_IMPLICIT, service=1)
    c.ready()
    assert re.match(r"<[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\.\S+@mail\.example\.test>$", c.apop), c.apop
    c.plain()
    c.ok()
    c.handoff(b"", b"STAT\r\n")
    assert c.result()[0] == 0
    imap_says(c.mail, b"+OK 0 0")
    c.logged_in()
    import hashlib
    c = Conn(a, TLS_OFFERED, service=1)
    c.ready()
    digest = hashlib.md5(c.apop.encode() + b"wonderland").digest()
    c.start("APOP", b"<1.2.3.x@mail.example.test>\0alice\0" + digest)
    assert c.fail()[0] == "TEMP"  # another's challenge is not passed on
    c.start("APOP", c.apop.encode() + b"\0alice\0" + digest)
    assert c.ok() == "alice"
    c.handoff(b"")
    assert c.result()[0] == 0
    imap_says(c.client, b"+OK Logged in")


@with_dovecot()
def wrong_password(d, a):
    c = Conn(a)
    c.ready()
    c.plain(password="nonsense")
    assert c.fail() == ("AUTH", "")
    a.log_has(r"^Iimap-login: Auth failed: user=<alice>, method=PLAIN, rip=192\.0\.2\.7")
    c.close("Connection closed")
    a.log_has(r"^Iimap-login: Disconnected: Connection closed \(auth failed, 1 attempts in \d+ "
              r"secs\): user=<alice>, method=PLAIN, rip=192\.0\.2\.7, lip=127\.0\.0\.1, TLS, "
              r"session=<session\d+>$")


@with_dovecot()
def nologin_with_reason(d, a):
    c = Conn(a)
    c.ready()
    c.plain("nologin", "x")
    assert c.fail() == ("NOLOGIN", "Gone_fishing")
    c.plain()
    c.ok()
    c.close()
    a.log_has(r"Disconnected: Connection closed \(internal failure, 1 successful auths\)"
              r"|disconnected while finishing login")


@with_dovecot()
def login_multistep_and_cancel(d, a):
    c = Conn(a)
    c.ready()
    c.start("LOGIN")
    assert c.challenge() == b"Username:"
    c.cont(b"alice")
    assert c.challenge() == b"Password:"
    send(c.chan, "AUTH_CANCEL", c.request)
    c.start("login")
    c.challenge()
    c.cont(b"alice")
    c.challenge()
    c.cont(b"wonderland")
    c.ok()
    c.handoff()
    assert c.result()[0] == 0
    serve_check(c, c.mail)


@with_dovecot()
def plain_without_initial_response(d, a):
    c = Conn(a)
    c.ready()
    c.start("PLAIN")
    assert c.challenge() == b""
    c.cont(b"\0alice\0wonderland")
    c.ok()
    c.handoff()
    assert c.result()[0] == 0
    serve_check(c, c.mail)


@with_dovecot()
def hostile_values_cost_nobody_else(d, a):
    """CVE-2026-33603, CVE-2019-10691: all of it inside base64, escaped or refused."""
    c = Conn(a)
    c.ready()
    c.plain("al\tice\nAUTH\t9\tPLAIN", "x")
    assert c.fail()[0] == "AUTH"
    c.plain("al\u00ef\u00edce\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "x")
    assert c.fail()[0] == "AUTH"
    c.start("PLAIN\tresp=x")
    assert c.fail()[0] == "MECH"
    c.start("APOP", b"x")
    assert c.fail()[0] == "MECH"
    c.start("PLAIN", b"\0" * 9000)
    assert c.fail()[0] in ("AUTH", "BASE64", "TEMP")
    assert c.get("CONN_BYE")[1].u8() == 6  # auth_max_attempts = 5
    other = Conn(a)
    other.ready()
    other.plain()
    other.ok()


@with_dovecot()
def refused_without_asking(d, a):
    c = Conn(a, TLS_OFFERED)
    c.ready()
    c.plain()
    assert c.fail() == ("PLAINTEXT", "")
    send(a.signer, "CONN_TLS", c.id)  # STARTTLS
    c.plain()
    c.ok()
    c.handoff()
    assert c.result()[0] == 0
    serve_check(c, c.mail)  # over the mail channel, not the client's socket
    c = Conn(a, TLS_IMPLICIT, tls=False)  # a worker that only says so
    c.ready()
    c.plain()
    assert c.fail()[0] == "SSL_REQUIRED"


@with_dovecot(ssl=2, no_plaintext=0)
def ssl_required(d, a):
    c = Conn(a, TLS_OFFERED | SECURED)
    c.ready()
    c.start("CRAM-MD5")
    assert c.fail()[0] == "SSL_REQUIRED"
    c.close()
    assert not re.search("cram", open(d.dir + "/dovecot.log").read(), re.I)


@with_dovecot(limit=1)
def imap_at_process_limit(d, a):
    first = Conn(a)
    first.ready()
    first.plain()
    first.ok()
    first.handoff()
    assert first.result()[0] == 0
    first.logged_in()
    c = Conn(a)
    c.ready()
    c.plain()
    c.ok()
    c.handoff()
    result, text = c.result(30)
    assert result == 2 and "[mail.example.test:" in text, (result, text)
    first.mail.sendall(b"x LOGOUT\r\n")
    imap_says(first.mail, b"x OK")
    first.close()
    time.sleep(0.5)
    c.plain()  # the connection stayed
    c.ok()
    c.handoff(b"0b7\0")
    assert c.result(30)[0] == 0
    serve_check(c, c.mail, b"b7")


@with_dovecot()
def reload_between_ok_and_handoff(d, a):
    c, plain, multi = Conn(a), Conn(a, TLS_OFFERED | SECURED), Conn(a)
    for x in (c, plain, multi):
        x.ready()
    c.plain()
    c.ok()
    plain.plain()
    plain.ok()
    multi.start("LOGIN")
    multi.challenge()
    multi.cont(b"alice")
    multi.challenge()
    multi.cont(b"wonderland")
    multi.ok()
    d.reload()
    time.sleep(1)
    c.handoff()
    assert c.ok() == "alice"  # a second time, by the new auth process
    assert b"NO [UNAVAILABLE]" in c.mail.recv(4096)  # what the worker throws away
    c.handoff()
    assert c.result()[0] == 0
    serve_check(c, c.mail)
    a.log_has("auth server was reloaded")
    plain.handoff()
    assert plain.result()[0] == 3
    imap_says(plain.client, b"a1 NO [UNAVAILABLE]")
    multi.handoff()  # no credentials at hand
    assert multi.result()[0] == 1
    imap_says(multi.mail, b"a1 NO [UNAVAILABLE]")
    multi.plain()
    multi.ok()
    multi.handoff(b"0m2\0")
    assert multi.result()[0] == 0
    serve_check(multi, multi.mail, b"m2")


@with_dovecot()
def auth_killed_and_restarted(d, a):
    c, granted = Conn(a), Conn(a)
    c.ready()
    granted.ready()
    granted.plain()
    granted.ok()
    c.start("LOGIN")
    c.challenge()
    os.kill(d.auth_pid(), signal.SIGKILL)
    a.log_has("auth server .*connection closed")
    c.cont(b"alice")
    why, text = c.fail()
    assert why == "TEMP" and re.match(r"Temporary authentication failure\. \[mail\.example\.test:"
                                      r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\]$", text), text
    c.plain()  # waits for the new one
    c.ok()
    c.handoff()
    assert c.result()[0] == 0
    serve_check(c, c.mail)
    granted.handoff()  # its OK is lost: said again without the client's help
    granted.ok()
    granted.handoff()
    assert granted.result()[0] == 0
    serve_check(granted, granted.mail)


@with_dovecot()
def dovecot_stopped_and_started(d, a):
    c = Conn(a)
    c.ready()
    d.stop()
    c.plain()  # the old auth process lives for half a minute and says yes
    c.ok()
    threading.Timer(0.5, d.start).start()
    c.handoff()  # waits for the socket, is told no, and asks the new one
    assert c.ok() == "alice"
    c.handoff()
    assert c.result()[0] == 0


@with_dovecot(anvil="anvil", max_userip=2)
def too_many_sessions(d, a):
    open_ones = []
    for _ in range(2):
        c = Conn(a)
        c.ready()
        c.plain()
        c.ok()
        c.handoff()
        assert c.result()[0] == 0
        imap_says(c.mail, b"a1 OK")
        open_ones.append(c)
    time.sleep(0.3)
    c = Conn(a)
    c.ready()
    c.plain()
    why, text = c.fail()
    assert why == "LIMIT" and "mail_max_userip_connections=2" in text
    other = Conn(a, rip="192.0.2.8")
    other.ready()
    other.plain()
    other.ok()


@with_dovecot()
def malformed_worker_costs_itself(d, a):
    good = Conn(a)
    good.ready()
    for evil in (b"\0", os.urandom(100), struct.pack("<HHI", MSG["CONN_OPEN"], 0, 1) + b"x" * 40,
                 struct.pack("<HHI", MSG["AUTH_START"], 0, 1) + u32(99999) + b"x" * 10,
                 struct.pack("<HHI", MSG["HANDOFF"], 0, 1) + block(b"") + block(b"")):
        c = Conn(a)
        c.ready()
        c.chan.send(evil)
        c.over()
    a.log_has("Wworker of connection .*malformed")
    good.plain()
    good.ok()
    good.handoff(b"0\0")  # an empty tag would greet as PREAUTH
    good.over()


@with_dovecot()
def stop_from_launcher(d, a):
    c = Conn(a)
    c.ready()
    send(a.launcher, "CONN_STOP", c.id, u8(0))
    assert BYE[c.get("CONN_BYE")[1].u8()] == "QUEUE_FULL"
    c.close("Connection queue full")
    a.log_has(r"Disconnected: Connection queue full \(no auth attempts in \d+ secs\): user=<>, rip")


@with_dovecot()
def peers_replaced(d, a):
    c = Conn(a)
    c.ready()
    a.signer.close()
    a.signer = a.peer(R_KEYS)
    old = a.launcher
    a.launcher = a.peer(R_LAUNCHER)  # its workers are gone with it
    c.over()
    old.close()
    a.next_id = 1000  # ids begin anew
    c = Conn(a)
    c.ready()
    c.plain()
    c.ok()
    c.handoff()
    assert c.result()[0] == 0
    c.logged_in()


@with_dovecot()
def many_connections(d, a):
    conns = [Conn(a, rip="192.0.2.%d" % (i % 250)) for i in range(200)]
    for c in conns:
        c.ready()
    for c in conns:
        c.plain()
    for c in conns:
        assert c.ok() == "alice"
    for c in conns:
        c.close()
    c = Conn(a)
    c.ready()
    c.plain()
    c.ok()
    c.handoff()
    assert c.result()[0] == 0


# ---- a scripted auth server and mail process ---------------------------------


class Scripted:
    """A socket directory of our own; the test plays the other side by hand."""

    def __init__(self, minor=4, spid=77):
        self.minor, self.spid = minor, spid
        self.dir = tempfile.mkdtemp(prefix="ghs", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.auth = self.listen("login")
        self.mail = self.listen("imap")

    def listen(self, name, backlog=8):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind("%s/%s" % (self.dir, name))
        os.chmod("%s/%s" % (self.dir, name), 0o666)
        s.listen(backlog)
        s.settimeout(20)
        return s

    def accept(self, listener=None):
        conn, _ = (listener or self.auth).accept()
        conn.settimeout(20)
        return conn

    def greet(self, cookie=b"0123456789abcdef0123456789abcdef"):
        """2.4's way: after the client's VERSION."""
        conn = self.accept()
        f = conn.makefile("rb")
        conn.sendall(b"VERSION\t1\t%d\n" % self.minor)
        assert f.readline() == b"VERSION\t1\t2\n"
        word, cpid = f.readline().split(b"\t")
        assert word == b"CPID"
        conn.sendall(b"MECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-1\tmutual-auth\nNEW\tthing\n"
                     b"MECH\tDOVECOT-TOKEN\tprivate\nSPID\t%d\nCUID\t3\nCOOKIE\t%s\nDONE\n" %
                     (self.spid, cookie))
        return conn, f, int(cpid)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def scripted(minor=4, **settings):
    def wrap(fn):
        def run(args):
            s = Scripted(minor)
            try:
                a = Auth(s.dir, args.bin, args.filter, **settings)
                try:
                    fn(s, a)
                finally:
                    if a.pid:
                        a.end()
            finally:
                s.close()
        run.__name__ = fn.__name__
        TESTS.append(run)
        return run
    return wrap


def auth_line(f):
    line = f.readline().rstrip(b"\n").split(b"\t")
    return line


def logged_in_at(s, a, srv, **kwargs):
    """A connection with its OK."""
    c = Conn(a, **kwargs)
    c.ready()
    c.plain()
    line = auth_line(srv[1])
    assert line[0] == b"AUTH" and line[2:4] == [b"PLAIN", b"service=imap"], line
    srv[0].sendall(b"OK\t" + line[1] + b"\t\tuser=alice\n")
    assert c.ok() == "alice"
    return c, int(line[1]), line


def take_request(s, size):
    conn = s.accept(s.mail)
    data, fds, _, _ = socket.recv_fds(conn, 4096, 2)
    assert len(fds) == 1 and len(data) > size
    return conn, data, fds[0]


def check_request(minor, size, layout):
    def run(s, a):
        srv = s.greet()
        c, ident, line = logged_in_at(s, a, srv, rip="2001:db8::7")
        assert line[4:] == [b"secured=tls", b"session=" + c.session.encode(), b"lip=127.0.0.1",
                            b"rip=2001:db8::7", b"lport=993", b"rport=45678",
                            b"local_name=mail.example.test",
                            b"resp=" + base64.b64encode(b"\0alice\0wonderland")], line
        c.handoff(b"1tag\0", b"x NOOP\r\n")
        conn, data, fd = take_request(s, size)
        ino = os.fstat(fd).st_ino
        tag, *rest = layout.unpack(data[:size])
        lip = struct.pack("<HH", 2, 0) + bytes([127, 0, 0, 1])
        rip = struct.pack("<HH", 10, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8::7")
        width = 20 if size == 96 else 24
        payload = c.session.encode() + b"\0" + b"1tag\0" + b"x NOOP\r\n"
        assert rest == [77, ident, srv[2], bytes.fromhex("0123456789abcdef" * 2),
                        lip.ljust(width, b"\0"), rip.ljust(width, b"\0"), 993, 45678, 6,
                        len(payload), ino], rest
        assert data[size:] == payload
        os.write(fd, b"tag OK in\r\n")
        conn.sendall(struct.pack("<II", tag, 0))  # in two pieces
        time.sleep(0.1)
        conn.sendall(struct.pack("<i", 4242))
        assert c.result() == (0, "")
        c.logged_in()
        imap_says(c.mail, b"tag OK in")
        os.close(fd)
        assert c.mail.recv(1) == b""
        a.log_has("Login: user=<alice>.*mpid=4242")
    return run


@scripted(minor=4)
def request_of_24(s, a):
    check_request(4, 104, struct.Struct("@IiII16s24s24sHHIIxxxxQ"))(s, a)


@scripted(minor=2)
def request_of_23(s, a):
    check_request(2, 96, struct.Struct("@IiII16s20s20sHHIIxxxxQ"))(s, a)


@scripted(auth_timeout=300)
def silent_auth_server(s, a):
    srv = s.greet()
    c = Conn(a)
    c.ready()
    c.plain()
    line = auth_line(srv[1])
    c.get("AUTH_WAIT")
    assert c.fail()[0] == "TEMP"
    assert auth_line(srv[1]) == [b"CANCEL", line[1]]
    srv[0].sendall(b"OK\t" + line[1] + b"\tuser=alice\n")  # too late
    c.plain()
    line2 = auth_line(srv[1])
    assert line2[1] != line[1]
    srv[0].sendall(b"FAIL\t" + line2[1] + b"\tuser=alice\tcode=user_disabled\n")
    assert c.fail() == ("AUTH", "")
    c.close()
    a.log_has(r"Disconnected: Connection closed \(user disabled\): user=<alice>")


@scripted(handoff_timeout=300)
def silent_mail_process(s, a):
    srv = s.greet()
    c, ident, _ = logged_in_at(s, a, srv)
    c.handoff()
    conn, data, fd = take_request(s, 104)
    assert c.result()[0] == 2
    assert BYE[c.get("CONN_BYE")[1].u8()] == "TIMEOUT_LOGIN"
    assert auth_line(srv[1]) == [b"CANCEL", b"%d" % ident]


@scripted()
def answer_to_another_request(s, a):
    srv = s.greet()
    c, _, _ = logged_in_at(s, a, srv)
    c.handoff()
    conn, data, fd = take_request(s, 104)
    conn.sendall(struct.pack("<IIi", 99999, 0, 1))
    assert c.result()[0] == 2


@scripted()
def cancelled_when_the_client_goes(s, a):
    srv = s.greet()
    c, ident, _ = logged_in_at(s, a, srv)
    c.close()
    assert auth_line(srv[1]) == [b"CANCEL", b"%d" % ident]
    a.log_has(r"disconnected while finishing login, waited 0 secs\)")


@scripted()
def wild_answers(s, a):
    srv = s.greet()
    c = Conn(a)
    c.ready()
    c.plain()
    ident = auth_line(srv[1])[1]
    srv[0].sendall(b"WHAT\tever\n\nOK\t4000000000\tuser=mallory\nFAIL\t7\nCANCELLED\t1\n"
                   b"CONT\t0\tAAAA\n")
    for byte in b"CONT\t" + ident + b"\tZ28gb24=\n":
        srv[0].sendall(bytes([byte]))
    assert c.challenge() == b"go on"
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\n")  # not the server's turn
    c.cont(b"yes")
    assert auth_line(srv[1]) == [b"CONT", ident, b"eWVz"]
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\tnologin\thost=there\tport=143\n")
    assert c.fail() == ("REFERRAL", "imap://alice;AUTH=PLAIN@there:143/")
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\n")  # again
    c.plain()
    ident = auth_line(srv[1])[1]
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\tpostlogin_socket=../secret\n")
    assert c.fail()[0] == "TEMP"
    assert auth_line(srv[1]) == [b"CANCEL", ident]
    c.plain()
    ident = auth_line(srv[1])[1]
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\tproxy\thost=1.2.3.4\n")
    assert c.fail() == ("UNAVAILABLE", "Account is temporarily unavailable.")
    a.log_has("Eauth server wants a proxied login")


@scripted()
def broken_greetings_and_lines(s, a):
    for evil in (b"VERSION\t2\t0\n", b"SPID\t1\n", b"VERSION\t1\t1\nDONE\n", b"x" * 20000,
                 b"VERSION\t1\t1\nOK\t1\tuser=x\n", b"VERSION\t1\t1\nCOOKIE\tzz\n",
                 b"VERSION\t1\t1\nSPID\t99999999999\n"):
        conn = s.accept()
        try:
            conn.sendall(evil)
            while conn.recv(4096):
                pass
        except ConnectionError:
            pass
    srv = s.greet()
    c = Conn(a)
    c.ready()
    srv[0].sendall(b"FAIL\tx\n")
    srv2 = s.greet()
    c.plain()
    assert auth_line(srv2[1])[0] == b"AUTH"


@scripted()
def crowded_login_socket(s, a):
    """connect() finds a full queue: tried again for half a second."""
    srv = s.greet()
    s.mail.close()
    os.unlink(s.dir + "/imap")
    s.mail = s.listen("imap", backlog=0)
    fill = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fill.connect(s.dir + "/imap")
    c, _, _ = logged_in_at(s, a, srv)
    c.handoff()
    time.sleep(0.2)
    s.accept(s.mail)
    conn, data, fd = take_request(s, 104)
    conn.sendall(data[:4] + struct.pack("<Ii", 0, 5))
    assert c.result()[0] == 0
    fill2 = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fill2.connect(s.dir + "/imap")
    c, _, _ = logged_in_at(s, a, srv)
    c.handoff()
    assert c.result()[0] == 2


@scripted()
def postlogin_socket(s, a):
    srv = s.greet()
    other = s.listen("imap-postlogin")
    c = Conn(a)
    c.ready()
    c.plain()
    ident = auth_line(srv[1])[1]
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\tpostlogin_socket=imap-postlogin\n")
    c.ok()
    c.handoff()
    assert s.accept(other)


@scripted()
def stale_directory(s, a):
    srv = s.greet()
    # chroot and its root are one directory: remove it under the process
    s.auth.close()
    shutil.rmtree(s.dir)
    srv[0].close()
    srv[1].close()
    _, status = os.waitpid(a.pid, 0)
    assert os.WEXITSTATUS(status) == 75, status
    a.pid = 0


@scripted(minor=4, anvil="anvil", max_userip=3)
def anvil_of_24(s, a):
    srv = s.greet()
    anvil = s.listen("anvil")
    c = Conn(a)
    c.ready()
    c.plain()
    ident = auth_line(srv[1])[1]
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\n")
    q = s.accept(anvil)
    q.sendall(b"VERSION\tanvil-server\t2\t0\n")
    assert q.recv(4096) == b"VERSION\tanvil-client\t2\t0\n\nLOOKUP\talice\timap\t192.0.2.7\n"
    q.sendall(b"2\n")
    c.ok()
    second = Conn(a)
    second.ready()
    second.plain()
    ident = auth_line(srv[1])[1]
    srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\n")
    s.accept(anvil).close()  # fails open
    second.ok()
    a.log_has("Wanvil: no answer")


@scripted(attempts=2)
def unix_nothing_left_over(s, a):
    """Connections come and go; descriptors do not pile up."""
    srv = s.greet()
    threading.Thread(target=lambda: [None for _ in srv[1]], daemon=True).start()
    for _ in range(50):
        c = Conn(a, TLS_OFFERED | SECURED)
        c.ready()
        c.plain()
        c.close()
    Conn(a).ready()
    end = time.time() + 5
    while len(os.listdir("/proc/%d/fd" % a.pid)) > 13 and time.time() < end:
        time.sleep(0.05)
    assert len(os.listdir("/proc/%d/fd" % a.pid)) <= 13, os.listdir("/proc/%d/fd" % a.pid)


def main():
    global VERBOSE
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bin", default=os.path.join(TOP, "build/libexec/gatehouse-auth"))
    parser.add_argument("--filter", help="compiled seccomp program to install")
    parser.add_argument("-v", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    VERBOSE = args.v
    why = "needs root" if os.getuid() != 0 else None
    if not why and not os.access(args.bin, os.X_OK):
        why = "%s is not built" % args.bin
    if why:
        print("1..0 # SKIP " + why)
        return 0
    have_dovecot = shutil.which("dovecot") is not None
    todo = [t for t in TESTS if not args.names or t.__name__ in args.names]
    print("1..%d" % len(todo))
    bad = 0
    for number, t in enumerate(todo, 1):
        if not have_dovecot and t.__qualname__.startswith("with_dovecot"):
            print("ok %d - auth: %s # SKIP dovecot is not installed" % (number, t.__name__))
            continue
        try:
            t(args)
            print("ok %d - auth: %s" % (number, t.__name__), flush=True)
        except BaseException as error:
            bad += 1
            print("not ok %d - auth: %s" % (number, t.__name__))
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            sys.stdout.flush()
            if isinstance(error, KeyboardInterrupt):
                raise
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
