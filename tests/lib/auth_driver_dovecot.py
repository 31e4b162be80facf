"""Tests of auth_driver.py with a real, private Dovecot 2.3."""

import hashlib
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time

from auth_driver import (BYE, MSG, Auth, Conn, Options, R_KEYS, R_LAUNCHER, SECURED, TLS_IMPLICIT,
                         TLS_OFFERED, block, imap_says, send, u8, u32)

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
        if Options.verbose:
            for line in open(self.dir + "/dovecot.log"):
                print("# dovecot:", line.rstrip())
        shutil.rmtree(self.dir)


# ---- tests with the real Dovecot --------------------------------------------


def with_dovecot(limit=100, **settings):
    """A decorator: the test gets a Dovecot and an Auth."""
    def wrap(fn):
        def run():
            d = Dovecot(limit)
            try:
                a = Auth(d.sock, **settings)
                try:
                    fn(d, a)
                finally:
                    a.end()
            finally:
                d.end()
        run.__name__ = fn.__name__
        Options.tests.append(run)
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
    c = Conn(a, TLS_OFFERED)
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
    c, granted, asked = Conn(a), Conn(a), Conn(a)
    for x in c, granted, asked:
        x.ready()
    granted.plain()
    granted.ok()
    c.start("LOGIN")
    c.challenge()
    os.kill(d.auth_pid(), signal.SIGSTOP)
    asked.plain()  # under way, and asked once more
    os.kill(d.auth_pid(), signal.SIGKILL)
    a.log_has("auth server .*(connection closed|ECONNRESET)")
    c.cont(b"alice")
    why, text = c.fail()
    assert why == "TEMP" and re.match(r"Temporary authentication failure\. \[mail\.example\.test:"
                                      r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\]$", text), text
    c.plain()  # waits for the new one
    c.ok()
    c.handoff()
    assert c.result()[0] == 0
    serve_check(c, c.mail)
    asked.ok()
    asked.handoff()
    assert asked.result()[0] == 0
    serve_check(asked, asked.mail)
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
