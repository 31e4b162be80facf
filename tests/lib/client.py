"""Mail clients for tests: a line client that can say anything, and IMAP on top."""

import contextlib
import imaplib
import socket
import ssl
import time


class ClientError(Exception):
    pass


def tls_context(cert=None, minimum=None, maximum=None, alpn=None, ciphers=None):
    """cert: the server's, as the only trust anchor; None: do not verify."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cert is None:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    else:
        c.load_verify_locations(cert)
        c.check_hostname = False
    if minimum:
        c.minimum_version = minimum
    if maximum:
        c.maximum_version = maximum
    if alpn:
        c.set_alpn_protocols(alpn)
    if ciphers:
        c.set_ciphers(ciphers)
    return c


class LineClient:
    """Lines over TCP or TLS.  Every wait has a deadline of its own.

    server      (address, port)
    tls         True, or an SSLContext: TLS from the first byte
    source      address to come from: the server's own makes us "secured"
    """

    def __init__(self, server, tls=False, source=None, seconds=30, sni=None, rcvbuf=None):
        self.seconds = seconds
        self.buf = b""
        self.sock = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET)
        self.sock.settimeout(seconds)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        try:
            if source:
                self.sock.bind((source, 0))
            self.sock.connect(server)
            self.tls = False
            if tls:
                self.start_tls(None if tls is True else tls, sni)
        except BaseException:
            self.sock.close()
            raise

    def start_tls(self, context=None, sni=None):
        context = context or tls_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=sni)
        self.tls = True

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self, seconds=None):
        """One line without its CRLF; ClientError at the end or when it is late."""
        end = time.monotonic() + (seconds or self.seconds)
        while b"\n" not in self.buf:
            left = end - time.monotonic()
            if left <= 0:
                raise ClientError(f"no line in time; have {self.buf!r}")
            self.sock.settimeout(left)
            try:
                more = self.sock.recv(65536)
            except socket.timeout:
                raise ClientError(f"no line in time; have {self.buf!r}") from None
            if not more:
                raise ClientError(f"end of connection; have {self.buf!r}")
            self.buf += more
        line, self.buf = self.buf.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def exactly(self, n):
        while len(self.buf) < n:
            more = self.sock.recv(65536)
            if not more:
                raise ClientError(f"end of connection after {len(self.buf)} of {n} bytes")
            self.buf += more
        data, self.buf = self.buf[:n], self.buf[n:]
        return data

    def rest(self, seconds=None):
        """Everything until the server ends the connection (b"" if at once)."""
        end = time.monotonic() + (seconds or self.seconds)
        data, self.buf = self.buf, b""
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise ClientError(f"the server does not end it; have {data[-300:]!r}")
            self.sock.settimeout(left)
            try:
                more = self.sock.recv(65536)
            except socket.timeout:
                continue
            except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
                return data
            if not more:
                return data
            data += more

    def silent(self, seconds):
        """True if nothing comes for that long (and the connection stays)."""
        if self.buf:
            return False
        self.sock.settimeout(seconds)
        try:
            self.buf += self.sock.recv(65536)
            return False
        except socket.timeout:
            return True

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Imap(LineClient):
    """.greeting is read at once (greet=False: not)."""

    def __init__(self, server, greet=True, **kw):
        super().__init__(server, **kw)
        self.tags = 0
        try:
            self.greeting = self.line() if greet else None
        except BaseException:
            self.close()
            raise

    def command(self, text):
        """Send with a new tag; returns (untagged lines, tagged line without tag)."""
        self.tags += 1
        tag = f"t{self.tags}"
        self.send(f"{tag} {text}\r\n")
        return self.reply(tag)

    def reply(self, tag):
        untagged = []
        while True:
            try:
                line = self.line()
            except ClientError as e:
                raise ClientError(f"{e}; before it {untagged}") from None
            if line.startswith(tag + " "):
                return untagged, line[len(tag) + 1:]
            untagged.append(line)

    def login(self, user="alice", password="wonderland"):
        return self.command(f"LOGIN {user} {password}")[1]

    def starttls(self, context=None, sni=None):
        _, answer = self.command("STARTTLS")
        if not answer.startswith("OK"):
            raise ClientError(f"STARTTLS: {answer}")
        self.start_tls(context, sni)

    def fetch(self, what):
        """FETCH 1 of one literal; returns its bytes."""
        self.tags += 1
        tag = f"t{self.tags}"
        self.send(f"{tag} FETCH 1 ({what})\r\n")
        while True:
            line = self.line()
            if line.startswith(tag + " "):
                raise ClientError(f"FETCH: {line}")
            if line.endswith("}"):
                data = self.exactly(int(line.rsplit("{", 1)[1][:-1]))
                self.reply(tag)
                return data


class Pop(LineClient):
    def __init__(self, server, greet=True, **kw):
        super().__init__(server, **kw)
        try:
            self.greeting = self.line() if greet else None
        except BaseException:
            self.close()
            raise

    def command(self, text):
        self.send(text + "\r\n")
        return self.line()

    def multiline(self, text):
        first = self.command(text)
        lines = []
        if first.startswith("+OK"):
            while (line := self.line()) != ".":
                lines.append(line)
        return first, lines

    def login(self, user="alice", password="wonderland"):
        answer = self.command(f"USER {user}")
        return self.command(f"PASS {password}") if answer.startswith("+OK") else answer


def imaplib_tls(server, cert=None):
    return imaplib.IMAP4_SSL(*server, ssl_context=tls_context(cert), timeout=60)
