"""A mail process that refuses a login answers the auth client first and writes its NO to the
mail channel afterwards.  How long after is the scheduler's affair; here it is the test's, with
a scripted auth server and mail process: what Dovecot shows only now and then."""

import os
import re
import signal
import socket
import struct
import threading
import time
import unittest

import harness
from dovecot import make_directory, remove_tree

REQUEST = 96                    # octets of 2.3's login request before its data
LATE = "NO [UNAVAILABLE] said late"


class Scripted:
    """Says OK to every AUTH; .verdicts are of the mail process, one for a login: "in" ("unsaid":
    without a word to the auth client), or the
    seconds between status 1 and the NO (None: it never comes).  .reload() changes the auth
    server's pid, as a reload of Dovecot does."""

    def __init__(self):
        self.dir = make_directory("/tmp")
        self.spid, self.verdicts, self.reload_at_refusal = 7, [], False
        self.listeners = [self.listen("login", self.auth), self.listen("imap", self.mail)]

    def listen(self, name, serve):
        path = f"{self.dir}/{name}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(8)
        threading.Thread(target=self.accept, args=(listener, serve), daemon=True).start()
        return listener

    @staticmethod
    def accept(listener, serve):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(conn,), daemon=True).start()

    def auth(self, conn):
        with conn, conn.makefile("r", newline="\n") as lines:
            conn.sendall(f"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t{self.spid}\nCUID\t1\n"
                         f"COOKIE\t{'0' * 32}\nDONE\n".encode())
            for line in lines:
                word, *args = line.rstrip("\n").split("\t")
                if word == "AUTH":
                    conn.sendall(f"OK\t{args[0]}\tuser=alice\n".encode())

    def mail(self, conn):
        with conn:
            data, fds, _, _ = socket.recv_fds(conn, 4096, 1)
            client = socket.socket(fileno=fds[0])
            client.setblocking(True)
            verdict = self.verdicts.pop(0)
            tag = data[REQUEST:].split(b"\0")[1][1:]
            if verdict == "unsaid":
                with client:
                    self.session(client, tag)
                return
            if verdict != "in" and self.reload_at_refusal:
                self.spid += 1
            conn.sendall(data[:4] + struct.pack("<Ii", 0 if verdict == "in" else 1, 4242))
            with client:
                if verdict == "in":
                    self.session(client, tag)
                elif verdict is not None:
                    time.sleep(verdict)
                    client.sendall(tag + b" " + LATE.encode() + b"\r\n")

    @staticmethod
    def session(client, tag):
        client.sendall(tag + b" OK Logged in\r\n")
        with client.makefile("rb") as lines:
            for line in lines:
                client.sendall(line.split()[0] + b" OK heard\r\n")

    def close(self):
        for listener in self.listeners:
            listener.close()
        remove_tree(self.dir)


class Refuses(unittest.TestCase):
    settings = ""
    login = ""

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(harness.SystemTest.no_orphans)
        cls.other = Scripted()
        cls.addClassCleanup(cls.other.close)
        cls.gh = harness.Gatehouse(cls.other.dir, settings=cls.settings, imap_login=cls.login)
        cls.addClassCleanup(cls.gh.close)
        cls.gh.start()

    @classmethod
    def logs(cls):
        return "\n".join(cls.gh.lines[-40:])

    def client(self, *verdicts, reload_at_refusal=False):
        self.other.verdicts[:] = verdicts
        self.other.reload_at_refusal = reload_at_refusal
        c = harness.Imap(self.gh.server("imaps"), tls=True)
        self.addCleanup(c.close)
        return c

    def assert_in_step(self, c):
        """Every command has its own answer, and nothing else comes."""
        for _ in range(3):
            self.assertEqual((c.command("NOOP")[0], c.command("NOOP")[1]), ([], "OK heard"))
        self.assertTrue(c.silent(0.3))

    def test_late_no_is_the_answer(self):
        c = self.client(0.4, "in")
        self.assertEqual(LATE, c.login())
        self.assertEqual("OK Logged in", c.login())
        self.assert_in_step(c)

    def test_late_no_before_the_retry(self):
        """The retry waits for it: in the channel of the new mail process it would be an answer
        that the client takes for that one's."""
        c = self.client(0.8, "in", reload_at_refusal=True)
        self.assertEqual("OK Logged in", c.login())
        self.assert_in_step(c)

    def test_refused_twice(self):
        c = self.client(0.5, 0.3, "in", reload_at_refusal=True)
        self.assertEqual(LATE, c.login())
        self.assertEqual("OK Logged in", c.login())
        self.assert_in_step(c)

    def test_no_that_never_comes(self):
        """The channel is of no more use: the client is told, and the connection ends."""
        mark = self.gh.mark()
        c = self.client(None)
        c.send("a LOGIN alice wonderland\r\n")
        said = c.rest(60).decode()
        self.assertRegex(said, re.escape("a NO [UNAVAILABLE] Internal error occurred.")
                         + ".*\r\n\\* BYE Internal error occurred.")
        self.gh.wait_log("Mail process refused the login and left its answer open", 20, mark)


    def test_nothing_is_said_into_a_session(self):
        """In the clear the mail process has the client's socket: an auth client that dies before
        it has told so ends no login, and no NO or BYE comes between that one's words."""
        self.other.verdicts[:] = ["unsaid"]
        with harness.Imap(self.gh.server("imap"), source=self.gh.address) as c:
            self.assertEqual("OK Logged in", c.login())
            self.gh.helper("auth").kill(signal.SIGKILL)
            self.assert_in_step(c)


class RefusesExec(Refuses):
    settings = "worker_spawn = exec"


class RefusesPooled(Refuses):
    login = "service_count = 0"

    def test_others_are_served_meanwhile(self):
        waiting = self.client(None, "in")
        waiting.send("a LOGIN alice wonderland\r\n")
        self.assertTrue(waiting.silent(0.2))
        with harness.Imap(self.gh.server("imaps"), tls=True) as c:
            self.assertEqual("OK Logged in", c.login())
            self.assert_in_step(c)


if __name__ == "__main__":
    unittest.main()
