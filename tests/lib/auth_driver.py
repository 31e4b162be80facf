#!/usr/bin/python3
"""Live test of gatehouse-auth: plays supervisor, launcher, key signer and worker
against the real binary, with a real private Dovecot 2.3 behind it, or with a
scripted auth server and mail process (for 2.4 and for faults).

  tests/lib/auth_driver.py [--bin FILE] [--filter FILE [--outer FILE]] [-v] [NAME...]

Prints TAP.  Needs root (chroot, Dovecot).  --filter: a compiled seccomp program
(raw struct sock_filter array) that the process installs as its last filter,
with Landlock; --outer: one that is in force when it is executed.
Only the Python standard library is needed.
"""

import argparse
import ctypes
import fcntl
import os
import re
import resource
import shutil
import socket
import struct
import sys
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


class Options:
    """What the command line says; the tests add themselves to `tests`."""
    bin = filter = outer = None
    verbose = False
    tests = []


# ---- the process under test --------------------------------------------------


class Auth:
    """gatehouse-auth in a chroot of its own, as nobody."""

    def __init__(self, root, **settings):
        filter_file = Options.filter
        image = open(Options.bin, "rb").read()
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
        image = os.open(Options.bin, os.O_RDONLY)
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
        prctl = ctypes.CDLL(None).prctl
        outer = open(Options.outer, "rb").read() if Options.outer else None
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        os.chroot(self.root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        if filter_file:
            self.confine(prctl, outer)
        os.execve(10, ["gatehouse-auth"], {})

    @staticmethod
    def confine(prctl, outer):
        assert prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        if outer:
            insns = ctypes.create_string_buffer(outer)
            prog = struct.pack("<HxxxxxxQ", len(outer) // 8, ctypes.addressof(insns))
            assert prctl(22, 2, ctypes.c_char_p(prog), 0, 0) == 0  # PR_SET_SECCOMP

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
                if Options.verbose:
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


def pack_rules(**values):
    """Settings outside of blocks, and no blocks (src/ipc/rules.def, rule_set_pack)."""
    packs = {"U8": u8, "U16": u16, "U32": u32, "NETS": block,
             "STR": lambda v: block((v or "").encode() + b"\0")}
    text = open(os.path.join(TOP, "src/ipc/rules.def")).read()
    fields = re.findall(r"^RULE\(\w+, (\w+), (\w+), .*TELL_AUTH", text, re.M)
    unknown = set(values) - {name for name, _ in fields}
    assert not unknown, unknown
    return b"".join(packs[kind](values.get(name, b"" if kind == "NETS" else 0))
                    for name, kind in fields) + u16(0)


def pack_settings(with_filter, auth="login", anvil="", max_userip=10, attempts=5,
                  auth_timeout=30000, handoff_timeout=90000, ssl=1, no_plaintext=1):
    # landlock, its ABI, unix dir, mdwe, seccomp; u32 nofile
    plan = (bytes([2, 1, 1, 1, 2]) if with_filter else bytes(5)) + bytes(4)
    return (block("mail.example.test") + block(auth) + block("imap") + block("pop3") +
            block(anvil) + u8(1) + plan +
            pack_rules(login_log_format="%$: %s",
                       login_log_format_elements="user=<%u> method=%m rip=%r lip=%l mpid=%e %c "
                       "session=<%{session}>", mail_max_userip_connections=max_userip,
                       auth_max_attempts=attempts, auth_timeout_ms=auth_timeout,
                       handoff_timeout_ms=handoff_timeout, ssl=ssl,
                       disable_plaintext_auth=no_plaintext, auth_verbose=1))


class Conn:
    """A connection as the launcher opens it, with us as its worker and client."""

    def __init__(self, auth, flags=TLS_IMPLICIT, service=0, rip="192.0.2.7", tls=None, cert=0,
                 cert_name=""):
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
        info = (u8(service) + u8(flags) + block(self.session) + block("imaps") + addr(rip, 45678) +
                addr("127.0.0.1", 993) + u32(0))
        send(auth.launcher, "CONN_OPEN", self.id, info, fds)
        for s in (chan_far, mail_far, server):
            if s:
                s.close()
        if tls if tls is not None else flags & TLS_IMPLICIT:
            send(auth.signer, "CONN_TLS", self.id)
            send(self.chan, "TLS_INFO", self.id, block("Mail.Example.test") +
                 block("TLSv1.3 with cipher X") + u8(cert) + block(cert_name))

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

    def cont(self, data, binding=b""):
        send(self.chan, "AUTH_CONT", self.request, block(data) + block(binding))

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
        data, out_of_band, binding = self.challenge_whole()
        assert not out_of_band and binding == "", (out_of_band, binding)
        return data

    def challenge_whole(self):
        """(data, is it for the worker alone, the channel binding asked for)"""
        _, f = self.get("AUTH_CHALLENGE")
        return f.block(), f.u8(), f.block().decode()

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


def main():
    # Here, not above: they take this module's names.
    sys.modules["auth_driver"] = sys.modules["__main__"]
    import auth_driver_dovecot  # noqa: F401
    import auth_driver_scripted  # noqa: F401
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bin", default=os.path.join(TOP, "build/libexec/gatehouse-auth"))
    parser.add_argument("--filter", help="compiled seccomp program to install")
    parser.add_argument("--outer", help="the same, installed before exec")
    parser.add_argument("-v", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    Options.bin, Options.filter, Options.outer = args.bin, args.filter, args.outer
    Options.verbose = args.v
    why = "needs root" if os.getuid() != 0 else None
    if not why and not os.access(args.bin, os.X_OK):
        why = "%s is not built" % args.bin
    if why:
        print("1..0 # SKIP " + why)
        return 0
    have_dovecot = shutil.which("dovecot") is not None
    todo = [t for t in Options.tests if not args.names or t.__name__ in args.names]
    print("1..%d" % len(todo))
    bad = 0
    for number, t in enumerate(todo, 1):
        if not have_dovecot and t.__module__ == "auth_driver_dovecot":
            print("ok %d - auth: %s # SKIP dovecot is not installed" % (number, t.__name__))
            continue
        try:
            t()
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
