# check: also as an ordinary user
"""Logging in with the clients that people use, through each worker model."""

import base64
import hashlib
import hmac
import imaplib
import os
import poplib
import secrets
import ssl
import subprocess

import harness
from harness import SystemTest, eventually

GREETING_WORDS = ("IMAP4rev1", "SASL-IR", "LOGIN-REFERRALS", "ID", "ENABLE", "IDLE", "LITERAL+")


class Logins:
    """What every worker model and every kind of key must be able to do."""

    def test_curl_reads_the_welcome_message(self):
        for scheme, name in (("imaps", "imaps"), ("imap", "imap")):
            url = f"{scheme}://{self.gh.address}:{self.gh.ports[name]}/INBOX;MAILINDEX=1"
            with self.subTest(scheme):
                r = subprocess.run(["curl", "-sS", "-k", "--ssl-reqd", "--max-time", "60", url,
                                    "-u", "alice:wonderland"], capture_output=True, text=True)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("You came through gatehouse.", r.stdout)

    def test_curl_reads_pop3(self):
        url = f"pop3s://{self.gh.address}:{self.gh.ports['pop3s']}/1"
        r = subprocess.run(["curl", "-sS", "-k", "--max-time", "60", url,
                            "-u", "alice:wonderland"], capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("You came through gatehouse.", r.stdout)

    def test_imaplib(self):
        with harness.imaplib_tls(self.gh.server("imaps"), self.gh.cert.cert) as c:
            self.assertEqual(c.login("alice", "wonderland")[0], "OK")
            self.assertEqual(c.select("INBOX")[0], "OK")
            self.assertIn(b"You came", c.fetch("1", "(BODY[TEXT])")[1][0][1])

    def test_imaplib_starttls(self):
        with imaplib.IMAP4(*self.gh.server("imap"), timeout=60) as c:
            self.assertEqual(c.starttls(harness.tls_context(self.gh.cert.cert))[0], "OK")
            self.assertEqual(c.login("alice", "wonderland")[0], "OK")
            self.assertEqual(c.select("INBOX")[0], "OK")

    def test_poplib_stls(self):
        c = poplib.POP3(*self.gh.server("pop3"), timeout=60)
        self.addCleanup(c.close)
        c.stls(harness.tls_context(self.gh.cert.cert))
        c.user("alice")
        self.assertTrue(c.pass_("wonderland").startswith(b"+OK"))
        self.assertGreaterEqual(c.stat()[0], 1)
        c.quit()

    def test_plaintext_login_hands_the_socket_over(self):
        c = self.imap(equal=True)
        self.assertNotIn("LOGINDISABLED", c.greeting)
        self.assertTrue(c.login().startswith("OK"))
        self.assertIn(b"You came", self.fetch_welcome(c))
        # The worker is out of the way: only the mail process holds the connection.
        _, answer = c.command("LOGOUT")
        self.assertTrue(answer.startswith("OK"), answer)

    def test_greeting_and_capabilities(self):
        c = self.imap(tls=True)
        self.assertTrue(c.greeting.startswith("* OK [CAPABILITY "), c.greeting)
        for word in GREETING_WORDS + ("AUTH=PLAIN",):
            self.assertIn(word, c.greeting.replace("]", " ").split())
        self.assertNotIn("STARTTLS", c.greeting)
        self.assertNotIn("LOGINDISABLED", c.greeting)

    def test_wrong_password_is_refused_and_the_connection_stays(self):
        c = self.imap(tls=True)
        self.assertTrue(c.login("alice", "wrong").startswith("NO [AUTHENTICATIONFAILED]"))
        self.assertTrue(c.login("nobody", "x").startswith("NO [AUTHENTICATIONFAILED]"))
        self.assertTrue(c.login().startswith("OK"))

    def test_sasl_plain_with_and_without_initial_response(self):
        ir = base64.b64encode(b"\0alice\0wonderland").decode()
        c = self.imap(tls=True)
        self.assertTrue(c.command(f"AUTHENTICATE PLAIN {ir}")[1].startswith("OK"))
        c = self.imap(tls=True)
        c.send("a AUTHENTICATE PLAIN\r\n")
        self.assertEqual(c.line(), "+ ")
        c.send(ir + "\r\n")
        self.assertTrue(c.reply("a")[1].startswith("OK"))

    def test_sasl_login_and_abort(self):
        c = self.imap(tls=True)
        c.send("a AUTHENTICATE LOGIN\r\n")
        self.assertEqual(base64.b64decode(c.line()[2:]), b"Username:")
        c.send("*\r\n")
        self.assertTrue(c.reply("a")[1].startswith("BAD"))
        c.send("b AUTHENTICATE LOGIN\r\n")
        c.line()
        c.send(base64.b64encode(b"alice") + b"\r\n")
        self.assertEqual(base64.b64decode(c.line()[2:]), b"Password:")
        c.send(base64.b64encode(b"wonderland") + b"\r\n")
        self.assertTrue(c.reply("b")[1].startswith("OK"))

    def test_scram(self):
        c = self.imap(tls=True)
        nonce = secrets.token_hex(12)
        bare = f"n=alice,r={nonce}"
        c.send("a AUTHENTICATE SCRAM-SHA-256 "
               + base64.b64encode(f"n,,{bare}".encode()).decode() + "\r\n")
        first = base64.b64decode(c.line()[2:]).decode()
        f = dict(x.split("=", 1) for x in first.split(","))
        self.assertTrue(f["r"].startswith(nonce))
        salted = hashlib.pbkdf2_hmac("sha256", b"wonderland", base64.b64decode(f["s"]),
                                     int(f["i"]))
        final = f"c=biws,r={f['r']}"
        message = f"{bare},{first},{final}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        sig = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, sig))).decode()
        c.send(base64.b64encode(f"{final},p={proof}".encode()) + b"\r\n")
        server = base64.b64decode(c.line()[2:]).decode()
        want = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        self.assertEqual(server, "v=" + base64.b64encode(want).decode())
        c.send("\r\n")
        self.assertTrue(c.reply("a")[1].startswith("OK"))

    def test_openssl_s_client(self):
        for version, says in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            with self.subTest(version):
                r = subprocess.run(
                    ["openssl", "s_client", version, "-quiet", "-verify_return_error", "-CAfile",
                     self.gh.cert.cert, "-connect", "%s:%d" % self.gh.server("imaps")],
                    input="a LOGIN alice wonderland\r\nb LOGOUT\r\n", capture_output=True,
                    text=True, timeout=60)
                self.assertIn("a OK", r.stdout, r.stderr)
                self.assertIn("b OK", r.stdout, r.stderr)
                self.gh.wait_log(r"Login: user=<alice>.*rip=.*TLS", 20)

    def test_pipelined_commands_survive_the_login(self):
        c = self.imap(tls=True)
        c.send("a LOGIN alice wonderland\r\nb SELECT INBOX\r\nc NOOP\r\n")
        for tag in "abc":
            self.assertTrue(c.reply(tag)[1].startswith("OK"))

    def test_login_line_in_the_log(self):
        c = self.logged_in(tls=True)
        line = (r"imap-login: Info: Login: user=<alice>, method=PLAIN, rip=([\d.]+), "
                r"lip=([\d.]+), mpid=(\d+), TLS.*, session=<([^>]+)>")
        port = c.sock.getsockname()[1]

        def ours():  # the session id holds the client's port: lines of others may come late
            return [m for m in self.gh.find_log(line)
                    if int.from_bytes(base64.b64decode(m[4])[6:8], "little") == port]
        m = eventually(ours, 20)[-1]
        self.assertEqual(m[1], c.sock.getsockname()[0])
        self.assertEqual(m[2], self.gh.address)
        self.assertIn(int(m[3]), [p.pid for p in self.dovecot.helper("imap")])

    def test_no_worker_is_left_after_the_sessions(self):
        for _ in range(3):
            c = self.logged_in(tls=True)
            c.command("LOGOUT")
            c.close()
        self.assertTrue(eventually(lambda: not self.dovecot.helper("imap")))
        if self.model == "fork":
            self.assertTrue(eventually(lambda: not self.gh.workers()), self.gh.workers())


class Fork(Logins, SystemTest):
    model = "fork"

    @harness.needs_program("mbsync", "isync")
    def test_mbsync_fetches_the_mailbox(self):
        home = os.path.join(self.gh.dir, "mbsync")
        os.mkdir(home)
        with open(f"{home}/rc", "w") as f:
            f.write(f"""
IMAPAccount a
Host {self.gh.address}
Port {self.gh.ports['imaps']}
User alice
Pass wonderland
SSLType IMAPS
CertificateFile {self.gh.cert.cert}

IMAPStore far
Account a

MaildirStore near
Path {home}/mail/
Inbox {home}/mail/INBOX

Channel c
Far :far:
Near :near:
Sync Pull
Create Near
""")
        os.mkdir(f"{home}/mail")
        r = subprocess.run(["mbsync", "-c", f"{home}/rc", "c"], capture_output=True, text=True,
                           timeout=120, env={"HOME": home, "PATH": "/usr/bin:/bin"})
        self.assertEqual(r.returncode, 0, r.stderr)
        got = [open(os.path.join(d, n)).read() for d, _, names in os.walk(f"{home}/mail/INBOX")
               for n in names if "/new" in d or "/cur" in d]
        self.assertTrue(any("You came through gatehouse." in m for m in got), r.stderr)

    def test_server_randoms_differ_between_forked_workers(self):
        """Children of one template must not share a random generator's state."""
        seen = set()
        for _ in range(12):
            seen.add(self.server_random())
        self.assertEqual(len(seen), 12)

    def server_random(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        o = harness.tls_context().wrap_bio(incoming, outgoing)
        with self.assertRaises(ssl.SSLWantReadError):
            o.do_handshake()
        c = self.keep(harness.LineClient(self.gh.server("imaps")))
        c.send(outgoing.read())
        head = c.exactly(5)
        self.assertEqual(head[0], 22, "a handshake record")
        hello = c.exactly(int.from_bytes(head[3:5], "big"))
        self.assertEqual(hello[0], 2, "ServerHello")
        return hello[6:38]


class Exec(Logins, SystemTest):
    model = "exec"
    settings = "worker_spawn = exec"


class Pooled(Logins, SystemTest):
    model = "pooled"
    imap_login = "service_count = 0"
    pop3_login = "service_count = 0"


class PooledAndRetired(Logins, SystemTest):
    """service_count = 3: a worker serves three connections and retires."""
    model = "pooled"
    imap_login = "service_count = 3"
    pop3_login = "service_count = 3"


class ManualSnippets(SystemTest):
    """The snippet of Dovecot's manual with each commented line uncommented."""
    imap_login = """service_count = 1
  process_min_avail = 2
  process_limit = $default_process_limit
  vsz_limit = 64M"""
    pop3_login = """service_count = 0
  client_limit = $default_client_limit
  process_min_avail = 1
  vsz_limit = 64M"""

    def test_both_serve(self):
        self.assert_serves()
        self.assertTrue(self.pop3(tls=True).login().startswith("+OK"))


class Keys(SystemTest):
    """One gatehouse for each kind of key; the handshake verifies its certificate."""
    started = False

    def test_every_kind_of_key_in_both_protocols(self):
        for kind in ("rsa2048", "p256", "p384", "ed25519"):
            gh = self.make_gatehouse(kind=kind)
            try:
                gh.start()
                for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                    with self.subTest(kind=kind, version=version.name):
                        context = harness.tls_context(gh.cert.cert, version, version)
                        with harness.Imap(gh.server("imaps"), tls=context) as c:
                            self.assertTrue(c.login().startswith("OK"))
            finally:
                gh.close()

    def test_rsa_and_ecdsa_at_once(self):
        rsa = harness.Certificate(self.gh.dir, "rsa", "rsa2048")
        gh = self.make_gatehouse(
            settings=f"ssl_alt_cert = <{rsa.cert}\nssl_alt_key = <{rsa.key}")
        self.addCleanup(gh.close)
        gh.start()
        for ciphers, want in (("ECDHE-RSA-AES128-GCM-SHA256", rsa.der()),
                              ("ECDHE-ECDSA-AES128-GCM-SHA256", gh.cert.der())):
            context = harness.tls_context(maximum=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
            with harness.Imap(gh.server("imaps"), tls=context) as c:
                self.assertEqual(c.sock.getpeercert(True), want)
                self.assertTrue(c.login().startswith("OK"))
