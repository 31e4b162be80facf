#!/usr/bin/python3
"""scripts/run's second half: a private Dovecot, and gatehouse in front of it.

Everything runs below a directory of /tmp that is removed at the end (socket
paths are short, and mail users cannot enter /root); key, certificate and
configuration are in build/run/.  No account is made.  Whatever ends us, Ctrl-C,
TERM or a failure, ends all that was started, by pid.
"""

import argparse
import errno
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))

import procs                                                        # noqa: E402
from certs import Certificate                                       # noqa: E402
from client import ClientError, Imap                                # noqa: E402
from dovecot import AUTH_ACCOUNT, Dovecot, DovecotError, remove_tree  # noqa: E402
from gatehouse import Gatehouse, StartError, reap_orphans           # noqa: E402

USER, PASSWORD = "alice", "wonderland"
PORTS = {"imaps": 10993, "imap": 10143, "pop3s": 10995, "pop3": 10110}
RUN = os.path.join(TOP, "build", "run")


class Trouble(Exception):
    pass


stopping = []       # signals that have come


def say(text):
    print(f"run: {text}", flush=True)


def holder(address, port):
    """Who listens there, as far as we may see: " (name, pid 1)" or ""."""
    want = "%s:%04X" % (socket.inet_aton(address)[::-1].hex().upper(), port)
    any_address = "00000000:%04X" % port
    try:
        with open("/proc/net/tcp") as f:
            rows = [line.split() for line in f]
        inodes = {f"socket:[{r[9]}]" for r in rows[1:]
                  if r[1] in (want, any_address) and r[3] == "0A"}
    except OSError:
        return ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        p = procs.Process(pid)
        if inodes & set(p.fds().values()):
            return f" ({p.comm()}, pid {pid})"
    return ""


def check_ports(address):
    busy = []
    for name, port in PORTS.items():
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((address, port))
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise Trouble(f"cannot use {address}: {e.strerror}") from None
                busy.append(f"{address}:{port}{holder(address, port)}")
    if busy:
        raise Trouble("in use already: " + ", ".join(busy))


def certificate(address, directory):
    """The development certificate, made if there is none that will do."""
    os.makedirs(directory, mode=0o755, exist_ok=True)
    cert, key = os.path.join(directory, "server.pem"), os.path.join(directory, "server.key")
    if os.path.exists(cert) and os.access(key, os.R_OK):
        lasts = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-checkend", "86400"],
                               capture_output=True)
        fits = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-checkip", address],
                              capture_output=True, text=True)
        if lasts.returncode == 0 and "does match" in fits.stdout:
            return Certificate.existing(cert, key)
    for path in (cert, key):
        if os.path.exists(path):
            os.unlink(path)
    say(f"making a certificate and its key in {directory}")
    return Certificate(directory, "server", "p256", names=("localhost",), addresses=(address,), days=90)


def curl_words(address):
    return ["curl", "-k", f"imaps://{address}:{PORTS['imaps']}/INBOX;MAILINDEX=1",
            "-u", f"{USER}:{PASSWORD}"]


def curl(address):
    return subprocess.run(curl_words(address) + ["-sS", "--max-time", "20"],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)


def wait_ready(gh, address):
    """Ready is when a client has read the welcome message."""
    end = time.monotonic() + 30
    while True:
        end_if_told()
        r = curl(address)
        if r.returncode == 0 and "Welcome" in r.stdout:
            return r.stdout
        if gh.popen.poll() is not None:
            raise Trouble(f"gatehouse ended with status {gh.popen.returncode}")
        if time.monotonic() > end:
            raise Trouble(f"the login by curl fails ({r.returncode}): {r.stderr.strip()}")
        time.sleep(0.3)


def show_tree(gh, dovecot):
    """With one client before login and one after, so that there are workers to see."""
    with Imap(gh.server("imaps"), tls=True), Imap(gh.server("imaps"), tls=True) as after:
        after.login(USER, PASSWORD)
        say("processes, with one client before login and one logged in (from /proc):")
        print("\n".join(procs.tree_lines(gh.process)))
        if os.geteuid() != 0:
            say("(root sees the namespaces and roots as well)")
        print("\n".join(procs.tree_lines(dovecot.process, confined=False)), flush=True)


def banner(address, directory):
    words = curl_words(address)
    words[2] = f'"{words[2]}"'
    print(f"""
gatehouse is ready on {address}: IMAPS {PORTS['imaps']}, IMAP {PORTS['imap']}, \
POP3S {PORTS['pop3s']}, POP3 {PORTS['pop3']}.  Try

    {' '.join(words)}

Configuration, certificate and key are in {directory}; Ctrl-C ends everything.
""", flush=True)


def serve(gh, dovecot):
    while True:
        end_if_told()
        if gh.popen.poll() is not None:
            raise Trouble(f"gatehouse ended with status {gh.popen.returncode}")
        if dovecot.child.poll() is not None:
            raise Trouble(f"Dovecot ended with status {dovecot.child.returncode}")
        time.sleep(0.5)


def run(args, base, started):
    cert = certificate(args.address, args.dir)
    say("starting a private Dovecot")
    dovecot = Dovecot(users={USER: PASSWORD}, base=base)
    started.append(dovecot)
    dovecot.start()
    end_if_told()
    say(f"Dovecot is in {dovecot.dir}" + (f", its sockets belong to {AUTH_ACCOUNT}"
                                          if os.geteuid() == 0 else ""))
    gh = Gatehouse(dovecot.sock, cert=cert, address=args.address, ports=dict(PORTS),
                   conf=os.path.join(args.dir, "gatehouse.conf"), base=base,
                   echo=lambda line: print(line, flush=True))
    started.append(gh)
    gh.start()
    got = wait_ready(gh, args.address)
    show_tree(gh, dovecot)
    banner(args.address, args.dir)
    if args.once:
        print(got, end="")
        return
    serve(gh, dovecot)


def on_signal(number, _):
    """Only noted: an exception in the middle of Popen.poll would leave its lock taken,
    and the end would wait for ever."""
    stopping.append(number)


def end_if_told():
    if stopping:
        raise SystemExit(128 + stopping[0])


def main():
    p = argparse.ArgumentParser(prog="scripts/run")
    p.add_argument("--once", action="store_true", help="log in with curl and end")
    p.add_argument("--address", default="127.0.0.1")
    p.add_argument("--dir", default=RUN, help="where key, certificate and configuration go")
    args = p.parse_args()
    os.umask(0o022)
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, on_signal)
    started, base, status = [], None, 1
    try:
        check_ports(args.address)
        base = tempfile.mkdtemp(prefix="gh-run-", dir="/tmp")
        os.chmod(base, 0o755)
        run(args, base, started)
        status = 0
    except SystemExit as e:
        status = 0 if e.code in (128 + signal.SIGINT, 128 + signal.SIGTERM) else e.code
    except (Trouble, DovecotError, StartError, ClientError, ssl.SSLError, OSError,
            RuntimeError, AssertionError) as e:
        say(f"failed: {e}")
    finally:
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        for thing in reversed(started):
            try:
                thing.close()
            except (AssertionError, OSError) as e:
                say(f"at the end: {e}")
                status = status or 1
        reap_orphans()
        if base:
            remove_tree(base)
        if started:
            say("everything that was started has ended")
    return status


if __name__ == "__main__":
    sys.exit(main())
