"""Each exchange of tests/transcripts, with Dovecot's own login processes and with us.

Both stand before the same Dovecot, with the same settings.  What differs must be in
tests/transcripts/differences, line by line, with a reason in docs/parity.md; and
what is listed there must still differ.
"""

import concurrent.futures
import contextlib
import glob
import os
import random
import re
import socket
import ssl
import unittest

import transcripts
from certs import Certificate
from client import tls_context
from dovecot import Dovecot, make_directory, remove_tree
from gatehouse import TREE, Gatehouse, eventually, free_port, own_address, reap_orphans

HERE = os.path.join(TREE, "tests/transcripts")
AT_ONCE = 12
USERS = {
    "alice": "wonderland", "quoted": 'a"b\\c d', "stars": "100%*\\x",
    "closed": "secret::::::nologin=y",
    "moved": "secret::::::nologin=y host=mail2.example.test",
    "told": "secret::::::nologin=y reason=Closed_until_Monday",
    "elsewhere": "secret::::::allow_nets=192.0.2.0/24",
    "nobody": "secret",
}
LUA = """\
function auth_passdb_lookup(req)
  local r = {disabled = dovecot.auth.PASSDB_RESULT_USER_DISABLED,
             expired = dovecot.auth.PASSDB_RESULT_PASS_EXPIRED,
             broken = dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE}
  return r[req.user] or dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, ""
end
function auth_userdb_lookup(req)
  local known = {alice = 1, quoted = 1, stars = 1, anonymous = 1}
  if not known[req.user] then
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, ""
  end
  return dovecot.auth.USERDB_RESULT_OK, "uid=%d gid=%d home=%s/mail/" .. req.user
end
"""
# Beside what the harness writes: Dovecot's login services, at one address for
# each set of settings.
DOVECOT = """\
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
login_greeting = Ready.
imap_id_send = name server
hostname = host
auth_master_user_separator = *
mail_max_userip_connections = 1000
# One process for all: with a process each, some connections of a burst wait for
# the next one to come before Dovecot accepts them.
service imap-login {{
  service_count = 0
  inet_listener imap {{
    address = {addresses}
    port = {imap}
  }}
  inet_listener imaps {{
    address = {addresses}
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    address = {addresses}
    port = {pop3}
  }}
  inet_listener pop3s {{
    address = {addresses}
    port = {pop3s}
    ssl = yes
  }}
}}
passdb {{
  driver = passwd-file
  master = yes
  args = {dir}/masters
}}
passdb {{
  driver = lua
  args = file={dir}/auth.lua blocking=no
}}
userdb {{
  driver = lua
  args = file={dir}/auth.lua blocking=no
}}
{locals}
"""
# What makes the servers of an exchange; Dovecot reads it in a `local` block.
SERVERS = {
    "default": "",
    "required": "ssl = required",
    "open": "disable_plaintext_auth = no",
    "no-tls": "ssl = no",
    "limit": "mail_max_userip_connections = 1",
    "capability": "imap_capability = +XFIRST XSECOND",
    "replaced": "imap_capability = IMAP4rev1 XONLY",
    "minus": "imap_literal_minus = yes",
    "trusted": "login_trusted_networks = 127.0.0.0/8",
}
FILES = sorted(glob.glob(os.path.join(HERE, "*.txt")))


class Transcripts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(cls.no_orphans)
        cls.expected = transcripts.differences(os.path.join(HERE, "differences"))
        cls.dir = make_directory("/tmp")
        cls.addClassCleanup(remove_tree, cls.dir)
        cls.cert = Certificate(cls.dir)
        cls.our_address = {name: own_address() for name in SERVERS}
        cls.theirs = cls.start_dovecot()
        cls.ours, cls.gatehouses = {}, []
        for name, settings in SERVERS.items():
            gh = Gatehouse(cls.dovecot.sock, cert=cls.cert, address=cls.our_address[name], settings=OURS.format(
                settings=settings, sock=cls.dovecot.sock))
            cls.addClassCleanup(gh.close)
            cls.gatehouses.append(gh)
            gh.start(wait=False)
            cls.ours[name] = transcripts.Target("gatehouse", gh.address, gh.ports)
        for gh in cls.gatehouses:
            gh.wait_log(r"ready: generation \d+", 60)
        cls.sources = iter(f"127.{random.randint(2, 250)}.{i // 250}.{i % 250 + 2}"
                           for i in random.sample(range(62500), 4000))

    @classmethod
    def start_dovecot(cls):
        addresses = {name: own_address() for name in SERVERS}
        first = next(iter(addresses.values()))
        ports = {n: free_port(first) for n in ("imap", "imaps", "pop3", "pop3s")}
        d = Dovecot(users=USERS, address=first, mechanisms=MECHANISMS, imap_port=ports["imap"],
                    extra=DOVECOT.format(
                        cert=cls.cert.cert, key=cls.cert.key, dir="{dir}",
                        addresses=" ".join(addresses.values()), locals="\n".join(
                            f"local {a[n]} {{\n  {s}\n}}" for n, s in SERVERS.items() if s
                            for a in (addresses, cls.our_address)),
                        **ports))
        cls.addClassCleanup(d.close)
        cls.dovecot = d
        d.write_config(extra=d.settings["extra"].replace("{dir}", d.dir))
        with open(f"{d.dir}/masters", "w") as f:
            f.write("master:{PLAIN}key\n")
        with open(f"{d.dir}/auth.lua", "w") as f:
            f.write(LUA % (d.settings["mail_uid"], d.settings["mail_gid"], d.dir))
        for name in ("masters", "auth.lua"):
            os.chmod(f"{d.dir}/{name}", 0o644)
        # The static userdb of the harness knows everybody; ours does not.
        with open(d.conf) as f:
            text = re.sub(r"userdb \{\n  driver = static\n.*\n\}\n", "", f.read())
        with open(d.conf, "w") as f:
            f.write(text)
        d.start()
        return {n: transcripts.Target("Dovecot", a, ports) for n, a in addresses.items()}

    @classmethod
    def no_orphans(cls):
        left = reap_orphans()
        if left:
            raise AssertionError(f"left behind: {left}")

    @classmethod
    def logs(cls):
        return "--- dovecot:\n" + "\n".join(cls.dovecot.log_text().splitlines()[-25:]) + "\n"

    def registered(self, user, address):
        """The mail process tells anvil of its session when it likes."""
        self.assertTrue(eventually(lambda: re.search(
            rf"(?m)^{user} .*[( ]{re.escape(address)}[ )]", self.dovecot.doveadm("who"))), user)

    def play(self, exchange):
        """What differs, and what neither server said."""
        theirs, ours = (transcripts.Play(exchange, t[exchange.server], next(self.sources),
                                         self.registered).run()
                        for t in (self.theirs, self.ours))
        never = [w for w in theirs.missed if w in ours.missed]
        return transcripts.compare(theirs, ours), never, theirs

    def play_file(self, path):
        exchanges = transcripts.parse(path)
        wrong = []
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(self.play, exchanges))
        for x, (found, never, theirs) in zip(exchanges, results):
            key, listed = self.expected.get(x.name, (None, []))
            if never:
                wrong.append(f"{x.name}: neither server sent a line {never}; Dovecot sent:\n  "
                             + "\n  ".join(theirs.lines()))
            if found != listed:
                wrong.append(f"== {x.name} {key or 'UNEXPLAINED'}\n" + "\n".join(found)
                             + ("\nlisted:\n" + "\n".join(listed) if listed else ""))
        self.assertTrue(exchanges)
        self.assertFalse(wrong, "differences that are not those listed:\n" + "\n".join(wrong))

    # ---- a client that closes its side behind its last word ---------------------

    HALF_CLOSED = {
        "imap": ("", "a NOOP\r\n", "a LOGIN alice wrong\r\n",
                 "a LOGIN alice wonderland\r\nb NOOP\r\nc LOGOUT\r\n",
                 "a NOOP\r\nb AUTHENTICATE PLAIN AGFsaWNlAHdyb25n\r\n", "a LOGOUT\r\n",
                 "a AUTHENTICATE PLAIN\r\nAGFsaWNlAHdyb25n\r\n"),
        "pop3": ("", "CAPA\r\n", "USER alice\r\nPASS wrong\r\n", "QUIT\r\n",
                 "USER alice\r\nPASS wonderland\r\nSTAT\r\nQUIT\r\n"),
    }

    SERVED = {"imap": ["* BYE", "c OK"], "pop3": ["+OK 1", "+OK Logging"]}

    @staticmethod
    def half_closed(target, port, words, tls, sources):
        """What the server says to it, in short, and how it ends."""
        with socket.create_connection((target.address, target.ports[port]), 30,
                                      (next(sources), 0)) as sock:
            if not tls:
                sock.sendall(words.encode())
                sock.shutdown(socket.SHUT_WR)
                data, end = b"", "end"
                try:
                    while more := sock.recv(65536):
                        data += more
                except OSError as e:
                    end = repr(e)
                return [b" ".join(x.split()[:2]) for x in data.splitlines()], end
            took, gave = ssl.MemoryBIO(), ssl.MemoryBIO()
            t = tls_context().wrap_bio(took, gave)
            data = b""

            def until(step):
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        if gave.pending:
                            sock.sendall(gave.read())
                        more = sock.recv(65536)
                        if more:
                            took.write(more)
                        else:
                            took.write_eof()
            until(t.do_handshake)
            t.write(words.encode()) if words else None
            with contextlib.suppress(ssl.SSLWantReadError):
                t.unwrap()
            sock.sendall(gave.read())           # words and close_notify together
            sock.shutdown(socket.SHUT_WR)
            end = "end"
            try:
                while more := until(lambda: t.read(65536)):
                    data += more
            except (OSError, ssl.SSLError) as e:
                end = repr(e)
            return [b" ".join(x.split()[:2]) for x in data.splitlines()], end

    def test_half_closed(self):
        cases = [(p, w, tls) for p, ws in self.HALF_CLOSED.items() for w in ws
                 for tls in (False, True)]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            theirs, ours = (list(pool.map(lambda x, t=t: self.half_closed(
                t, x[0] + "s" * x[2], x[1], x[2], self.sources), cases))
                for t in (self.theirs["open"], self.ours["open"]))
        for case, them, us in zip(cases, theirs, ours):
            with self.subTest(case):
                if case[2] and "wonderland" in case[1]:
                    # Dovecot ends such a login; ours is served like one in the clear.
                    self.assertEqual([w.decode() for w in us[0]][-2:], self.SERVED[case[0]])
                elif them[0] or not us[0]:      # Dovecot under load is silent now and then
                    self.assertEqual(them, us)


OURS = """\
login_greeting = Ready.
imap_id_send = name server
hostname = host
auth_max_attempts = 1000
anvil_socket_path = {sock}/anvil
{settings}
"""
MECHANISMS = "plain login cram-md5 scram-sha-256 apop anonymous"


def add_tests():
    for path in FILES:
        stem = os.path.splitext(os.path.basename(path))[0].replace("-", "_")
        setattr(Transcripts, f"test_{stem}", lambda self, p=path: self.play_file(p))


add_tests()


class Explanations(unittest.TestCase):
    """What is listed exists, and every reason is given in docs/parity.md."""

    def test_reasons_and_names(self):
        names = [x.name for path in FILES for x in transcripts.parse(path)]
        self.assertGreaterEqual(len(names), 200)
        listed = transcripts.differences(os.path.join(HERE, "differences"))
        self.assertFalse(set(listed) - set(names), "no such exchange")
        with open(os.path.join(TREE, "docs/parity.md"), encoding="utf-8") as f:
            reasons = set(re.findall(r"(?m)^\| `([a-z0-9-]+)` \|", f.read()))
        self.assertEqual({key for key, _ in listed.values()}, reasons)
        self.assertFalse([n for n, (_, lines) in listed.items() if not lines], "no lines")
