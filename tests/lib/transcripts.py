"""Exchanges with a login server as data, played against gatehouse and Dovecot.

tests/transcripts/*.txt hold the exchanges; a line says what happens next:

    == NAME PROTOCOL CONNECTION [SERVER] [session=USER]
                    begins an exchange.  PROTOCOL: imap, pop3.  CONNECTION:
                    stranger (in the clear, from another address), equal (in the
                    clear, from the server's own), tls (implicit), starttls (STARTTLS
                    or STLS from another address, with the greeting read before).
                    SERVER: which settings (default: `default`).  session: USER is
                    logged in already, from the same address
    > TEXT          send TEXT and CRLF in one piece.  \\r \\n \\0 \\t \\\\ \\xHH; \\{X*N} is X
                    N times, \\{b64 X} is X in base64; a \\ at the end: no CRLF
    >+ TEXT         the same, in one piece with the lines before
    < TEXT          read lines until one begins with TEXT
    ! line          read the next line
    ! eof           the server ends the connection now
    ! tls           a TLS handshake as client
    ! bytes         the pieces that follow go out byte by byte
    ! drop          end by closing our side; otherwise LOGOUT or QUIT is sent

What comes back is made comparable by `normalise`, and tests/transcripts/differences
lists what differs all the same, each with the key of its reason in docs/parity.md:

    == FILE/NAME KEY
    - a line that only Dovecot sent
    + a line that only gatehouse sent
"""

import base64
import collections
import difflib
import os
import re
import socket
import ssl
import time

from client import tls_context

WAIT = 20           # seconds for a line that should come: only a hang is slower
Exchange = collections.namedtuple("Exchange", "name proto over server session steps line")
Target = collections.namedtuple("Target", "who address ports")  # ports: imap imaps pop3 pop3s
ENDS = {"imap": b"zz LOGOUT\r\n", "pop3": b"QUIT\r\n"}


class FormatError(Exception):
    pass


def unescape(text):
    def one(m):
        s = m.group(0)
        if s.startswith("\\{b64 "):
            return base64.b64encode(unescape(m.group(2))).decode("ascii")
        if s.startswith("\\{"):
            return m.group(3) * int(m.group(4))
        if s.startswith("\\x"):
            return chr(int(s[2:], 16))
        return {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}[s[1]]
    out = re.sub(r"\\(\{b64 ([^}]*)\}|\{(.)\*(\d+)\}|x[0-9a-f]{2}|[rn0t\\])", one, text)
    return out.encode("latin-1")


def piece(text):
    return unescape(text[:-1]) if text.endswith("\\") and not text.endswith("\\\\") \
        else unescape(text) + b"\r\n"


def parse(path):
    """The exchanges of a file, in order."""
    stem = os.path.splitext(os.path.basename(path))[0]
    found, names = [], set()
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")
    for number, line in enumerate(lines, 1):
        def bad(why):
            raise FormatError(f"{path}:{number}: {why}: {line!r}")
        word, _, rest = line.partition(" ")
        if not line.strip() or word == "#":
            continue
        if word == "==":
            words = rest.split()
            if len(words) < 3 or words[1] not in ENDS:
                bad("not `== NAME PROTOCOL CONNECTION`")
            if words[2] not in ("stranger", "equal", "tls", "starttls"):
                bad("no such connection")
            session = [w[8:] for w in words[3:] if w.startswith("session=")]
            server = [w for w in words[3:] if "=" not in w]
            name = f"{stem}/{words[0]}"
            if name in names:
                bad("the name is taken")
            names.add(name)
            found.append(Exchange(name, words[1], words[2], server[0] if server else "default",
                                  session[0] if session else None, [], number))
        elif not found:
            bad("outside of an exchange")
        elif word == ">":
            found[-1].steps.append(["send", piece(rest)])
        elif word == ">+" and found[-1].steps and found[-1].steps[-1][0] == "send":
            found[-1].steps[-1][1] += piece(rest)
        elif word == "<" and rest:
            found[-1].steps.append(["until", unescape(rest)])
        elif word == "!" and rest in ("eof", "tls", "bytes", "drop", "line"):
            found[-1].steps.append([rest, None])
        else:
            bad("not understood")
    return found


def source_of(sock):
    return sock.getsockname()[0]


class Play:
    """One exchange with one server: .text is all that came, .missed what did not."""

    def __init__(self, exchange, target, source, registered=None):
        self.x, self.target, self.source = exchange, target, source
        self.registered = registered    # waits until a session from there counts
        self.buf, self.seen = b"", 0
        self.ended = None           # how the server ended it
        self.missed = []
        self.bytewise = False
        self.sock = None

    def run(self):
        held = self._hold() if self.x.session else None
        try:
            self._play()
        finally:
            for s in (held, self.sock):
                if s is not None:
                    s.close()
        return self

    def _connect(self, tls):
        s = socket.socket()
        s.settimeout(WAIT)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        source = self.target.address if self.x.over == "equal" else self.source
        try:
            s.bind((source, 0))
            s.connect((self.target.address, self.target.ports[self.x.proto + ("s" if tls else "")]))
            return tls_context().wrap_socket(s) if tls else s
        except OSError as e:
            s.close()
            raise AssertionError(f"{self.x.name}: no connection from {source} to "
                                 f"{self.target.who} {self.target.address}: {e}") from None

    def _hold(self):
        """A session of that user from the same address, until the end."""
        user, password = self.x.session.split(":")
        s = self._connect(True)
        if self.x.proto == "imap":
            s.sendall(f"a LOGIN {user} {password}\r\n".encode())
            want = b"a OK"
        else:
            s.sendall(f"USER {user}\r\nPASS {password}\r\n".encode())
            want = b"+OK Logged in"
        have = b""
        while want not in have:
            more = s.recv(65536)
            if not more:
                raise AssertionError(f"{self.x.name}: no first session: {have!r}")
            have += more
        self.registered(self.x.session.split(":")[0], source_of(s))
        return s

    def _more(self):
        """False: the end, or nothing came."""
        try:
            more = self.sock.recv(65536)
        except socket.timeout:
            return False
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            self.ended = "reset"
            return False
        except ssl.SSLError as e:
            self.ended = f"TLS error {e.reason}"
            return False
        if not more:
            self.ended = "end"
        self.buf += more
        return bool(more)

    def _until(self, want):
        end = time.monotonic() + WAIT
        while True:
            at = self.seen
            while (lf := self.buf.find(b"\n", at)) != -1:
                line, at = self.buf[at:lf + 1], lf + 1
                if line.startswith(want):
                    self.seen = at
                    return
            if self.ended or time.monotonic() > end or not self._more():
                self.missed.append(want)
                return

    def _send(self, data):
        try:
            if not self.bytewise:
                self.sock.sendall(data)
                return
            for i in range(len(data)):
                self.sock.sendall(data[i:i + 1])
                time.sleep(0.002)
        except OSError:
            pass                    # what it said before is still to be read

    def _tls(self):
        # Nothing may be left in the clear behind what was read.
        try:
            self.sock = tls_context().wrap_socket(self.sock)
        except (OSError, ssl.SSLError) as e:
            self.ended = "no TLS: " + ("end" if "EOF" in str(e) or isinstance(
                e, (ConnectionResetError, BrokenPipeError)) else type(e).__name__)

    def _play(self):
        self.sock = self._connect(self.x.over == "tls")
        self._until(b"")            # the greeting
        if self.x.over == "starttls":
            self._send(b"s STARTTLS\r\n" if self.x.proto == "imap" else b"STLS\r\n")
            self._until(b"s OK" if self.x.proto == "imap" else b"+OK Begin")
            self._tls()
        steps = self.x.steps
        for i, (what, arg) in enumerate(steps):
            if self.ended and what != "eof":
                break
            if what == "send":
                self._send(arg)
                if i + 1 < len(steps) and steps[i + 1][0] == "send" and not self.bytewise:
                    time.sleep(0.03)        # so that they are two pieces
            elif what == "until":
                self._until(arg)
            elif what == "line":
                self._until(b"")
            elif what == "bytes":
                self.bytewise = True
            elif what == "tls":
                self._tls()
            elif what == "eof":
                self._to_end()
                if not self.ended:
                    self.missed.append(b"(the end)")
        if self.ended:
            return
        if ["drop", None] in steps:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        else:
            self._send(ENDS[self.x.proto])
        self._to_end()

    def _to_end(self):
        end = time.monotonic() + WAIT
        while not self.ended and time.monotonic() < end and self._more():
            pass

    def lines(self):
        """Comparable lines, and how it ended."""
        text = normalise(self.buf.decode("latin-1"))
        out = [x.encode("unicode_escape").decode() for x in text.split("\r\n")]
        if out and not out[-1]:
            out.pop()
        else:
            out[-1:] = [x + " (no line end)" for x in out[-1:]]
        # Whether an end in the clear arrives as a reset depends on what was unread.
        ended = "end" if self.ended == "reset" else self.ended
        return out + [f"({ended or 'open'})"]


def normalise(text):
    """Without what must differ between two servers, or two moments."""
    text = re.sub(r"\[[^][ :]+:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]", "[HOST:TIME]", text)
    text = re.sub(r"<[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\.[A-Za-z0-9+/=]+@[^>]*>", "<APOP>", text)
    text = re.sub(r"completed \([0-9. +]+secs\)", "completed (TIMES)", text)
    text = re.sub(r"LOGIN-REFERRALS ID ENABLE IDLE SORT [^]\r]*", "AFTER-LOGIN", text)
    # SCRAM and CRAM-MD5 challenges are never the same.
    text = re.sub(r"(?m)^\+ ([A-Za-z0-9+/]{24,}=*)\r$", "+ CHALLENGE\r", text)
    return text


def compare(dovecot, gatehouse):
    """The lines that differ, as `differences` writes them."""
    a, b = dovecot.lines(), gatehouse.lines()
    return [d for d in difflib.ndiff(a, b) if d[:2] in ("- ", "+ ")]


def differences(path):
    """{exchange: (key of the reason, [lines])}"""
    found = {}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f.read().split("\n"), 1):
            if line.startswith("== "):
                words = line.split()
                if len(words) != 3 or words[1] in found:
                    raise FormatError(f"{path}:{number}: not `== NAME KEY`, or twice")
                lines = []
                found[words[1]] = (words[2], lines)
            elif line[:2] in ("- ", "+ "):
                lines.append(line)
            elif line.strip() and not line.startswith("#"):
                raise FormatError(f"{path}:{number}: not understood: {line!r}")
    return found
