"""Tests of auth_driver.py with a scripted auth server and mail process: Dovecot 2.4's
structures, and faults that no Dovecot shows on demand."""

import base64
import os
import shutil
import socket
import struct
import tempfile
import threading
import time

from auth_driver import BYE, SECURED, TLS_OFFERED, Auth, Conn, Options, imap_says

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

    def greet(self, cookie=b"0123456789abcdef0123456789abcdef", mechs=b""):
        """2.4's way: after the client's VERSION."""
        conn = self.accept()
        f = conn.makefile("rb")
        conn.sendall(b"VERSION\t1\t%d\n" % self.minor)
        assert f.readline() == b"VERSION\t1\t%d\n" % min(max(self.minor, 2), 3)
        word, cpid = f.readline().split(b"\t")
        assert word == b"CPID"
        conn.sendall(b"MECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-1\tmutual-auth\nNEW\tthing\n"
                     b"MECH\tDOVECOT-TOKEN\tprivate\n%sSPID\t%d\nCUID\t3\nCOOKIE\t%s\nDONE\n" %
                     (mechs, self.spid, cookie))
        return conn, f, int(cpid)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def scripted(minor=4, **settings):
    def wrap(fn):
        def run():
            s = Scripted(minor)
            try:
                a = Auth(s.dir, **settings)
                try:
                    fn(s, a)
                finally:
                    if a.pid:
                        a.end()
            finally:
                s.close()
        run.__name__ = fn.__name__
        Options.tests.append(run)
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
def dropped_by_a_reload(s, a):
    """Closed at once, unanswered: sent again, and only for two seconds."""
    srv = s.greet()
    c, _, _ = logged_in_at(s, a, srv)
    c.handoff()
    conn, data, fd = take_request(s, 104)
    conn.close()
    os.close(fd)
    conn, again, fd = take_request(s, 104)
    assert again == data
    conn.sendall(data[:4] + struct.pack("<Ii", 0, 77))
    assert c.result()[0] == 0


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
def login_socket_being_made(s, a):
    """A reload: gone, then bound but without its mode, then there.  If it never gets it, the log
    has the reason."""
    path = s.dir + "/imap"
    srv = s.greet()
    c, _, _ = logged_in_at(s, a, srv)
    s.mail.close()
    os.unlink(path)
    c.handoff()
    time.sleep(0.1)
    s.mail = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.mail.settimeout(20)
    before = os.umask(0o777)
    s.mail.bind(path)
    os.umask(before)
    s.mail.listen(8)
    time.sleep(0.3)
    os.chmod(path, 0o666)
    conn, data, fd = take_request(s, 104)
    conn.sendall(data[:4] + struct.pack("<Ii", 0, 5))
    assert c.result()[0] == 0
    os.chmod(path, 0)
    c, _, _ = logged_in_at(s, a, srv)
    c.handoff()
    assert c.result()[0] == 2
    a.log_has("login socket imap: cannot connect .*Permission denied")


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
    a.log_has("Wanvil: ")  # no answer, or no way to ask: it closes at once
    for answer, result in ((b"3\n", "limit"), (b"junk\n", "in"), (b"-1\n", "in"), (b"9" * 40, "in"),
                           (b"", "in"), (b"2\n", "in"), (b"4294967295\n", "limit")):
        c = Conn(a)
        c.ready()
        c.plain()
        while (line := srv[1].readline().split(b"\t"))[0] != b"AUTH":
            assert line[0] == b"CANCEL", line   # of the connection before
        ident = line[1]
        srv[0].sendall(b"OK\t" + ident + b"\tuser=alice\n")
        q = s.accept(anvil)
        q.sendall(answer)   # b"": silence, two seconds of it
        if result == "in":
            c.ok()
            continue
        assert c.fail() == ("LIMIT", "Maximum number of connections from user+IP exceeded "
                            "(mail_max_userip_connections=3)")
        # The auth server must not keep a login that nobody will ever take.
        while (line := srv[1].readline()) != b"CANCEL\t" + ident + b"\n":
            assert line.startswith(b"CANCEL\t"), line


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

    def left():  # below 16 all are taken, for good
        return [n for n in os.listdir("/proc/%d/fd" % a.pid) if int(n) >= 16]

    while len(left()) > 11 and time.time() < end:
        time.sleep(0.05)
    assert len(left()) <= 11, left()
