"""local, remote, local_name and protocol blocks: settings for some connections only."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import harness  # noqa: E402
from clientca import ClientCA  # noqa: E402
from gatehouse import TREE, eventually, own_address  # noqa: E402
from harness import Certificate, SystemTest, needs_program  # noqa: E402

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def has_v6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class Blocks:
    """One worker model each.  Addresses: other has a certificate and words of its own, strict
    has narrower TLS and limits, certs asks for client certificates; friend, odd and limited
    are clients."""

    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="ghca", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.tmp, True)
        cls.ca = ClientCA(f"{cls.tmp}/ca")
        cls.good = cls.ca.issue("/CN=alice")
        super().setUpClass()

    @classmethod
    def make_gatehouse(cls, **kw):
        gh = super().make_gatehouse(**kw)
        cls.other, cls.strict, cls.certs = own_address(), own_address(), own_address()
        cls.friend, cls.odd, cls.limited = own_address(), own_address(), own_address()
        cls.cert_other = Certificate(gh.dir, "other", "rsa2048", addresses=(cls.other,))
        cls.cert_named = Certificate(gh.dir, "named", names=("named.test",))
        cls.v6 = has_v6()
        gh.settings += f"""
listen = {gh.address} {cls.other} {cls.strict} {cls.certs} {'::1' if cls.v6 else ''}
anvil_socket_path = {cls.dovecot.sock}/anvil
remote {cls.friend} {{
  disable_plaintext_auth = no
}}
remote {cls.odd} {{
  protocol pop3 {{
    disable_plaintext_auth = no
  }}
}}
remote {cls.limited} {{
  mail_max_userip_connections = 1
}}
protocol pop3 {{
  login_greeting = Pop here.
}}
local {cls.other} {{
  ssl = required
  ssl_cert = <{cls.cert_other.cert}
  ssl_key = <{cls.cert_other.key}
  imap_capability = +XOTHER
  imap_id_send = name other
  protocol imap {{
    login_greeting = Other here.
    local_name named.test *.wild.test {{
      login_greeting = Named here.
      ssl_cert = <{cls.cert_named.cert}
      ssl_key = <{cls.cert_named.key}
    }}
  }}
  remote {cls.friend} {{
    ssl = no
  }}
}}
local {cls.strict} {{
  auth_max_attempts = 1
  auth_verbose = yes
  login_log_format_elements = strict=%l user=<%u>
  login_timeout = 4s
  login_trusted_networks = {cls.odd}
  ssl_cipher_suites = TLS_CHACHA20_POLY1305_SHA256
  ssl_curve_list = P-521
  ssl_min_protocol = TLSv1.3
  local_name old.test {{
    ssl_min_protocol = TLSv1.2
    ssl_cipher_list = ECDHE-ECDSA-CHACHA20-POLY1305
  }}
}}
local {cls.certs} {{
  auth_ssl_require_client_cert = yes
  ssl_ca = <{cls.ca.ca_file()}
  ssl_verify_client_cert = yes
  local_name open.test {{
    auth_ssl_require_client_cert = no
    ssl_verify_client_cert = no
  }}
}}
local ::1 {{
  protocol imap {{
    login_greeting = Six here.
  }}
  remote ::/0 {{
    imap_capability = +XSIX
  }}
}}
""".replace("local_name named.test *.wild.test", 'local_name "named.test *.wild.test"')
        gh.write_config()
        return gh

    def at(self, address, tls=False, kind=harness.Imap, **kw):
        service = {harness.Imap: "imap", harness.Pop: "pop3"}[kind] + ("s" if tls else "")
        return self.keep(kind((address, self.gh.ports[service]), tls=tls, **kw))

    # ---- before TLS ------------------------------------------------------------

    def test_remote(self):
        c = self.imap(source=self.friend)
        self.assertNotIn("LOGINDISABLED", c.greeting)
        self.assertIn("AUTH=PLAIN", c.greeting)
        self.assertTrue(c.login().startswith("OK"))
        stranger = self.imap()
        self.assertIn("LOGINDISABLED", stranger.greeting)
        self.assertTrue(stranger.login().startswith("NO [PRIVACYREQUIRED]"))

    def test_remote_and_protocol(self):
        self.assertIn("LOGINDISABLED", self.imap(source=self.odd).greeting)
        self.assertTrue(self.pop3(source=self.odd).login().startswith("+OK"))
        self.assertTrue(self.pop3().login().startswith("-ERR"))

    def test_local(self):
        c = self.at(self.other)
        self.assertNotIn("AUTH=", c.greeting)
        self.assertIn("STARTTLS", c.greeting)
        self.assertTrue(c.command("AUTHENTICATE SCRAM-SHA-256")[1]
                        .startswith("NO [PRIVACYREQUIRED]"))
        c.starttls()
        self.assertTrue(c.login().startswith("OK"))
        self.assertIn("AUTH=SCRAM-SHA-256", self.imap().greeting)

    def test_the_narrower_one_wins(self):
        c = self.at(self.other, source=self.friend)
        self.assertNotIn("STARTTLS", c.greeting)
        self.assertTrue(c.command("STARTTLS")[1].startswith("BAD"))
        self.assertTrue(c.login().startswith("OK"))

    def test_trusted_networks(self):
        self.assertNotIn("LOGINDISABLED", self.at(self.strict, source=self.odd).greeting)
        self.assertIn("LOGINDISABLED", self.at(self.strict).greeting)
        self.assertIn("LOGINDISABLED", self.imap(source=self.odd).greeting)

    # ---- words and limits ------------------------------------------------------

    def test_words(self):
        c = self.at(self.other, tls=True)
        self.assertTrue(c.greeting.endswith("] Other here."), c.greeting)
        self.assertIn(" XOTHER", c.greeting)
        self.assertIn('* ID ("name" "other")', c.command("ID NIL")[0])
        self.assertTrue(c.login().startswith("OK"))
        c = self.imap(tls=True)
        self.assertTrue(c.greeting.endswith("] Gatehouse ready."), c.greeting)
        self.assertNotIn("XOTHER", c.greeting)
        self.assertTrue(self.pop3().greeting.startswith("+OK Pop here."))
        self.assertTrue(self.at(self.other, tls=True, kind=harness.Pop).greeting
                        .startswith("+OK Pop here."))

    def test_ipv6(self):
        if not self.v6:
            self.skipTest("no ::1 on this machine")
        c = self.at("::1", tls=True)
        self.assertTrue(c.greeting.endswith("] Six here."), c.greeting)
        self.assertIn(" XSIX", c.greeting)
        self.assertTrue(c.login().startswith("OK"))

    def test_limit_of_sessions(self):
        self.assertTrue(self.imap(tls=True, source=self.limited).login().startswith("OK"))
        self.assertTrue(eventually(lambda: re.search(
            r"(?m)^alice .*[( ]%s[ )]" % re.escape(self.limited), self.dovecot.doveadm("who"))))
        answer = self.imap(tls=True, source=self.limited).login()
        self.assertIn("mail_max_userip_connections=1", answer)
        for _ in range(2):
            self.assertTrue(self.imap(tls=True).login().startswith("OK"))

    def test_attempts_log_and_time(self):
        mark = self.gh.mark()
        c = self.at(self.strict, tls=True)
        idle = self.at(self.strict)
        self.assertTrue(c.login("alice", "wrong").startswith("NO"))
        self.assertIn(b"* BYE", c.rest())
        self.gh.wait_log(r"Auth failed: strict=%s, user=<alice>$" % re.escape(self.strict), 20, mark)
        self.assertIn(b"inactivity", idle.rest(60))
        self.assertTrue(self.imap().command("NOOP")[1].startswith("OK"))

    # ---- TLS -------------------------------------------------------------------

    def der(self, address, sni=None):
        return self.at(address, tls=True, sni=sni).sock.getpeercert(True)

    def test_certificates(self):
        self.assertEqual(self.der(self.gh.address), self.gh.cert.der())
        self.assertEqual(self.der(self.other), self.cert_other.der())
        self.assertEqual(self.der(self.other, "unknown.test"), self.cert_other.der())
        self.assertEqual(self.der(self.gh.address, "named.test"), self.gh.cert.der())
        for name in ("named.test", "NAMED.test", "x.wild.test"):
            c = self.at(self.other, tls=True, sni=name)
            self.assertEqual(c.sock.getpeercert(True), self.cert_named.der())
            self.assertTrue(c.greeting.endswith("] Named here."), c.greeting)
        c = self.at(self.other, tls=True, sni="named.test", kind=harness.Pop)
        self.assertEqual(c.sock.getpeercert(True), self.cert_other.der())
        c = self.at(self.other)
        self.assertTrue(c.greeting.endswith("] Other here."), c.greeting)
        c.starttls(sni="named.test")
        self.assertEqual(c.sock.getpeercert(True), self.cert_named.der())
        self.assertTrue(c.login().startswith("OK"))

    def test_versions_and_ciphers(self):
        c = self.at(self.strict, tls=True)
        self.assertEqual(c.sock.version(), "TLSv1.3")
        self.assertEqual(c.sock.cipher()[0], "TLS_CHACHA20_POLY1305_SHA256")
        old = harness.tls_context(maximum=ssl.TLSVersion.TLSv1_2)
        with self.assertRaises((ssl.SSLError, OSError)):
            self.keep(harness.Imap((self.strict, self.gh.ports["imaps"]), tls=old))
        c = self.keep(harness.Imap((self.strict, self.gh.ports["imaps"]), tls=old, sni="old.test"))
        self.assertEqual(c.sock.cipher()[0], "ECDHE-ECDSA-CHACHA20-POLY1305")
        self.assertTrue(c.login().startswith("OK"))
        self.assertIn("Server Temp Key: ECDH, secp521r1", self.s_client(self.strict, "P-521"))
        self.assertNotIn("Server Temp Key", self.s_client(self.strict, "P-256"))
        self.assertIn("Server Temp Key: ECDH, prime256v1", self.s_client(self.gh.address, "P-256"))

    def s_client(self, address, groups):
        r = subprocess.run(["openssl", "s_client", "-groups", groups, "-crlf", "-connect",
                            "%s:%d" % (address, self.gh.ports["imaps"])],
                           input="a LOGOUT\n", capture_output=True, text=True, timeout=60)
        return r.stdout.replace("P-256", "prime256v1").replace("X9.62/SECG curve over a 256", "")

    def test_client_certificates(self):
        mine = harness.tls_context()
        mine.load_cert_chain(*self.good)
        where = self.certs, self.gh.ports["imaps"]
        self.assertTrue(self.keep(harness.Imap(where, tls=mine)).login().startswith("OK"))
        self.assertIn("certificate", self.at(self.certs, tls=True).login())
        self.assertTrue(self.at(self.certs, tls=True, sni="open.test").login().startswith("OK"))
        self.assertTrue(self.keep(harness.Imap(self.gh.server("imaps"), tls=mine)).login()
                        .startswith("OK"))

    def resumed(self, context, session, address, name="x.test"):
        """Whether it was, and the next session."""
        with socket.create_connection((address, self.gh.ports["imaps"]), 60) as raw:
            with context.wrap_socket(raw, server_hostname=name, session=session) as s:
                s.recv(1000)    # TLS 1.3: the session comes with the first data
                return s.session_reused, s.session

    def test_a_session_stays_where_its_certificate_is(self):
        for v in VERSIONS:
            context = harness.tls_context(None, v, v)
            for first, second, name, same in (
                    (self.other, self.other, "x.test", True),
                    (self.other, self.gh.address, "x.test", False),
                    (self.gh.address, self.other, "x.test", False),
                    (self.other, self.other, "named.test", True),
                    (self.other, self.gh.address, "named.test", False),
                    # The same certificate under other blocks; where clients are asked for
                    # theirs nothing is resumed.
                    (self.certs, self.certs, "open.test", True),
                    (self.gh.address, self.certs, "open.test", False),
                    (self.certs, self.gh.address, "open.test", False),
                    (self.certs, self.certs, "x.test", False)):
                with self.subTest(version=v, first=first, second=second, name=name):
                    reused, session = self.resumed(context, None, first, name)
                    self.assertFalse(reused)
                    self.assertEqual(self.resumed(context, session, second, name)[0], same)
        self.assertEqual(self.gh.find_log(r"signal \d+|SIGSYS|forbids|malformed"), [])


class Fork(Blocks, SystemTest):
    def test_check_shows_them(self):
        r = subprocess.run([self.gh.program, "check", "-c", self.gh.conf], capture_output=True,
                           text=True, timeout=120)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertIn(f"block     local {self.other}/32 {{ local_name \"named.test *.wild.test\" {{ "
                      "protocol imap { ssl_cert, ssl_key, login_greeting } } }\n", r.stdout)
        self.assertIn(f"block     remote {self.limited}/32 {{ mail_max_userip_connections }}\n",
                      r.stdout)

    def test_reload_with_a_wrong_block(self):
        was = self.gh.settings
        for wrong, says in (
                ("local 127.9.9.9 {\n ssl_cipher_list = NONSENSE\n}", "ssl_cipher_list: NONSENSE"),
                ("local 127.9.9.9 {\n ssl_verify_client_cert = yes\n}", "needs ssl_ca"),
                ("local 127.9.9.9 {\n ssl_ca = <%s\n}\nlocal 127.9.9.9 {\n"
                 " ssl_verify_client_cert = yes\n}" % self.gh.cert.cert, "has no CRL")):
            self.gh.write_config(settings=was + wrong + "\n")
            line = open(self.gh.conf).read().split("local 127.9.9.9")[0].count("\n") + 1
            mark = self.gh.mark()
            self.gh.process.kill(1)
            self.gh.wait_log(rf"{re.escape(self.gh.conf)}:{line}: .*{re.escape(says)}", 60, mark)
        self.gh.write_config(settings=was)
        self.assert_serves()


class Exec(Blocks, SystemTest):
    settings = "worker_spawn = exec"


class Pooled(Blocks, SystemTest):
    imap_login = pop3_login = "service_count = 0"


# ---- beside Dovecot's own reading of the same file -------------------------------

# Of what Dovecot takes in blocks (its auth server's settings, auth_..., are none of them).
COMPARED = ("login_greeting", "mail_max_userip_connections", "imap_capability", "ssl",
            "disable_plaintext_auth", "login_log_format_elements", "login_trusted_networks",
            "ssl_min_protocol", "ssl_cipher_list", "ssl_cert", "ssl_curve_list",
            "imap_id_send", "ssl_verify_client_cert", "ssl_require_crl", "ssl_prefer_server_ciphers",
            "login_log_format", "ssl_cert_username_field")

BASE = """
protocols = imap pop3
login_greeting = base
login_log_format_elements = user=<%u> %c
imap_id_send = name *
ssl = yes
ssl_cert = </c
ssl_key = </k
ssl_min_protocol = TLSv1.2
mail_max_userip_connections = 10
"""

# Files, and which connections are looked at: (local, remote, name, protocol).
FILES = {
    "nested": ("""
local 192.0.2.0/24 {
  login_greeting = $login_greeting l24
  ssl_min_protocol = TLSv1.3
  remote 10.0.0.0/8 {
    mail_max_userip_connections = 100
    protocol imap {
      imap_capability = +X
    }
  }
  local 192.0.2.1 {
    login_greeting = $login_greeting l32
    disable_plaintext_auth = no
    ssl_cert = </c1
    ssl_key = </k1
  }
  local_name a.example {
    ssl_cert = </ca
    ssl_key = </ka
  }
}
protocol !pop3 {
  imap_id_send = name other
}
""", [("192.0.2.1", "10.1.1.1", "", "imap"), ("192.0.2.1", "192.168.0.1", "", "pop3"),
      ("192.0.2.2", "10.1.1.1", "", "imap"), ("192.0.2.2", "10.1.1.1", "", "pop3"),
      ("192.0.3.1", "10.1.1.1", "", "imap"), ("192.0.3.1", "", "", "pop3"),
      ("192.0.2.2", "10.1.1.1", "a.example", "imap"), ("192.0.2.2", "", "b.example", "imap"),
      ("192.0.3.2", "10.1.1.1", "a.example", "pop3"), ("", "", "", "")]),
    "names": ("""
local_name *.example {
  login_greeting = wild
  ssl_cert = </cw
  ssl_key = </kw
}
local_name "m.test n.test" {
  login_greeting = two
  ssl_verify_client_cert = yes
  remote 10.0.0.0/8 {
    protocol pop3 {
      imap_id_send = name ten
      login_greeting = two and ten
    }
  }
}
""", [("192.0.2.1", "", name, p) for name, p in (
        ("a.example", "imap"), ("A.EXAMPLE", "pop3"), ("b.a.example", "imap"), ("example", "imap"),
        ("m.test", "imap"), ("n.test", "pop3"), ("o.test", "imap"), ("", "imap"))]
      + [("", "10.3.3.3", "n.test", "pop3"), ("", "10.3.3.3", "n.test", "imap"),
         ("", "10.3.3.3", "", "pop3")]),
    "one place twice, and IPv6": ("""
remote 2001:db8::/32 {
  login_greeting = one
  ssl = required
}
remote 2001:db8::/32 {
  login_greeting = two
  login_trusted_networks = 10.0.0.0/8
}
remote 2001:db8::1 {
  login_log_format = %s and %$
  ssl_cipher_list = HIGH
  ssl_curve_list = P-384
  ssl_prefer_server_ciphers = yes
}
local ::1 {
  ssl_require_crl = no
  ssl_cert_username_field = x500UniqueIdentifier
}
""", [("::1", "2001:db8::1", "", "imap"), ("::1", "2001:db8::2", "", "pop3"),
      ("::2", "2001:db8:1::1", "", "imap"), ("::1", "2001:db9::1", "", "imap"),
      ("127.0.0.1", "32.1.13.184", "", "imap")]),
}

# Refused here when the file is read; there when such a connection comes.
CONFLICTS = {
    ("192.0.2.1", "", "", "imap"): """
protocol imap {
  login_greeting = imap
}
local 192.0.2.1 {
  login_greeting = local
}
""",
    ("", "10.1.1.1", "", "imap"): """
remote 10.0.0.0/8 {
  protocol imap {
    login_greeting = imap
  }
}
remote 10.1.0.0/16 {
  login_greeting = sixteen
}
""",
    ("192.0.2.1", "10.1.1.1", "", "imap"): """
local 192.0.2.0/24 {
  remote 10.0.0.0/8 {
    login_greeting = ten
  }
  local 192.0.2.1 {
    login_greeting = one
  }
}
""",
}

# There a conflict, too; here a name is always narrower than addresses.
NAMED = """
local_name a.example {
  login_greeting = named
}
local 192.0.2.0/24 {
  login_greeting = local
}
"""


@needs_program("doveconf", "dovecot-core")
class Doveconf(unittest.TestCase):
    """`gatehouse config -f` and `doveconf -f` say the same."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ghconf", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir, True)

    def run_it(self, argv, text, which, names=()):
        path = os.path.join(self.dir, "file.conf")
        with open(path, "w") as f:
            f.write(BASE + text)
        for key, value in zip(("local", "remote", "lname", "protocol"), which):
            argv += ["-f", f"{key}={value}"] if value else []
        return subprocess.run([*argv, "-c", path, *names], capture_output=True, text=True,
                              timeout=120)

    def values(self, output):
        found = {}
        for m in re.finditer(r"(?m)^(\w+) = ?(.*)$", output):
            found.setdefault(m[1], m[2].strip('"'))
        return {name: found.get(name, "missing") for name in COMPARED}

    def theirs(self, text, which):
        return self.run_it(["/usr/bin/doveconf"], text, which, COMPARED)

    def ours(self, text, which):
        return self.run_it([f"{TREE}/build/bin/gatehouse", "config"], text, which)

    def test_same_values(self):
        different = set()
        for name, (text, rows) in FILES.items():
            for which in rows:
                with self.subTest(file=name, connection=which):
                    theirs, ours = self.theirs(text, which), self.ours(text, which)
                    self.assertEqual((theirs.returncode, ours.returncode), (0, 0),
                                     theirs.stderr + ours.stderr)
                    here, there = self.values(ours.stdout), self.values(theirs.stdout)
                    # Defaults of these are not Dovecot's: they count where the file has them.
                    for own in ("ssl_cipher_list", "ssl_curve_list", "login_log_format"):
                        if f"{own} =" not in text or "2001:db8::1" not in which:
                            here.pop(own), there.pop(own)
                    self.assertEqual(here, there)
                    different.add(tuple(sorted(here.items())))
        self.assertGreaterEqual(len(different), 15, "the table tells too few cases apart")

    def test_conflicts(self):
        for which, text in CONFLICTS.items():
            with self.subTest(connection=which):
                theirs, ours = self.theirs(text, which), self.ours(text, which)
                self.assertNotEqual(theirs.returncode, 0)
                self.assertIn("Conflict in setting login_greeting", theirs.stderr)
                self.assertEqual(ours.returncode, 78)
                self.assertRegex(ours.stderr, r"file.conf:\d+: this block and the one of .*file.conf:"
                                 r"\d+ both set login_greeting")

    def test_names_before_addresses(self):
        which = ("192.0.2.1", "", "a.example", "imap")
        self.assertNotEqual(self.theirs(NAMED, which).returncode, 0)
        self.assertEqual(self.values(self.ours(NAMED, which).stdout)["login_greeting"], "named")

    def test_what_is_no_connection(self):
        for wrong in ("local=10.0.0.0/8", "remote=nowhere", "protocol=lmtp", "port=1", "local"):
            r = subprocess.run([f"{TREE}/build/bin/gatehouse", "config", "-f", wrong],
                               capture_output=True, text=True, timeout=60)
            self.assertEqual(r.returncode, 64)
            self.assertIn(f"-f {wrong}: this is no filter", r.stderr)
