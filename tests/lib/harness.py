"""gatehouse in front of a private Dovecot, for the system tests.

Each test class has an address of its own in 127.0.0.0/8 and free ports, a
temporary directory, and ends every process that it started, by pid.  Works as root and as
an ordinary user.

    class Login(harness.SystemTest):
        settings = "login_timeout = 5s"           # more configuration
        imap_login = "service_count = 0"          # inside service imap-login
        def test_it(self):
            with self.imap(tls=True) as c: ...

Deadlines are there against hangs only: about ten times what is expected.
"""

import os
import shutil
import unittest

from certs import Certificate  # noqa: F401
from client import ClientError, Imap, LineClient, Pop, imaplib_tls, tls_context  # noqa: F401
from dovecot import Dovecot
from gatehouse import (KEYS_ID, ROOT, TREE, Gatehouse, StartError, eventually,  # noqa: F401
                       free_port, own_address, reap_orphans)


class SystemTest(unittest.TestCase):
    """One Dovecot and one gatehouse for the class; see the module."""

    dovecot_options = {}
    settings = ""
    imap_login = ""
    pop3_login = ""
    kind = "p256"
    started = True              # start gatehouse in setUpClass

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not os.access(os.path.join(TREE, "build/bin/gatehouse"), os.X_OK):
            raise AssertionError("build/bin/gatehouse is missing: run make")
        cls.addClassCleanup(cls.no_orphans)
        cls.dovecot = Dovecot(**cls.dovecot_options)
        cls.addClassCleanup(cls.dovecot.close)
        cls.dovecot.start()
        cls.gh = cls.make_gatehouse()
        cls.addClassCleanup(cls.gh.close)
        if cls.started:
            cls.gh.start()

    @classmethod
    def make_gatehouse(cls, **kw):
        options = dict(settings=cls.settings, imap_login=cls.imap_login,
                       pop3_login=cls.pop3_login, kind=cls.kind)
        options.update(kw)
        return Gatehouse(cls.dovecot.sock, **options)

    @classmethod
    def no_orphans(cls):
        left = reap_orphans()
        if left:
            raise AssertionError(f"left behind: {left}")

    @classmethod
    def logs(cls):
        """For the report of a failure."""
        out = ""
        if getattr(cls, "gh", None):
            out += "--- gatehouse:\n" + "\n".join(cls.gh.lines[-80:]) + "\n"
        if getattr(cls, "dovecot", None):
            out += "--- dovecot:\n" + "\n".join(cls.dovecot.log_text().splitlines()[-25:]) + "\n"
        return out

    def on_lacking_kernel(self, *rules, **options):
        """A gatehouse, not started, that sees a kernel without some things (lacking.py)."""
        gh = self.make_gatehouse(**options)
        self.addCleanup(gh.close)
        script = os.path.join(gh.dir, "lacking")
        with open(script, "w") as f:
            f.write("#!/bin/sh\nexec /usr/bin/python3 -B "
                    f"{TREE}/tests/lib/lacking.py {' '.join(map(repr, rules))} "
                    f"-- {gh.program} \"$@\"\n")
        os.chmod(script, 0o755)
        gh.program = script
        return gh

    # ---- clients: closed with the test -----------------------------------------

    def keep(self, client):
        self.addCleanup(client.close)
        return client

    def imap(self, tls=False, equal=False, **kw):
        """equal: from the server's own address, so that we count as secured."""
        if equal:
            kw.setdefault("source", self.gh.address)
        return self.keep(Imap(self.gh.server("imaps" if tls else "imap"), tls=tls, **kw))

    def pop3(self, tls=False, equal=False, **kw):
        if equal:
            kw.setdefault("source", self.gh.address)
        return self.keep(Pop(self.gh.server("pop3s" if tls else "pop3"), tls=tls, **kw))

    def logged_in(self, tls=True, user="alice", password="wonderland", **kw):
        c = self.imap(tls=tls, **kw)
        answer = c.login(user, password)
        self.assertTrue(answer.startswith("OK"), answer)
        return c

    def assert_serves(self, user="alice", password="wonderland"):
        """A whole login over TLS works now."""
        with Imap(self.gh.server("imaps"), tls=True) as c:
            answer = c.login(user, password)
            self.assertTrue(answer.startswith("OK"), answer)
            self.assertIn(b"Welcome", self.fetch_welcome(c))
            c.command("LOGOUT")

    @staticmethod
    def fetch_welcome(c):
        c.command("SELECT INBOX")
        return c.fetch("BODY.PEEK[]")

    def new_workers(self, before, n=1, seconds=20):
        """n workers that were not there before."""
        found = eventually(lambda: len(set(self.gh.workers()) - set(before)) >= n
                           and set(self.gh.workers()) - set(before), seconds)
        self.assertTrue(found, f"no new worker\n{self.gh.text()}")
        return sorted(found, key=lambda p: (p.start, p.pid))


def needs_root(why):
    return unittest.skipUnless(ROOT, f"needs root: {why}")


def needs_program(name, package):
    return unittest.skipUnless(shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin"),
                               f"{name} is not installed (package {package})")
