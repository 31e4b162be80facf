"""SASL exchanges over a line client (client.py), with GNU SASL's gsasl(1) as the one that
computes and checks the messages, so that any mechanism can be tried in any protocol over
any kind of connection."""

import base64
import contextlib
import subprocess

from client import Imap


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Gsasl:
    """The client's half of one exchange.  .first is its first message, in base64."""

    def __init__(self, mech, user="alice", password="wonderland", authzid=None, token=None,
                 service="imap", host="localhost"):
        args = ["gsasl", "--client", "--quiet", "-d", "--no-cb", "-m", mech, "--service", service,
                "--hostname", host, "-r", "", "--quality-of-protection=qop-auth"]
        if token is None:
            args += ["-a", user, "-p", password]
        else:
            args += ["-n", token]
        if authzid is not None:
            args += ["-z", authzid]
        self.popen = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True)
        try:
            name = self.popen.stdout.readline().strip()
            assert name == mech, f"gsasl says {name!r}"
            self.first = self.popen.stdout.readline().strip()
        except BaseException:
            self.kill()
            raise

    def step(self, challenge):
        """The answer to a challenge."""
        self.popen.stdin.write(challenge + "\n")
        self.popen.stdin.flush()
        return self.popen.stdout.readline().strip()

    def finish(self):
        """Its exit status: 0 if it is content with the server and waits for nothing more."""
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write("\n")
            self.popen.stdin.close()
        try:
            return self.popen.wait(20)
        finally:
            self.kill()

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()


def answer(client, tag):
    """The next line that is the server's turn: ("+", challenge) or (tagged, text)."""
    while True:
        line = client.line()
        if line.startswith("+ ") or line == "+":
            return "+", line[2:]
        if tag is None:
            return line.split(" ")[0], line
        if line.startswith(tag + " "):
            return line.split(" ")[1], line[len(tag) + 1:]


def begin(client, mech, ir=None):
    """AUTHENTICATE or AUTH; returns the tag (None in POP3)."""
    if isinstance(client, Imap):
        client.tags += 1
        tag, command = f"t{client.tags}", f"t{client.tags} AUTHENTICATE {mech}"
    else:
        tag, command = None, f"AUTH {mech}"
    if ir is not None:
        command += " " + (ir or "=")
    client.send(command + "\r\n")
    return tag


def exchange(client, gsasl, mech, ir=True):
    """The whole exchange; returns (word, text) of the reply that ends it: OK, NO, BAD, +OK,
    -ERR.  +OK has what comes behind "+" in POP3 told apart by its letters."""
    first = gsasl.first
    use_ir = ir and first != ""
    tag = begin(client, mech, first if use_ir else None)
    pending = None if use_ir else first
    while True:
        word, text = answer(client, tag)
        if word != "+":
            return word, text
        if pending:
            client.send(pending + "\r\n")
            pending = None
        else:
            client.send(gsasl.step(text) + "\r\n")


def authenticate(client, mech, ir=True, **who):
    """exchange with a fresh gsasl; (word, text, gsasl's exit status)."""
    g = Gsasl(mech, service="imap" if isinstance(client, Imap) else "pop", **who)
    try:
        word, text = exchange(client, g, mech, ir)
        status = g.finish()
    finally:
        g.kill()
    return word, text, status


def say(client, mech, *messages, ir=True):
    """An exchange with given messages (bytes); (challenges, word, text).  With ir the first one
    goes along with the command; challenges come back decoded."""
    messages = [b64(m) for m in messages]
    tag = begin(client, mech, messages.pop(0) if ir and messages else None)
    challenges = []
    while True:
        word, text = answer(client, tag)
        if word != "+":
            return challenges, word, text
        challenges.append(base64.b64decode(text))
        client.send((messages.pop(0) if messages else "*") + "\r\n")
