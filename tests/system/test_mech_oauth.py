"""OAUTHBEARER and XOAUTH2 against the real Dovecot, which asks a token endpoint of ours:
tokens up to the 12288 octets of base64 that RFC 4954 4 allows a client to send."""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import harness  # noqa: E402
import sasl  # noqa: E402

BASE64_MAX = 12288              # octets of one SASL message


class TokenEndpoint:
    """RFC 7662: the tokens in .users are theirs, all others are inactive."""

    def __init__(self):
        self.users, self.asked = {}, []
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                token = urllib.parse.parse_qs(body)["token"][0]
                endpoint.asked.append(token)
                user = endpoint.users.get(token)
                answer = json.dumps({"active": user is not None, "username": user} if user
                                    else {"active": False}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def bearer(token, user="alice"):
    """RFC 7628 3.1."""
    return f"n,a={user},\1auth=Bearer {token}\1\1".encode()


def xoauth2(token, user="alice"):
    return f"user={user}\1auth=Bearer {token}\1\1".encode()


def token_for(message, size):
    """A token that makes message(token) as long as `size` octets of base64 hold."""
    token = "T" * (size // 4 * 3 - len(message("")))
    assert len(sasl.b64(message(token))) == size
    return token


MESSAGES = {"OAUTHBEARER": bearer, "XOAUTH2": xoauth2}


class OAuth(harness.SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.endpoint = TokenEndpoint()
        cls.addClassCleanup(cls.endpoint.close)
        cls.dovecot_options = {
            "mechanisms": "plain oauthbearer xoauth2",
            "files": {"oauth2.conf": f"""
introspection_mode = post
introspection_url = http://127.0.0.1:{cls.endpoint.port}/introspect
username_attribute = username
active_attribute = active
active_value = true
"""},
            "passdbs": """
passdb {
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {dir}/oauth2.conf
  result_failure = return-fail
}
"""}
        super().setUpClass()

    def setUp(self):
        self.endpoint.users = {"good-token": "alice"}
        self.endpoint.asked.clear()

    def connect(self, proto):
        return self.imap(tls=True) if proto == "imap" else self.pop3(tls=True)

    def assert_works(self, c):
        """Logged in: the mailbox is there."""
        if isinstance(c, harness.Imap):
            self.assertTrue(c.command("SELECT INBOX")[1].startswith("OK"))
        else:
            self.assertRegex(c.command("STAT"), r"^\+OK 1 ")

    def every(self, check, *args):
        for proto in ("imap", "pop3"):
            for mech, message in MESSAGES.items():
                for ir in (True, False):
                    with self.subTest(proto=proto, mech=mech, ir=ir):
                        check(proto, mech, message, ir, *args)

    def good(self, proto, mech, message, ir, token):
        """The token arrives whole at the endpoint, and its user is logged in."""
        self.endpoint.users[token] = "alice"
        self.endpoint.asked.clear()
        c = self.connect(proto)
        _, word, text = sasl.say(c, mech, message(token), ir=ir)
        self.assertIn(word, ("OK", "+OK"), text)
        self.assert_works(c)
        self.assertEqual([token], self.endpoint.asked)
        c.close()

    def test_good_token(self):
        self.every(self.good, "good-token")

    def test_long_tokens(self):
        """12288 octets of base64 are the most."""
        for size in (1024, 4096, 8192, BASE64_MAX):
            self.every(lambda proto, mech, message, ir, size: self.good(
                proto, mech, message, ir, token_for(message, size)), size)

    def test_too_long_harms_nobody(self):
        """One octet group more: a refusal, nothing of it on the shared auth connection, where
        another login is in the middle of its exchange."""
        for size in (BASE64_MAX + 4, 2 * BASE64_MAX, 200000):
            self.every(self.too_long, size)
        self.assertNotIn("T", "".join(self.endpoint.asked))
        self.assertEqual(1, len(self.gh.find_log("auth server ready")))

    def too_long(self, proto, mech, message, ir, size):
        other = self.imap(tls=True)
        tag = sasl.begin(other, "PLAIN")
        self.assertEqual(("+", ""), sasl.answer(other, tag))
        c = self.connect(proto)
        word, text = self.say_too_long(c, mech, message(token_for(message, size)), ir)
        self.assertIn(word, ("NO", "-ERR"), text)
        self.assertIn("too long", text)
        other.send(sasl.b64("\0alice\0wonderland") + "\r\n")
        self.assertEqual("OK", sasl.answer(other, tag)[0])
        _, word, text = sasl.say(c, mech, message("good-token"))
        self.assertIn(word, ("OK", "+OK"), text)
        other.close()
        c.close()

    @staticmethod
    def say_too_long(c, mech, message, ir):
        tag = sasl.begin(c, mech, sasl.b64(message) if ir else None)
        word, text = sasl.answer(c, tag)
        if not ir:
            assert word == "+", text
            c.send(sasl.b64(message) + "\r\n")
            word, text = sasl.answer(c, tag)
        return word, text

    def test_bad_token(self):
        """The error comes as a challenge in JSON (RFC 7628 3.2.2); the client answers with
        %x01, or an empty line, or "*"; then NO, and the connection goes on."""
        for answer in (b"\1", b"", None):
            self.every(self.bad_token, answer)

    def bad_token(self, proto, mech, message, ir, answer):
        c = self.connect(proto)
        messages = [message("bad-token")] + ([answer] if answer is not None else [])
        challenges, word, text = sasl.say(c, mech, *messages, ir=ir)
        if not ir:
            self.assertEqual(b"", challenges.pop(0))
        self.assertEqual(1, len(challenges), challenges)
        self.assertIn("status", json.loads(challenges[0]))
        if answer is None:
            self.assertIn(word, ("BAD", "-ERR"))
            self.assertIn("Authentication aborted by client.", text)
        else:
            self.assertIn(word, ("NO", "-ERR"))
            self.assertIn("[AUTHENTICATIONFAILED]" if proto == "imap" else "[AUTH]", text)
        _, word, text = sasl.say(c, mech, message("good-token"), ir=ir)
        self.assertIn(word, ("OK", "+OK"), text)
        c.close()

    def test_token_of_somebody_else(self):
        self.endpoint.users["bobs-token"] = "bob"
        self.every(self.somebody_elses)

    def somebody_elses(self, proto, mech, message, ir):
        c = self.connect(proto)
        _, word, text = sasl.say(c, mech, message("bobs-token"), b"\1", ir=ir)
        self.assertIn(word, ("NO", "-ERR"), text)
        c.close()

    def test_only_over_tls(self):
        c = self.imap()
        self.assertNotIn("AUTH=XOAUTH2", c.greeting)
        self.assertNotIn("AUTH=OAUTHBEARER", c.greeting)
        _, word, text = sasl.say(c, "XOAUTH2", xoauth2("good-token"))
        self.assertEqual("NO", word)
        self.assertIn("PRIVACYREQUIRED", text)
        self.assertEqual([], self.endpoint.asked)

    def test_curl(self):
        long = token_for(bearer, 4096)
        self.endpoint.users[long] = "alice"
        for scheme in ("imaps", "pop3s", "imap", "pop3"):
            for mech in MESSAGES:
                for token in ("good-token", long):
                    for extra in ((), ("--sasl-ir",)):
                        with self.subTest(scheme=scheme, mech=mech, extra=extra):
                            r = self.curl(scheme, mech, token, extra)
                            self.assertEqual(0, r.returncode, r.stderr)
                            self.assertIn(b"Welcome", r.stdout)
        r = self.curl("imaps", "OAUTHBEARER", "bad-token", ())
        self.assertNotEqual(0, r.returncode)

    def curl(self, scheme, mech, token, extra):
        host, port = self.gh.server(scheme)
        path = "INBOX;MAILINDEX=1" if scheme.startswith("imap") else "1"
        return subprocess.run(
            ["curl", "-sS", "--ssl-reqd", "--cacert", self.gh.cert.cert, *extra, "-u", "alice",
             "--login-options", f"AUTH={mech}", "--oauth2-bearer", token,
             f"{scheme}://{host}:{port}/{path}"], capture_output=True, timeout=60,
            stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    import unittest
    unittest.main()
