# check: also as an ordinary user
"""TLS sessions are resumed, in every worker model, once, and never when they should not be."""

import base64
import os
import signal
import ssl
import subprocess
import textwrap
import time

import harness
from harness import Certificate, SystemTest, eventually

VERSIONS = ("tls1_2", "tls1_3")
DIALOGS = {"imap": "a LOGIN alice wonderland\nb LOGOUT\n",
           "pop3": "USER alice\nPASS wonderland\nQUIT\n"}
LOGGED_IN = {"imap": r"imap-login: Info: Login: user=<alice>.*TLS",
             "pop3": r"pop3-login: Info: Login: user=<alice>.*TLS"}


class Resuming(SystemTest):
    """s_client: what it says about a session, what it is told, what it keeps."""

    def s_client(self, where, version, *more, keep=None, use=None, starttls=None, login=True):
        """True if the session was resumed; the dialog has to end well."""
        service = "pop3" if where.startswith("pop3") else "imap"
        argv = ["openssl", "s_client", "-connect", "%s:%d" % self.gh.server(where),
                f"-{version}", "-crlf", "-ign_eof", *more]
        argv += ["-sess_out", keep] if keep else []
        argv += ["-sess_in", use] if use else []
        argv += ["-starttls", starttls] if starttls else []
        said = DIALOGS[service] if login else DIALOGS[service].splitlines(True)[-1]
        r = subprocess.run(argv, input=said, capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertRegex(r.stdout, r"b OK|\+OK Logging out|\+OK", r.stderr)
        new, reused = "\nNew, TLS" in r.stdout, "\nReused, TLS" in r.stdout
        self.assertNotEqual(new, reused, r.stdout)
        return reused

    def path(self, name):
        return os.path.join(self.gh.dir, f"{self.id().rsplit('.', 1)[-1]}-{name}")

    def full(self, where="imaps", version="tls1_3", *more, **kw):
        """A full handshake; the file of its session."""
        keep = self.path(f"{where}-{version}")
        self.assertFalse(self.s_client(where, version, *more, keep=keep, **kw))
        self.assertTrue(os.path.getsize(keep), "no session was offered")
        return keep


class Models:
    """Mixed into a class for each model."""

    def test_resumed_once_and_logged_in(self):
        for where, starttls in (("imaps", None), ("imap", "imap"), ("pop3s", None),
                                ("pop3", "pop3")):
            for version in VERSIONS:
                with self.subTest(where=where, version=version):
                    keep = self.full(where, version, starttls=starttls)
                    mark = self.gh.mark()
                    self.assertTrue(self.s_client(where, version, use=keep, starttls=starttls))
                    self.gh.wait_log(LOGGED_IN[where[:4]], 20, mark)
                    self.assertFalse(self.s_client(where, version, use=keep, starttls=starttls),
                                     "given out twice")
        self.assertEqual(self.gh.find_log(r"signal \d+|SIGSYS|forbids|malformed"), [])

    def test_chain(self):
        """TLS 1.3: each connection brings the session for the next one."""
        keep = self.full()
        for _ in range(5):
            following = self.path("following")
            self.assertTrue(self.s_client("imaps", "tls1_3", use=keep, keep=following))
            keep = following


class Fork(Models, Resuming):
    pass


class Exec(Models, Resuming):
    settings = "worker_spawn = exec"


class Pooled(Models, Resuming):
    imap_login = pop3_login = "service_count = 0"


class Bounds(Resuming):
    """What a session is good for, and what not."""

    kind = "rsa2048"

    def test_only_for_its_service(self):
        for version in VERSIONS:
            self.assertFalse(self.s_client("pop3s", version, use=self.full("imaps", version)))
            self.assertTrue(self.s_client("imaps", version, starttls=None,
                                          use=self.full("imap", version, starttls="imap")))

    def test_only_for_its_name(self):
        for version in VERSIONS:
            for first, second, same in (("a.test", "A.Test", True), ("a.test", "b.test", False),
                                        ("a.test", None, False), (None, "a.test", False),
                                        (None, None, True)):
                with self.subTest(version=version, first=first, second=second):
                    def name(n):
                        return ["-servername", n] if n else ["-noservername"]
                    keep = self.full("imaps", version, *name(first))
                    self.assertEqual(self.s_client("imaps", version, *name(second), use=keep),
                                     same)

    def test_only_for_its_client(self):
        """Another address does not get it, the same one does afterwards."""
        for version in VERSIONS:
            keep = self.full("imaps", version, "-bind", self.gh.address + ":0")
            self.assertFalse(self.s_client("imaps", version, "-bind", "127.0.0.1:0", use=keep))
            self.assertTrue(self.s_client("imaps", version, "-bind", self.gh.address + ":0",
                                          use=keep))

    def test_only_for_its_version(self):
        self.assertFalse(self.s_client("imaps", "tls1_2", use=self.full(version="tls1_3")))
        self.assertFalse(self.s_client("imaps", "tls1_3", use=self.full(version="tls1_2")))

    def test_after_a_wrong_guess_of_the_group(self):
        """HelloRetryRequest: two hellos with the session in both."""
        groups = ("-groups", "P-521:P-384")
        keep = self.full("imaps", "tls1_3", *groups)
        self.s_client("imaps", "tls1_3", *groups, use=keep)
        self.assertEqual(self.gh.find_log("malformed"), [])

    def test_no_early_data(self):
        keep = self.full()
        r = subprocess.run(["openssl", "sess_id", "-in", keep, "-noout", "-text"],
                           capture_output=True, text=True, timeout=60)
        self.assertIn("Max Early Data: 0", r.stdout)

    def test_one_ticket_and_no_key(self):
        """The ticket is the session's id: nothing is in it that a key would protect."""
        keep = self.full()
        r = subprocess.run(["openssl", "sess_id", "-in", keep, "-noout", "-text"],
                           capture_output=True, text=True, timeout=60)
        self.assertRegex(r.stdout, r"TLS session ticket:\n\s+0000 - .*\n\s+0010 - .*\n\s*\n")
        for version in VERSIONS:
            r = subprocess.run(["openssl", "s_client", "-connect",
                                "%s:%d" % self.gh.server("imaps"), f"-{version}", "-crlf",
                                "-ign_eof"], input="a LOGOUT\n", capture_output=True, text=True,
                               timeout=60)
            self.assertEqual(r.stdout.count("Post-Handshake New Session Ticket"),
                             1 if version == "tls1_3" else 0)

    def test_unknown_ids(self):
        """Made up ones, in great number: nothing happens."""
        context = harness.tls_context(maximum=ssl.TLSVersion.TLSv1_2)
        with harness.Imap(self.gh.server("imaps"), tls=context) as c:
            session = c.sock.session
        with harness.LineClient(self.gh.server("imaps")) as c:
            c.sock = context.wrap_socket(c.sock, session=session)
            self.assertTrue(c.sock.session_reused)
        with harness.LineClient(self.gh.server("imaps")) as c:
            c.sock = context.wrap_socket(c.sock, session=session)
            self.assertFalse(c.sock.session_reused)
        self.assert_serves()

    def test_password_through_a_resumed_session_of_another_client(self):
        """The mail process sees a session like any other."""
        context = harness.tls_context()
        c = self.imap(tls=context)
        c.command("NOOP")
        session = c.sock.session
        c.command("LOGOUT")
        d = self.keep(harness.LineClient(self.gh.server("imaps")))
        d.sock = context.wrap_socket(d.sock, session=session)
        self.assertTrue(d.sock.session_reused)
        self.assertTrue(d.line().startswith("* OK"))
        d.send("a LOGIN alice wonderland\r\n")
        self.assertTrue(d.line().startswith("a OK"))
        d.send("b SELECT INBOX\r\n")
        while not (line := d.line()).startswith("b "):
            pass
        self.assertTrue(line.startswith("b OK"), line)


class Lifetime(Resuming):
    settings = "ssl_session_lifetime = 2s"

    @staticmethod
    def prolong(path):
        """The client's view of its session: 127 seconds, lest it does not even try."""
        with open(path) as f:
            pem = f.read().splitlines()
        der = base64.b64decode("".join(pem[1:-1]))
        for field in (b"\xa2", b"\xa9"):         # timeout, lifetime hint of a ticket
            der = der.replace(field + b"\x03\x02\x01\x02", field + b"\x03\x02\x01\x7f")
        with open(path, "w") as f:
            f.write("\n".join([pem[0], *textwrap.wrap(base64.b64encode(der).decode(), 64),
                               pem[-1], ""]))
        return b"\x7f" in der

    def test_none_after_its_lifetime(self):
        for version in VERSIONS:
            self.assertTrue(eventually(lambda: self.s_client("imaps", version, use=self.full(
                "imaps", version)), 60), "none at all")
            late = self.full("imaps", version)
            self.assertTrue(self.prolong(late))
            time.sleep(2.2)
            self.assertFalse(self.s_client("imaps", version, use=late))


class Off(Resuming):
    settings = "ssl_session_lifetime = 0"

    def test_nothing_is_offered(self):
        for version in VERSIONS:
            keep = self.path(version)
            self.assertFalse(self.s_client("imaps", version, keep=keep))
            self.assertFalse(os.path.exists(keep))


class Ends(Resuming):
    """What the sessions do not outlive."""

    def test_reload(self):
        """With another certificate, and with the same: a new signer knows nothing."""
        for new in (True, False):
            kept = {v: self.full("imaps", v) for v in VERSIONS}
            if new:
                self.gh.write_config(cert=Certificate(self.gh.dir, f"new{time.time_ns()}",
                                                      addresses=(self.gh.address,)))
            old = self.gh.helper("launcher")
            self.assertIn("ready", self.gh.reload()[0])
            self.assertTrue(eventually(lambda: not old.alive()))
            for version in VERSIONS:
                self.assertFalse(self.s_client("imaps", version, use=kept[version]))

    def test_death_of_the_signer(self):
        kept = {v: self.full("imaps", v) for v in VERSIONS}
        old = self.gh.helper("keys")
        old.kill(signal.SIGKILL)
        self.assertTrue(eventually(lambda: self.gh.helpers("keys")
                                   and self.gh.helper("keys") != old))
        self.assertTrue(eventually(lambda: self.gh.find_log(r"key .*fits", 0)))
        self.assertTrue(eventually(self.serves, 30))
        for version in VERSIONS:
            self.assertFalse(self.s_client("imaps", version, use=kept[version]))
            self.assertTrue(self.s_client("imaps", version, use=self.full("imaps", version)))

    def serves(self):
        try:
            with harness.Imap(self.gh.server("imaps"), tls=True):
                return True
        except (OSError, harness.ClientError):
            return False

    def test_a_fallen_signer_is_no_proof(self):
        """Stopped, it answers nothing: no session is resumed, and none is made up."""
        keep = self.full("imaps", "tls1_2")
        signer = self.gh.helper("keys")
        signer.kill(signal.SIGSTOP)
        try:
            r = subprocess.run(["openssl", "s_client", "-connect",
                                "%s:%d" % self.gh.server("imaps"), "-tls1_2", "-sess_in", keep],
                               input="", capture_output=True, text=True, timeout=60)
        finally:
            signer.kill(signal.SIGCONT)
        self.assertNotIn("* OK", r.stdout)
        self.assertNotIn("Reused", r.stdout)
        self.assert_serves()
