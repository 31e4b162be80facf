# check: also as an ordinary user
"""The dialog before login, as a client sees it: commands, limits, refusals."""

import time

import harness
from harness import SystemTest


class Commands(SystemTest):
    dovecot_options = {"users": {"alice": "wonderland", "quoted": 'a"b\\c d'}}

    def test_capability_noop_id_enable_logout(self):
        c = self.imap()
        untagged, tagged = c.command("CAPABILITY")
        self.assertTrue(untagged[0].startswith("* CAPABILITY IMAP4rev1"), untagged)
        self.assertTrue(tagged.startswith("OK"))
        self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        untagged, tagged = c.command('ID ("name" "test")')
        self.assertTrue(untagged[0].startswith("* ID "), untagged)
        self.assertTrue(tagged.startswith("OK"))
        self.assertTrue(c.command("ID NIL")[1].startswith("OK"))
        untagged, tagged = c.command("ENABLE CONDSTORE")
        self.assertEqual(untagged, ["* ENABLED"])
        self.assertTrue(tagged.startswith("OK"))
        untagged, tagged = c.command("LOGOUT")
        self.assertTrue(untagged[0].startswith("* BYE"))
        self.assertTrue(tagged.startswith("OK"))
        self.assertEqual(c.rest(20), b"")

    def test_client_that_asked_for_capability_gets_it_untagged_after_login(self):
        c = self.imap(tls=True)
        c.command("CAPABILITY")
        untagged, tagged = c.command("LOGIN alice wonderland")
        self.assertTrue(any(u.startswith("* CAPABILITY") for u in untagged), untagged)
        self.assertNotIn("[CAPABILITY", tagged)
        c = self.imap(tls=True)
        untagged, tagged = c.command("LOGIN alice wonderland")
        self.assertEqual(untagged, [])
        self.assertIn("[CAPABILITY", tagged)

    def test_three_bad_commands(self):
        c = self.imap()
        for _ in range(2):
            self.assertTrue(c.command("FROBNICATE")[1].startswith("BAD"))
        c.send("x NONSENSE\r\n")
        self.assertIn(b"* BYE Too many invalid IMAP commands.", c.rest(20))

    def test_commands_of_a_session_are_refused_before_login(self):
        c = self.imap(tls=True)
        self.assertRegex(c.command("SELECT INBOX")[1], "^(BAD|NO)")
        self.assertTrue(c.login().startswith("OK"))

    def test_bad_tag_is_not_echoed(self):
        c = self.imap()
        c.send("a+b NOOP\r\n")
        line = c.line()
        self.assertTrue(line.startswith("* BAD"), line)
        self.assertNotIn("a+b", line)

    def test_quoted_and_literal_arguments(self):
        for text in ('LOGIN "alice" "wonderland"', 'LOGIN quoted "a\\"b\\\\c d"'):
            c = self.imap(tls=True)
            self.assertTrue(c.command(text)[1].startswith("OK"), text)
        c = self.imap(tls=True)
        c.send("a LOGIN {5}\r\n")
        self.assertTrue(c.line().startswith("+ "))
        c.send("alice {10}\r\n")
        self.assertTrue(c.line().startswith("+ "))
        c.send("wonderland\r\n")
        self.assertTrue(c.reply("a")[1].startswith("OK"))
        c = self.imap(tls=True)
        c.send("a LOGIN {5+}\r\nalice {10+}\r\nwonderland\r\n")
        self.assertTrue(c.reply("a")[1].startswith("OK"))

    def test_command_byte_by_byte(self):
        c = self.imap(tls=True)
        for b in b"a LOGIN {5+}\r\nalice wonderland\r\n":
            c.send(bytes([b]))
        self.assertTrue(c.reply("a")[1].startswith("OK"))

    def test_huge_literal(self):
        c = self.imap()
        c.send("a LOGIN {1000000000}\r\n")
        self.assertNotRegex(c.rest(20).decode(), r"(?m)^\+ ")

    def test_endless_line(self):
        c = self.imap()
        try:
            for _ in range(64):
                c.send(b"a" * 4096)
        except OSError:
            pass
        c.rest(20)
        self.assert_serves()

    def test_unknown_mechanism(self):
        c = self.imap(tls=True)
        self.assertTrue(c.command("AUTHENTICATE FROB")[1].startswith("NO"))
        self.assertTrue(c.login().startswith("OK"))

    def test_broken_base64_costs_the_request_only(self):
        live = self.imap(tls=True)
        c = self.imap(tls=True)
        for bad in ("AGFs\tX", "====", "AGFsaWNl!", "A"):
            answer = c.command(f"AUTHENTICATE PLAIN {bad}")[1]
            self.assertRegex(answer, "^(BAD|NO)", bad)
        self.assertTrue(live.login().startswith("OK"))

    def test_sasl_response_too_long(self):
        c = self.imap(tls=True)
        c.send("a AUTHENTICATE PLAIN\r\n")
        c.line()
        c.send(b"A" * 12300 + b"\r\n")
        self.assertRegex(c.reply("a")[1], "^(NO|BAD)")
        c = self.imap(tls=True)
        c.send("a AUTHENTICATE PLAIN\r\n")
        c.line()
        c.send(b"A" * 12288 + b"\r\n")
        self.assertRegex(c.reply("a")[1], "^(NO|BAD)")
        self.assertTrue(c.login().startswith("OK"), "and the connection lives")

    def test_8_bit_and_control_characters_in_the_user_name(self):
        c = self.imap(tls=True)
        c.send(b"a LOGIN {6+}\r\n\xff\xfe\x01\t\x7fx wonderland\r\n")
        self.assertRegex(c.reply("a")[1], "^(NO|BAD)")
        self.assertTrue(c.login().startswith("OK"))
        self.assertFalse([x for x in self.gh.lines if "\x01" in x or "\x7f" in x])

    def test_deeply_nested_parentheses(self):
        c = self.imap()
        c.send(b"a ID " + b"(" * 4000 + b"\r\n")
        c.line()
        self.assert_serves()

    def test_pop3(self):
        c = self.pop3()
        self.assertTrue(c.greeting.startswith("+OK"))
        _, lines = c.multiline("CAPA")
        for word in ("TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "STLS"):
            self.assertIn(word, lines)
        self.assertTrue(c.command("USER alice").startswith("-ERR"))
        self.assertTrue(c.command("STLS").startswith("+OK"))
        c.start_tls()
        self.assertIn("USER", c.multiline("CAPA")[1])
        self.assertTrue(c.login("alice", "wrong").startswith("-ERR [AUTH]"))
        self.assertTrue(c.login().startswith("+OK"))
        self.assertRegex(c.command("STAT"), r"^\+OK 1 ")

    def test_pop3_three_bad_commands_in_a_row(self):
        c = self.pop3()
        for _ in range(2):
            self.assertTrue(c.command("FROB").startswith("-ERR"))
        c.send("FROB\r\n")
        self.assertIn(b"Too many invalid bad commands.", c.rest(20))


class Privacy(SystemTest):
    """Who is not secured may not say a password; who is, may."""

    def test_stranger_without_tls(self):
        c = self.imap()
        self.assertNotEqual(c.sock.getsockname()[0], self.gh.address)
        self.assertIn("LOGINDISABLED", c.greeting)
        self.assertIn("STARTTLS", c.greeting)
        self.assertNotIn("AUTH=PLAIN", c.greeting)
        untagged, tagged = c.command("LOGIN alice wonderland")
        self.assertTrue(any("* BAD [ALERT]" in u for u in untagged), untagged)
        self.assertTrue(tagged.startswith("NO [PRIVACYREQUIRED]"), tagged)
        self.assertTrue(c.command("AUTHENTICATE PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=")[1]
                        .startswith("NO"))
        # Mechanisms that do not show the password are offered (A.4).
        self.assertIn("AUTH=SCRAM-SHA-256", c.greeting)

    def test_equal_addresses_are_secured(self):
        c = self.imap(equal=True)
        self.assertNotIn("LOGINDISABLED", c.greeting)
        self.assertIn("AUTH=PLAIN", c.greeting)
        self.assertTrue(c.login().startswith("OK"))

    def test_starttls_makes_it_secured(self):
        c = self.imap()
        c.starttls()
        untagged, _ = c.command("CAPABILITY")
        self.assertNotIn("LOGINDISABLED", untagged[0])
        self.assertNotIn("STARTTLS", untagged[0])
        self.assertTrue(c.command("STARTTLS")[1].startswith("BAD"))
        self.assertTrue(c.login().startswith("OK"))

    def test_byte_behind_starttls_closes(self):
        for behind in (b"b NOOP\r\n", b"\n", b"b LOGIN alice wonderland\r\n"):
            with self.subTest(behind):
                c = self.imap()
                c.send(b"a STARTTLS\r\n" + behind)
                rest = c.rest(20)
                self.assertNotIn(b"b ", rest)
                self.assertNotIn(b"Logged in", rest)
        c = self.pop3()
        c.send(b"STLS\r\nUSER alice\r\n")
        self.assertNotIn(b"\r\n+OK\r\n", c.rest(20).replace(b"+OK Begin TLS", b""))


class Required(SystemTest):
    settings = "ssl = required"

    def test_no_login_without_tls(self):
        c = self.imap()
        self.assertIn("LOGINDISABLED", c.greeting)
        self.assertNotIn("AUTH=", c.greeting)
        self.assertTrue(c.login().startswith("NO [PRIVACYREQUIRED]"))
        c.starttls()
        self.assertTrue(c.login().startswith("OK"))


class Allowed(SystemTest):
    settings = "disable_plaintext_auth = no"

    def test_plaintext_is_allowed(self):
        c = self.imap()
        self.assertNotIn("LOGINDISABLED", c.greeting)
        self.assertTrue(c.login().startswith("OK"))


class Limits(SystemTest):
    settings = "login_timeout = 3s\nauth_max_attempts = 3"

    def assert_ends(self, c, least=2.0, most=30.0):
        began = time.monotonic()
        rest = c.rest(most)
        self.assertGreater(time.monotonic() - began, least)
        return rest

    def test_timeout_of_a_silent_client(self):
        self.assertIn(b"* BYE Disconnected for inactivity", self.assert_ends(self.imap()))
        self.assertIn(b"* BYE Disconnected for inactivity", self.assert_ends(self.imap(tls=True)))
        self.assertIn(b"-ERR Disconnected for inactivity", self.assert_ends(self.pop3()))

    def test_commands_do_not_prolong_it(self):
        c, began = self.imap(), time.monotonic()
        with self.assertRaises((OSError, harness.ClientError)):
            while time.monotonic() < began + 30:
                c.command("NOOP")
                time.sleep(0.2)
        self.assertLess(time.monotonic() - began, 20)

    def test_unfinished_handshake(self):
        c = self.keep(harness.LineClient(self.gh.server("imaps")))
        c.send(b"\x16\x03\x01\x02\x00\x01")
        self.assertNotIn(b"BYE", self.assert_ends(c))
        c = self.imap()
        c.send(b"a STARTTLS\r\n")
        c.line()
        self.assert_ends(c)

    def test_unfinished_sasl(self):
        c = self.imap(tls=True)
        c.send("a AUTHENTICATE PLAIN\r\n")
        c.line()
        self.assertIn(b"during authentication", self.assert_ends(c))

    def test_a_session_has_no_such_limit(self):
        c = self.logged_in()
        time.sleep(6)
        self.assertTrue(c.command("NOOP")[1].startswith("OK"))

    def test_client_that_does_not_read(self):
        c = self.imap(rcvbuf=4096)
        c.sock.settimeout(0.5)
        try:
            while True:
                c.send(b"a CAPABILITY\r\n" * 100)
        except OSError:
            pass
        time.sleep(4)
        self.assert_serves()

    def test_attempts(self):
        c = self.imap(tls=True)
        for _ in range(2):
            self.assertTrue(c.login("alice", "wrong").startswith("NO"))
        c.send("x LOGIN alice wrong\r\n")
        self.assertIn(b"* BYE", c.rest(30))


class ProcessLimit(SystemTest):
    """The oldest connection before login makes room; a session never does."""

    imap_login = "process_limit = 3"

    def test_oldest_before_login_makes_room(self):
        session = self.logged_in()
        first, second = self.imap(tls=True), self.imap(tls=True)
        third = self.imap(tls=True)
        self.assertIn(b"* BYE Connection queue full", first.rest(20))
        self.assertTrue(second.login().startswith("OK"))
        self.assertTrue(third.login().startswith("OK"))
        self.assertTrue(session.command("NOOP")[1].startswith("OK"))
        # Three sessions: the next has to wait and is ended, they stay.
        fourth = self.keep(harness.LineClient(self.gh.server("imap")))
        self.assertEqual(fourth.rest(60), b"")
        for c in (session, second, third):
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))
