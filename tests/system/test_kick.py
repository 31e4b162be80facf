"""doveadm who and kick, for sessions that came through us."""

from gatehouse import eventually
from harness import SystemTest


class Kick(SystemTest):
    dovecot_options = {"users": {"alice": "wonderland", "bob": "builder"}}

    def pumps(self):
        """Workers behind a login: the template's filter, login's and tls-proxy's."""
        return [p for p in self.gh.logins() if self.gh.depth(p) == 3]

    def test_who_lists_and_kick_ends(self):
        sessions = []
        for kind in (self.imap, self.pop3):
            for how in ({"tls": True}, {"equal": True}):
                c = self.keep(kind(**how))
                self.assertRegex(c.login(), "^(OK|.OK)")
                sessions.append((c, how))
        bob = self.logged_in(user="bob", password="builder")
        # With TLS a worker stays: alice's two, and bob's.
        self.assertTrue(eventually(lambda: len(self.pumps()) == 3), self.gh.logins())

        def who():
            lines = self.dovecot.doveadm("-f", "tab", "who", "-1").splitlines()[1:]
            return sorted(tuple(x.split("\t")[i] for i in (0, 1, 3)) for x in lines)

        address = "127.0.0.1"
        want = [("alice", s, a) for s in ("imap", "pop3") for a in (address, self.gh.address)]
        want.append(("bob", "imap", address))
        self.assertTrue(eventually(lambda: who() == sorted(want)), (who(), want))
        self.dovecot.doveadm("kick", "alice")
        for c, how in sessions:
            with self.subTest(type(c).__name__, **how):
                c.rest()                        # until the end of the connection
        self.assertTrue(eventually(lambda: len(self.pumps()) == 1), self.gh.logins())
        self.assertTrue(eventually(lambda: who() == [("bob", "imap", address)]), who())
        self.fetch_welcome(bob)                 # nobody else is touched


if __name__ == "__main__":
    import unittest
    unittest.main()
