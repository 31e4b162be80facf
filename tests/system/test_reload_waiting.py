"""HUP while processes wait for their connection (process_min_avail): they go with their
generation, although it lives on for its sessions, and none serves with what was."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
from harness import Certificate, SystemTest, eventually  # noqa: E402
from test_numbers import COMMON, ExecModel, Model  # noqa: E402


class Waiting(Model, SystemTest):
    imap_login = "process_min_avail = 3\n  idle_kill = 1s"

    @classmethod
    def setUpClass(cls):
        cls.settings = COMMON + cls.spawn + "login_greeting = Old"
        super().setUpClass()

    def of(self, launcher):
        """Those that wait below this launcher."""
        below = self.gh.logins(launcher)
        return [p for p in self.waiting() if p in below]

    def test_they_go_and_are_replaced(self):
        gh = self.gh
        old = gh.helper("launcher")
        session, stranger = self.logged_in(), self.imap(tls=True)
        self.assertIn("Old", stranger.greeting)
        before = self.settled(3)
        os.kill(before[0].pid, signal.SIGSTOP)      # one that cannot be told
        self.addCleanup(before[0].kill, signal.SIGKILL)
        cert = Certificate(gh.dir, "new", addresses=(gh.address,))
        gh.write_config(cert=cert, settings=self.settings.replace("Old", "New"))
        mark = gh.mark()
        gh.reload()
        self.assertTrue(eventually(lambda: len(gh.helpers("launcher")) == 2))
        new = gh.helper("launcher")
        self.assertNotEqual(old, new)
        # The old ones are gone; what they leave free is not filled again.
        self.assertTrue(eventually(lambda: not any(p.alive() for p in before), 60), before)
        self.assertTrue(eventually(lambda: not self.of(old) and len(self.of(new)) == 3, 60))
        gh.wait_log(r"imap-login: Error: worker \d+ was told to end and does not: killed", 60, mark)
        self.assertTrue(old.alive(), "it has sessions")
        for _ in range(8):          # more than waited
            with harness.Imap(gh.server("imaps"), tls=True) as c:
                self.assertIn("New", c.greeting)
                self.assertEqual(c.sock.getpeercert(True), cert.der())
                self.assertTrue(c.login().startswith("OK"))
        self.assertFalse(self.of(old))
        self.assertEqual(len(gh.helpers("launcher")), 2)
        # Who was there before goes on as he began.
        self.assertTrue(session.command("NOOP")[1].startswith("OK"))
        self.assertTrue(stranger.login().startswith("OK"))
        for c in (session, stranger):
            c.command("LOGOUT")
        self.assertTrue(eventually(lambda: gh.helpers("launcher") == [new], 60))
        self.settled(3)


class WaitingExec(ExecModel, Waiting):
    pass


if __name__ == "__main__":
    import unittest
    unittest.main()
