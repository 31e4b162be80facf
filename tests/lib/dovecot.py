"""A private Dovecot 2.3: own directory, no port, no account of its own making.

It runs as root (mail owned by a number, sockets by the account that the auth
client runs as) and as an ordinary user (everything is that user's).  A user
without a passwd entry gets one in a mount namespace of Dovecot's own, because
Dovecot wants names where gatehouse takes numbers.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

from procs import Process, end_all

MAIL_ID = 64602                 # owns the mail when we are root; needs no passwd entry
DIRECTORIES = set()             # what must be removed if all else fails
AUTH_ACCOUNT = "dovecot"        # default_internal_user of gatehouse and Dovecot
WELCOME = (b"From: gatehouse <postmaster@example.test>\r\n"
           b"To: alice@example.test\r\n"
           b"Subject: Welcome\r\n"
           b"Date: Mon, 02 Nov 2026 09:00:00 +0000\r\n"
           b"Message-ID: <welcome@example.test>\r\n"
           b"\r\n"
           b"Welcome. You came through gatehouse.\r\n")

CONFIG = """\
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
instance_name = {name}
auth_verbose = yes
protocols = imap pop3
ssl = no
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
default_process_limit = {process_limit}
default_client_limit = {client_limit}
shutdown_clients = yes
service imap-login {{
  chroot =
  inet_listener imap {{
    address = {address}
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = 0
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
# The sockets for gatehouse: in a directory that holds nothing else.  The auth
# socket's name decides what it is: "login".
service auth {{
  {auth_user}
  client_limit = {client_limit}
  unix_listener {sock}/login {{
    mode = 0600
    user = {front}
  }}
}}
service auth-worker {{
  {auth_user}
}}
service imap {{
  process_limit = {imap_process_limit}
  unix_listener {sock}/imap {{
    mode = 0600
    user = {front}
  }}
}}
service pop3 {{
  process_limit = {imap_process_limit}
  unix_listener {sock}/pop3 {{
    mode = 0600
    user = {front}
  }}
}}
service anvil {{
  {chroot_off}
  client_limit = {client_limit}
  unix_listener {sock}/anvil {{
    mode = 0600
    user = {front}
  }}
  {penalty}
}}
service stats {{
  {chroot_off}
  client_limit = {client_limit}
}}
{passdbs}
passdb {{
  driver = passwd-file
  args = username_format=%u {dir}/users
}}
userdb {{
  driver = static
  args = uid={mail_uid} gid={mail_gid} home={dir}/mail/%u
}}
first_valid_uid = 1
mail_location = maildir:~/Maildir
mailbox_list_index = no
mail_max_userip_connections = 0
auth_mechanisms = {mechanisms}
auth_failure_delay = {failure_delay}
{extra}
"""


class DovecotError(Exception):
    pass


def die_with_parent():
    """For preexec_fn: TERM when the thread that started us ends, however it does."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def deadline(seconds):
    return time.monotonic() + seconds


class Dovecot:
    """users: {name: password}.  All paths are below .dir, sockets in .sock.

    process_limit   of the imap and pop3 services
    penalty         keep Dovecot's waiting penalty for wrong passwords
    imap_port       also open Dovecot's own imap-login there (0: no)
    passdbs         configuration text of passdbs before the one with .users; "{dir}" is .dir
    extra           more configuration text; "{dir}" is .dir
    files           {name: text} of more files in .dir
    base            where its directory is made: short, and everybody may enter it
    """

    def __init__(self, users=None, process_limit=2048, mechanisms="plain login scram-sha-256",
                 failure_delay="0 secs", penalty=False, extra="", passdbs="", imap_port=0,
                 address="127.0.0.1", name="gatehouse", base="/tmp", files=None):
        self.users = dict(users or {"alice": "wonderland"})
        self.root = os.geteuid() == 0
        self.uid, self.gid = os.geteuid(), os.getegid()
        self.dir = make_directory(base)
        self.sock = os.path.join(self.dir, "sock")
        self.conf = os.path.join(self.dir, "dovecot.conf")
        self.log = os.path.join(self.dir, "dovecot.log")
        self.process = None
        self.settings = dict(
            dir=self.dir, sock=self.sock, name=name, address=address, imap_port=imap_port,
            process_limit=4096, client_limit=16384, imap_process_limit=process_limit,
            mechanisms=mechanisms, failure_delay=failure_delay,
            extra=extra.replace("{dir}", self.dir), passdbs=passdbs.replace("{dir}", self.dir),
            penalty="" if penalty else "unix_listener anvil-auth-penalty {\n    mode = 0\n  }")
        for d, mode in (("run", 0o755), ("state", 0o755), ("sock", 0o755), ("mail", 0o755)):
            os.mkdir(os.path.join(self.dir, d))
            os.chmod(os.path.join(self.dir, d), mode)
        self._accounts()
        if self.root:
            os.chown(os.path.join(self.dir, "mail"), MAIL_ID, MAIL_ID)
        self.write_users()
        for file, text in (files or {}).items():
            with open(os.path.join(self.dir, file), "w") as f:
                f.write(text.replace("{dir}", self.dir))
        for user in self.users:
            self.deliver(user, WELCOME)
        self.write_config()

    def _accounts(self):
        s = self.settings
        if self.root:
            s.update(internal="dovecot", internal_group="dovecot", login="dovenull",
                     front=AUTH_ACCOUNT, mail_uid=MAIL_ID, mail_gid=MAIL_ID, chroot_off="",
                     auth_user="")
            self.passwd = None
            return
        try:
            user = pwd.getpwuid(self.uid).pw_name
            self.passwd = None
        except KeyError:
            user = f"u{self.uid}"
            self.passwd = os.path.join(self.dir, "passwd")
            with open("/etc/passwd") as f, open(self.passwd, "w") as out:
                out.write(f.read())
                out.write(f"{user}:x:{self.uid}:{self.gid}::{self.dir}:/bin/sh\n")
        group = os.path.join(self.dir, "group")
        try:
            import grp
            gname = grp.getgrgid(self.gid).gr_name
        except KeyError:
            gname = f"g{self.gid}"
            if self.passwd is None:
                self.passwd = "/etc/passwd"
        with open("/etc/group") as f, open(group, "w") as out:
            out.write(f.read())
            if gname == f"g{self.gid}":
                out.write(f"{gname}:x:{self.gid}:\n")
        self.group = group
        s.update(internal=user, internal_group=gname, login=user, front=user,
                 mail_uid=self.uid, mail_gid=self.gid, chroot_off="chroot =",
                 auth_user=f"user = {user}")

    def write_users(self):
        path = os.path.join(self.dir, "users")
        with open(path + ".new", "w") as f:
            for name, password in self.users.items():
                f.write(f"{name}:{{PLAIN}}{password}\n")
        os.chmod(path + ".new", 0o644)      # passwords of a test
        os.rename(path + ".new", path)

    def write_config(self, **changes):
        self.settings.update(changes)
        with open(self.conf, "w") as f:
            f.write(CONFIG.format(**self.settings))
        os.chmod(self.conf, 0o644)

    def deliver(self, user, message, name=None):
        """Put a message into the user's INBOX."""
        home = os.path.join(self.dir, "mail", user)
        made = []
        for d in (home, f"{home}/Maildir") + tuple(f"{home}/Maildir/{x}"
                                                    for x in ("cur", "new", "tmp")):
            if not os.path.isdir(d):
                os.mkdir(d, 0o700)
                made.append(d)
        name = name or f"{time.time_ns()}.{os.getpid()}.test"
        path = f"{home}/Maildir/new/{name}"
        with open(f"{home}/Maildir/tmp/{name}", "wb") as f:
            f.write(message)
        os.rename(f"{home}/Maildir/tmp/{name}", path)
        if self.root:
            for d in made + [path]:
                os.chown(d, MAIL_ID, MAIL_ID)

    def _command(self):
        dovecot = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin:/bin")
        if dovecot is None:
            raise DovecotError("dovecot is not installed (scripts/deps installs it)")
        cmd = [dovecot, "-F", "-c", self.conf]
        if self.passwd is None:
            return cmd
        # A passwd entry for a user that has none, seen by Dovecot alone.
        script = ('mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && '
                  'exec setpriv --inh-caps=-all --ambient-caps=-all "$@"')
        return ["unshare", "--user", f"--map-user={self.uid}", f"--map-group={self.gid}",
                "--mount", "--keep-caps", "sh", "-c", script, "sh",
                self.passwd, self.group] + cmd

    def start(self, seconds=30):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.dir}
        self.err = open(os.path.join(self.dir, "dovecot.err"), "ab")
        self.child = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=self.err,
                                      stderr=self.err, env=env, start_new_session=True,
                                      preexec_fn=die_with_parent)
        self.process = Process(self.child.pid)
        end = deadline(seconds)
        while not self.answers():
            if self.child.poll() is not None:
                raise DovecotError(f"Dovecot ended with status {self.child.returncode}:\n"
                                   + self.log_text())
            if time.monotonic() > end:
                self.stop()
                raise DovecotError("Dovecot does not come up:\n" + self.log_text())
            time.sleep(0.02)
        return self

    def answers(self):
        """Does the auth server greet on gatehouse's socket?"""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(2)
        try:
            s.connect(f"{self.sock}/login")
            s.sendall(b"VERSION\t1\t2\nCPID\t%d\n" % (os.getpid() + 100000))
            return s.recv(4096).startswith(b"VERSION")
        except OSError:
            return False
        finally:
            s.close()

    def log_text(self):
        out = ""
        for path in (self.log, os.path.join(self.dir, "dovecot.err")):
            try:
                with open(path, errors="replace") as f:
                    out += f.read()
            except OSError:
                pass
        return out

    def doveadm(self, *args, check=True):
        doveadm = shutil.which("doveadm", path="/usr/bin:/bin")
        r = subprocess.run([doveadm, "-c", self.conf] + list(args), capture_output=True,
                           text=True, timeout=60, stdin=subprocess.DEVNULL)
        if check and r.returncode != 0:
            raise DovecotError(f"doveadm {' '.join(args)}: {r.returncode}: {r.stderr}")
        return r.stdout

    def reload(self):
        self.process.kill(signal.SIGHUP)

    def helper(self, name):
        """Its processes of that name: 'auth', 'imap', 'anvil'..."""
        return [p for p in self.process.descendants()
                if (p.argv() or [""])[0].split("/")[-1].split(" ")[0] == name]

    def kill_auth(self, sig=signal.SIGKILL):
        for p in self.helper("auth"):
            p.kill(sig)

    def stop(self):
        if self.process is None:
            return
        family = [self.process] + self.process.descendants()
        self.process.kill(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        end_all(family, 3)
        self.err.close()
        self.process = None

    def close(self):
        self.stop()
        remove_tree(self.dir)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.close()


def make_directory(base):
    """A directory that everybody may enter; see DIRECTORIES."""
    path = tempfile.mkdtemp(prefix="gh-", dir=base)
    DIRECTORIES.add(path)
    os.chmod(path, 0o755)
    return path


def remove_tree(path):
    def retry(function, name, _):
        os.chmod(os.path.dirname(name), stat.S_IRWXU)
        function(name)
    DIRECTORIES.discard(path)
    if os.path.isdir(path):
        shutil.rmtree(path, onerror=retry)
