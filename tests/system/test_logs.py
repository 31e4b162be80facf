"""The log: what is in it, what scanners of logs make of it, what cannot get into it."""

import base64
import os
import re
import subprocess
import time

import harness
from harness import SystemTest, eventually

FILTER = "/etc/fail2ban/filter.d/dovecot.conf"
LINE = (r"(imap|pop3)-login: Info: (Login|Auth failed[^:]*|Disconnected: [^:]*): "
        r"user=<([^<>]*)>, ")


def ended(c):
    """QUIT or LOGOUT, and its end."""
    c.send("QUIT\r\n" if isinstance(c, harness.Pop) else "z LOGOUT\r\n")
    c.rest()
    c.close()


class Lines(SystemTest):
    settings = "auth_verbose = yes\nauth_max_attempts = 3"
    dovecot_options = {"mechanisms": "plain login cram-md5"}

    def session_of(self, pattern, mark):
        return self.gh.wait_log(pattern + r".*session=<([^>]+)>", 20, mark)[1]

    def test_each_attempt_at_once_and_one_line_at_the_end(self):
        for kind in (self.imap, self.pop3):
            with self.subTest(kind.__name__):
                mark = self.gh.mark()
                c = kind(tls=True)
                c.login("alice", "wrong")
                first = self.gh.wait_log(LINE, 20, mark)
                self.assertEqual(first[2], "Auth failed")
                c.login("bob", "wrong")
                second = self.gh.wait_log(r"Auth failed: user=<bob>", 20, mark)
                self.assertFalse(self.gh.find_log("Disconnected", mark), second)
                ended(c)
                self.gh.wait_log(
                    r"Disconnected: Aborted login by logging out \(auth failed, 2 attempts in \d+ "
                    r"secs\): user=<bob>, method=PLAIN, rip=127\.0\.0\.1, lip=127[\d.]+, TLS, "
                    r"session=<[^>]+>$", 20, mark)
                self.assertEqual(len(self.gh.find_log("Disconnected", mark)), 1)

    def test_attempts_that_were_not_even_asked(self):
        mark = self.gh.mark()
        c = self.imap()
        c.command("LOGIN alice secret")
        self.gh.wait_log(r"imap-login: Info: Auth failed \(tried to use disallowed plaintext auth\): "
                         r"user=<>, method=PLAIN, rip=", 20, mark)
        ended(c)
        self.gh.wait_log(r"Disconnected: Aborted login by logging out \(tried to use disallowed "
                         r"plaintext auth\): user=<>, method=PLAIN, rip=", 20, mark)
        c = self.pop3(tls=True)
        for _ in range(50):
            c.command("AUTH NTLM")
        ended(c)
        self.gh.wait_log(r"pop3-login: Info: Disconnected: .* \(tried to use unsupported auth "
                         r"mechanism\): user=<>, method=NTLM, rip=", 20, mark)
        self.assertEqual(len(self.gh.find_log(r"Auth failed.*NTLM", mark)), 1)
        self.assertNotIn("secret", self.gh.text(mark))

    def test_reasons(self):
        def sasl_cut(c):
            c.command("AUTH PLAIN")
            c.close()

        def sasl_abort(c):
            c.command("AUTH PLAIN")
            c.command("*")
            ended(c)

        def handshake_cut(c):
            c.command("STLS")
            c.send(b"nonsense that is no hello\r\n")
            c.close()

        def too_many(c):
            for _ in range(3):
                c.login("alice", "x")
            c.rest()

        def bad_commands(c):
            c.send("X\r\n" * 3)
            c.rest()

        for act, tls, words in (
                (ended, True, r"Aborted login by logging out \(no auth attempts in \d+ secs\)"),
                (lambda c: c.close(), True, r"Connection closed \(no auth attempts in \d+ secs\)"),
                (sasl_cut, True, r"Connection closed \(client didn't finish SASL auth, waited \d+"),
                (sasl_abort, True, r"Aborted login by logging out \(aborted authentication\)"),
                (bad_commands, True, r"Too many invalid commands \(no auth attempts"),
                (too_many, True, r"Too many failed logins \(auth failed, 3 attempts in \d+ secs\)"),
                (handshake_cut, False, r"Connection closed \(no auth attempts in \d+ secs\): user=<>, "
                 r"rip=[\d.]+, lip=[\d.]+, TLS handshaking: SSL_accept\(\) failed: ")):
            with self.subTest(words):
                mark = self.gh.mark()
                act(self.pop3(tls=tls))
                self.gh.wait_log("pop3-login: Info: Disconnected: " + words, 20, mark)

    def test_one_session_id_everywhere(self):
        mark = self.gh.mark()
        c = self.pop3(tls=True)
        c.login("alice", "wrong")
        failed = self.session_of("Auth failed: user=<alice>", mark)
        self.assertTrue(eventually(lambda: re.search(
            r"auth.*: Info: passwd-file\(alice,127\.0\.0\.1,<" + re.escape(failed) + r">\): "
            r"Password mismatch", self.dovecot.log_text()), 20), self.dovecot.log_text())
        self.assertEqual(c.login(), "+OK Logged in.")
        self.assertEqual(self.session_of("Login: user=<alice>", mark), failed)
        c.command("QUIT")
        self.assertTrue(eventually(lambda: re.search(
            r"pop3\(alice\)<\d+><" + re.escape(failed) + r">: Info: Disconnected",
            self.dovecot.log_text()), 20), self.dovecot.log_text())
        raw = base64.b64decode(failed)
        self.assertEqual(int.from_bytes(raw[6:8], "little"), c.sock.getsockname()[1])

    @harness.needs_program("fail2ban-regex", "fail2ban")
    def test_fail2ban_stock_filter(self):
        mark = self.gh.mark()
        ir = base64.b64encode(b"\0mallory\0x").decode()
        failing = []                            # all at once: each answer takes half a second
        for kw in ({"tls": True}, {"equal": True}):
            for login, kind, end in (
                    ("a LOGIN mallory x", self.imap, ended),
                    ("USER mallory\r\nPASS x", self.pop3, ended),
                    (f"a AUTHENTICATE PLAIN {ir}", self.imap, lambda c: c.close()),
                    (f"AUTH PLAIN {ir}", self.pop3, lambda c: c.close())):
                failing.append((kind(**kw), login, end))
        for user in ("a>, rip=198.51.100.7, session=<x", "a b", "", "x" * 200, "j\u00fc", "(auth)"):
            failing.append((self.imap(tls=True),
                            f"a LOGIN {{{len(user.encode())}+}}\r\n{user} x", lambda c: c.close()))
        for kind, login in ((self.imap, "a LOGIN mallory x"), (self.pop3, "USER mallory")):
            failing.append((kind(source="127.0.0.2"), login, ended))    # plaintext without TLS
        for c, login, _ in failing:
            c.send(login + "\r\n")
        for c, _, end in failing:
            while not re.match("a NO |-ERR ", c.line()):
                pass
            end(c)
        want = len(failing)
        for c in (self.imap(tls=True), self.pop3(tls=True)):
            self.assertRegex(c.login(), "^(OK|.OK) ")
            ended(c)
        ended(self.imap(tls=True))              # came, went: no offence
        self.imap().close()
        self.assertTrue(eventually(lambda: len(self.gh.find_log(
            r"Disconnected: .*(auth failed|disallowed plaintext)", mark)) == want, 20),
            self.gh.text(mark))
        path = os.path.join(self.gh.dir, "mail.log")
        with open(path, "w") as f:
            f.write(self.gh.text(mark) + "\n")
        r = subprocess.run(["fail2ban-regex", "--print-all-matched", path, FILTER],
                           capture_output=True, text=True, timeout=60)
        m = re.search(r"Lines: (\d+) lines, (\d+) ignored, (\d+) matched, (\d+) missed", r.stdout)
        self.assertIsNotNone(m, r.stdout + r.stderr)
        self.assertEqual(int(m[3]), want, r.stdout)
        matched = r.stdout.split("Matched line(s):")[1].split("Missed line(s)")[0]
        self.assertNotIn(": Login: ", matched)
        self.assertNotIn("no auth attempts", matched)
        # And whom it would ban: only addresses that clients really had.
        r = subprocess.run(["fail2ban-regex", "--out", "ip", path, FILTER],
                           capture_output=True, text=True, timeout=60)
        self.assertEqual(set(r.stdout.split()), {"127.0.0.1", "127.0.0.2", self.gh.address})

    HOSTILE = (
        (b"a\nImap-login: Login: user=<root>", "a?Imap-login: Login: user??root?"),
        (b"a\r\nNov 26 00:00:00 imap-login: Info: Login: user=<root>, rip=1.2.3.4",
         "a??Nov 26 00:00:00 imap-login: Info: Login: user??root?? rip?1.2.3.4"),
        (b"\x1b[2J\x1b]0;owned\x07", "?[2J?]0;owned?"),
        (b"\x9b31m", "?31m"),
        (b"x\x7f\x08\x08y\t\x01z", "x???y??z"),
        ("ab\u202etxt.exe\u202c\u2066x\u2069".encode(), "ab?txt.exe??x?"),
        ("j\u00fcrgen@m\u00fcnchen.test".encode(), "j\u00fcrgen@m\u00fcnchen.test"),
        (b"\xff\xfe\xc0\xaf", "????"),
        (b"b" * 300, "b" * 77 + "..."),
        (b"%s%n%x${jndi:ldap://x}", "%s%n%x${jndi:ldap://x}"),
    )

    def test_hostile_names(self):
        """By each way on which a name can come; IMAP literals take any byte but NUL."""
        mark = self.gh.mark()
        clients = []
        for name, shown in self.HOSTILE:
            for way in ("literal", "sasl", "user"):
                if way == "user" and (b"\n" in name or len(name) > 255):
                    continue
                source = f"127.0.1.{len(clients) + 1}"      # tells the lines apart
                c = (self.pop3 if way == "user" else self.imap)(tls=True, source=source)
                c.send({"literal": b"a LOGIN {%d+}\r\n%s {3+}\r\nx y\r\n" % (len(name), name),
                        "sasl": b"a AUTHENTICATE PLAIN " + base64.b64encode(b"\0%s\0x" % name)
                        + b"\r\n",
                        "user": b"USER " + name + b"\r\nPASS x\r\n"}[way])
                clients.append((c, name, way, shown, source))
        for c, name, way, shown, source in clients:
            with self.subTest(name=name, way=way):
                while not re.match("a NO |-ERR ", c.line()):
                    pass
                c.close()
                line = self.gh.wait_log(rf"Disconnected:.*rip={source},.*", 20, mark)[0]
                self.assertEqual(re.search("user=<([^<>]*)>, method=PLAIN, rip=127", line)[1], shown)
        text = self.gh.text()
        self.assertFalse(re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd]",
                                   text))
        for line in text.splitlines():
            self.assertRegex(line, r"^\w{3} \d\d \d\d:\d\d:\d\d (gatehouse[\w-]*|imap-login|"
                             r"pop3-login): (Info|Warning|Error|Debug): ")
        self.assertFalse(re.search("Login: user=<root", text))

    def test_hostile_client_text(self):
        """What else a client says that could get into the log."""
        mark = self.gh.mark()
        c = self.imap(tls=True)
        c.send(b'a ID ("name" "x\x1b[2J" "v" {6+}\r\n1\r\nI2 )\r\n')
        c.line()
        c.send(b"b AUTHENTICATE X,rip=1.2.3.4\x1b[2J\r\n")
        c.reply("b")
        c.close()
        context = harness.tls_context()
        c = self.keep(harness.Imap(self.gh.server("imaps"), greet=False))
        c.start_tls(context, sni="evil,rip=1.2.3.4")
        c.line()
        c.login("nobody", "x")
        c.close()
        self.gh.wait_log(r"Disconnected: .*user=<nobody>", 20, mark)
        text = self.gh.text(mark)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("rip=1.2.3.4", text)
        self.assertNotIn("local_name=evil", self.dovecot.log_text())


class Format(SystemTest):
    dovecot_options = {"users": {"alice": "wonderland::::::team=blue pass=never"}}
    settings = """login_log_format = %s <- %$
login_log_format_elements = user=<%{user}> %n|%d team=%{passdb:team} no=%{passdb:no} """ \
        """p=%{passdb:pass} d=%{passdb:none:default} sec=%{secured} ssl=%k proto=%{protocol} """ \
        """ports=%a/%{remote_port} real=%{real_rip} name=%{local_name} s=<%{session}>"""

    def test_variables(self):
        c = self.keep(harness.Imap(self.gh.server("imaps"), greet=False))
        c.start_tls(harness.tls_context(), sni="Mail.Example.Test")
        c.line()
        port = c.sock.getsockname()[1]
        self.assertTrue(c.login().startswith("OK"))
        self.gh.wait_log(
            r"imap-login: Info: user=<alice>, alice\|, team=blue, d=default, sec=TLS, "
            r"ssl=TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\), proto=imap, "
            rf"ports={self.gh.ports['imaps']}/{port}, real=127\.0\.0\.1, name=mail\.example\.test, "
            r"s=<[^>]{16}> <- Login$", 20)
        self.assertNotIn("never", self.gh.text())


class Modifiers(SystemTest):
    """Dovecot 2.3's modifiers; the login process's number and its listener, in each model."""

    dovecot_options = {"users": {"alice": "wonderland", "Us.Er@Example.COM": "x"},
                       "extra": "auth_username_format =\n"}
    pop3_login = "service_count = 0"
    settings = ("login_log_format_elements = user=<%Lu> %Un|%3u|%-3.u|%0.-4n|%2.256Hu|%Rd pid=%p "
                "%{listener} h=%h host=%{hostname}:%r site=x")

    def check(self, kind, listener, model):
        mark = self.gh.mark()
        c = kind(tls=True)
        with self.subTest(model):
            self.assertTrue(c.login("Us.Er@Example.COM", "x").lstrip("+").startswith("OK"))
            line = self.gh.wait_log(
                r"Login: user=<us\.er@example\.com>, US\.ER\|Us\.\|COM\|U\|[0-9a-f]{2}\|"
                rf"MOC\.elpmaxE, pid=(\d+), {listener}, host=\S+:127\.0\.0\.1$", 20, mark)
            launcher = self.gh.helper("launcher")
            found = eventually(lambda: [p for p in self.gh.logins(launcher) if
                                        p.status().get("NSpid", "").split()[-1:] == [line[1]]])
            self.assertTrue(found, (line[0], launcher, self.gh.logins(launcher)))
            worker, = found
            self.assertEqual(worker.argv()[1], {"fork": "template"}.get(model, model))
            c.close()
            if model != "pool":                 # it was this one's connection
                self.assertTrue(eventually(lambda: not worker.alive()), line[0])

    def test_names_numbers_listeners(self):
        self.check(self.imap, "imaps", "fork")
        self.check(self.pop3, "pop3s", "pool")
        self.gh.write_config(imap_login="worker_spawn = exec\nprocess_min_avail = 1")
        self.gh.reload()
        # the old launcher may have accepted what came in the same moment
        self.assertTrue(eventually(lambda: len(self.gh.helpers("launcher")) == 1))
        self.check(self.imap, "imaps", "exec")

    def test_what_is_unknown_is_refused(self):
        path = os.path.join(self.gh.dir, "bad.conf")
        with open(self.gh.conf) as f:
            text = f.read()
        for format, words in (("%u %{usr}", r'has "%{usr}", which is no variable'),
                              ("%Mu", "needs MD5"), ("%{if;%u;eq;a;b;c}", "is a conditional")):
            with open(path, "w") as f:
                f.write(f"login_log_format_elements = {format}\n{text}")
            r = subprocess.run([self.gh.program, "check", "-c", path], capture_output=True, text=True,
                               timeout=60)
            self.assertEqual(r.returncode, 78, r.stdout + r.stderr)
            self.assertRegex(r.stdout + r.stderr, re.escape(path) + ":1:29: login_log_format_elements: "
                             + ".*" + words)


class Storm(SystemTest):
    """A scanner that comes as fast as it can."""

    imap_login = "service_count = 0"            # the fastest there is
    BURST, RATE = 50, 2                                  # src/auth/lograte.h

    def test_cannot_fill_the_log(self):
        self.logged_in().close()
        mark = self.gh.mark()
        began = time.monotonic()
        for i in range(1500):
            try:
                harness.LineClient(self.gh.server("imap"), source="127.0.0.66").close()
            except OSError:
                pass                            # refused, reset: as good
            if i == 750:
                self.logged_in(source="127.0.0.1").close()
                c = self.imap(tls=True)
                c.login("mallory", "x")
                c.close()
        seconds = time.monotonic() - began
        # Nobody else's line is lost, not even of those who fail.
        self.gh.wait_log(r"Login: user=<alice>.*rip=127\.0\.0\.1,", 20, mark)
        self.gh.wait_log(r"Disconnected: .*user=<mallory>.*rip=127\.0\.0\.1,", 20, mark)
        self.gh.wait_log(r"gatehouse-auth: Warning: \d+ lines about connections without a login were "
                         r"left out in the last 5 s \(most recently from 127\.0\.0\.66\)", 30, mark)
        seconds = time.monotonic() - began
        theirs = self.gh.find_log(r"rip=127\.0\.0\.66,", mark)
        self.assertGreaterEqual(len(theirs), self.BURST)
        self.assertLessEqual(len(theirs), self.BURST + self.RATE * seconds + 1)
        self.assertLess(len(self.gh.lines) - mark, self.BURST + self.RATE * seconds + 40)


if __name__ == "__main__":
    import unittest
    unittest.main()
