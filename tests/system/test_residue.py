"""What is left of a secret, in whose memory, during its use and afterwards.

Planted canaries (passwords, also wrong ones; the secrets of a TLS session) are
searched for from outside, with all rights, in every process of gatehouse.  Each
search has its control: where the canary must be at that moment, it is found.
"""

import os
import signal
import ssl

from client import tls_context
from harness import Imap, SystemTest, eventually, needs_root
from memory import password_forms, search_exactly

BOB = "eleven-benevolent-elephants-0815"
WRONG = "thirteen-malevolent-mammoths-4711"


class Residue:
    dovecot_options = {"users": {"alice": "wonderland", "bob": BOB}}

    def everybody(self):
        return [self.gh.process] + self.gh.process.descendants()

    def holders(self, wanted):
        """{process: what was found in it}; the signer's secret memory cannot be read."""
        out = {}
        for p in self.everybody():
            try:
                found, searched = search_exactly(p, wanted)
            except OSError:
                continue                # it has ended meanwhile
            if searched and found:
                out[p] = found
        return out

    def assert_nowhere(self, wanted):
        self.assertGreaterEqual(len(self.everybody()), 4)
        # What was freed is wiped at once; a peer may still be at it.
        left = eventually(lambda: not self.holders(wanted), 5) or self.holders(wanted)
        self.assertIs(left, True, f"still there: {left}")

    def half_a_login(self, password):
        """A client that stops in the middle of its password's command."""
        c = self.imap(tls=True)
        c.send(f'a LOGIN bob "{password}')
        return c

    # ---- passwords -------------------------------------------------------------

    def test_XCON_01_password_is_in_its_own_worker_alone(self):
        before = set(self.gh.workers())
        c = self.half_a_login(BOB)
        wanted = {"password": BOB.encode()}
        found = eventually(lambda: self.holders(wanted), 10)
        self.assertEqual(len(found), 1, found)          # the control: it is found
        worker = next(iter(found))
        self.assertEqual(worker.comm(), "gatehouse-login")
        other = self.logged_in()                        # somebody else, meanwhile
        other.command("NOOP")
        self.assertEqual(set(self.holders(wanted)), {worker})
        if before:                                      # pooled: it may be the same process
            self.assertTrue(worker in before or worker in self.gh.workers())
        c.close()
        self.assert_nowhere(password_forms(BOB))

    def test_XCON_02_after_the_login(self):
        for how in ("LOGIN", "literal", "PLAIN", "PLAIN at once"):
            with self.subTest(how):
                c = self.imap(tls=True)
                self.assertTrue(self.say(c, how, BOB).startswith("OK"))
                self.assert_nowhere(password_forms(BOB))
                c.close()
                self.assert_nowhere(password_forms(BOB))

    def test_XCON_02_after_a_wrong_one(self):
        for how in ("LOGIN", "literal", "PLAIN", "PLAIN at once"):
            with self.subTest(how):
                c = self.imap(tls=True)
                self.assertTrue(self.say(c, how, WRONG).startswith("NO"))
                self.assert_nowhere(password_forms(WRONG))

    def test_XCON_02_after_half_of_it(self):
        """The client gives up in the middle."""
        c = self.half_a_login(WRONG)
        self.assertTrue(eventually(lambda: self.holders({"password": WRONG.encode()}), 10))
        c.close()
        self.assert_nowhere(password_forms(WRONG))

    @staticmethod
    def say(c, how, password):
        import base64
        plain = base64.b64encode(b"\0bob\0" + password.encode()).decode()
        if how == "LOGIN":
            return c.login("bob", password)
        if how == "literal":
            c.send(f"a LOGIN bob {{{len(password)}}}\r\n")
            c.line()
            c.send(password + "\r\n")
            return c.reply("a")[1]
        if how == "PLAIN at once":
            return c.command(f"AUTHENTICATE PLAIN {plain}")[1]
        c.send("a AUTHENTICATE PLAIN\r\n")
        c.line()
        c.send(plain + "\r\n")
        return c.reply("a")[1]

    def test_BRK_password_while_the_auth_server_thinks(self):
        """Control: the auth client keeps it for the one retry; and only then."""
        auth = self.dovecot.helper("auth")[0]
        auth.kill(signal.SIGSTOP)
        try:
            c = self.imap(tls=True)
            c.send(f"a LOGIN bob {BOB}\r\n")
            wanted = {"password": BOB.encode()}
            found = eventually(lambda: self.holders(wanted), 10)
            self.assertEqual({p.comm() for p in found}, {"gatehouse-auth"}, found)
        finally:
            auth.kill(signal.SIGCONT)
        self.assertTrue(c.reply("a")[1].startswith("OK"))
        self.assert_nowhere(password_forms(BOB))

    # ---- TLS sessions ----------------------------------------------------------

    def session(self, version):
        """A logged-in client, and the secrets of its TLS session."""
        log = os.path.join(self.gh.dir, "keylog")
        with open(log, "w"):
            pass
        context = tls_context(minimum=version, maximum=version)
        context.keylog_filename = log
        c = self.keep(Imap(self.gh.server("imaps"), tls=context))
        self.assertTrue(c.login().startswith("OK"))
        with open(log) as f:
            words = [line.split() for line in f if not line.startswith("#")]
        secrets = {w[0]: bytes.fromhex(w[2]) for w in words if len(w) == 3
                   and w[0] in ("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0",
                                "CLIENT_RANDOM")}
        self.assertTrue(secrets, words)
        return c, secrets

    def check_session(self, version):
        c, secrets = self.session(version)
        d, others = self.session(version)
        mine, theirs = self.holders(secrets), self.holders(others)
        self.assertEqual(len(mine), 1, "control: its own worker has them")
        self.assertEqual(len(theirs), 1)
        self.assertEqual({p.comm() for p in (*mine, *theirs)}, {"gatehouse-login"})
        if not self.pooled:
            self.assertNotEqual(set(mine), set(theirs))
        c.command("LOGOUT")
        c.close()
        self.assert_nowhere(secrets)
        self.assertTrue(self.holders(others), "control: the other session lives")
        d.close()
        self.assert_nowhere(others)

    def test_XCON_08_secrets_of_tls_1_3(self):
        self.check_session(ssl.TLSVersion.TLSv1_3)

    def test_XCON_08_secrets_of_tls_1_2(self):
        self.check_session(ssl.TLSVersion.TLSv1_2)


@needs_root("to read the memory of other processes")
class Fork(Residue, SystemTest):
    pooled = False

    def test_workers_share_no_writable_memory(self):
        """XCON-08: what two workers map in common is read-only or private."""
        a, b = self.logged_in(), self.logged_in()
        a.command("NOOP")
        b.command("NOOP")
        for p in self.everybody():
            for line in p.maps():
                perms, path = line.split()[1], line.split(None, 5)[5:] or [""]
                if p.comm() != "gatehouse-keys":
                    self.assertFalse("w" in perms and perms.endswith("s"), f"{p}: {line}")
                elif perms.endswith("s") and "w" in perms:
                    self.assertIn("secretmem", path[0])


@needs_root("to read the memory of other processes")
class Exec(Residue, SystemTest):
    pooled = False
    settings = "worker_spawn = exec"
    # The code is the forked worker's; what differs is seen here.
    test_XCON_02_after_a_wrong_one = test_XCON_02_after_half_of_it = None
    test_BRK_password_while_the_auth_server_thinks = test_XCON_08_secrets_of_tls_1_2 = None


@needs_root("to read the memory of other processes")
class Pooled(Residue, SystemTest):
    pooled = True
    imap_login = "service_count = 0\nvsz_limit = 48M"   # an arena of 20 MiB to search


