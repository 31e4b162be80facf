"""process_limit, client_limit and vsz_limit reached, in each worker model."""

import os
import signal
import time

import harness
from harness import SystemTest, eventually
from test_numbers import COMMON, ExecModel, Model

POOL_IDLE_FDS = 17      # of a pooled worker without a connection (ipc/fds.h)

# ---- process_limit, client_limit -----------------------------------------------


class Full:
    """Room for two; the third connection ends the oldest that has not logged in."""

    dovecot_options = {"users": {"alice": "wonderland", "bob": "builder"}}
    limits = "process_limit = 2"
    names = "process_limit"
    model = ""

    @classmethod
    def setUpClass(cls):
        cls.settings = COMMON + cls.spawn
        cls.imap_login = cls.pop3_login = cls.model + cls.limits
        super().setUpClass()
        with harness.Imap(cls.gh.server("imap")):
            pass                        # greeted: everybody has met everybody
        time.sleep(0.5)
        cls.idle_fds = len(cls.gh.helper("auth").fds())

    def setUp(self):
        super().setUp()
        eventually(self.nobody_left, 5)

    def nobody_left(self):
        """The connections of the test before are gone: they would be the oldest."""
        if len(self.gh.helper("auth").fds()) > self.idle_fds:
            return False
        for service in ("imap", "pop3"):
            busy = [p for p in self.processes(service) if p not in self.waiting(service)]
            if any(not self.model or len(p.fds()) > POOL_IDLE_FDS for p in busy):
                return False
        return True

    def test_the_oldest_makes_room_at_once(self):
        for name, connect, bye in (
                ("imap", self.imap, b"* BYE Connection queue full\r\n"),
                ("pop3", self.pop3, b"-ERR Connection queue full\r\n")):
            with self.subTest(name):
                mark = self.gh.mark()
                time.sleep(1.1)         # a line a second, and there was one
                first, second = connect(), connect()
                began = time.monotonic()
                third = connect()
                took = time.monotonic() - began
                self.assertEqual(first.rest(20), bye)
                self.assertTrue(second.command("NOOP" if name == "imap" else "CAPA"))
                self.gh.wait_log(rf"{name}-login: Warning: {self.names} \(2\) reached, client "
                                 rf"connections are being dropped: raise service {name}-login "
                                 rf"{{ {self.names} }}", 20, mark)
                self.gh.wait_log(r"Disconnected: Connection queue full", 20, mark)
                print(f"# {type(self).__name__} {name}: room after {took * 1000:.1f} ms")
                for c in (first, second, third):
                    c.close()

    def test_over_tls_and_in_the_handshake(self):
        silent = self.keep(harness.LineClient(self.gh.server("imaps")))
        second = self.imap(tls=True)
        third = self.imap(tls=True)
        self.assertEqual(silent.rest(20), b"")
        fourth = self.imap(tls=True)
        self.assertEqual(second.rest(20), b"* BYE Connection queue full\r\n")
        for c in (third, fourth):
            self.assertTrue(c.login().startswith("OK"))

    def test_sessions_stay(self):
        session = self.logged_in()
        for _ in range(4):
            last = self.imap(tls=True)
        self.assertTrue(last.login("bob", "builder").startswith("OK"))
        for c in (session, last):
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        # No room at all now, until one of them goes.
        waits = self.keep(harness.LineClient(self.gh.server("imap")))
        self.assertTrue(waits.silent(1))
        last.close()
        self.assertTrue(waits.line().startswith("* OK"))
        self.assertTrue(session.command("NOOP")[1].startswith("OK"))

    def test_plaintext_sessions_need_no_place(self):
        one, two = self.imap(equal=True), self.imap(equal=True)
        for c in (one, two):
            self.assertTrue(c.login().startswith("OK"))
        self.assertTrue(eventually(lambda: set(self.processes()) <= set(self.waiting())
                                   or self.model))
        others = self.strangers(2)
        for c in (one, two, *others):
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))

    def test_a_flood_writes_a_line_a_second(self):
        mark, began = self.gh.mark(), time.monotonic()
        last = None
        for _ in range(60):
            last = self.imap(greet=False)
        self.assertTrue(last.line().startswith("* OK"))
        lines = self.gh.find_log("reached, client connections", mark)
        self.assertTrue(lines)
        self.assertLessEqual(len(lines), time.monotonic() - began + 2)


class FullFork(Full, Model, SystemTest):
    pass


class FullForkWaiting(Full, Model, SystemTest):
    """Those that wait count, and make room before anybody is told to go."""

    limits = "process_limit = 2\n  process_min_avail = 2"


class FullExec(Full, ExecModel, SystemTest):
    limits = "process_limit = 2\n  process_min_avail = 1"


class FullPooled(Full, Model, SystemTest):
    model = "service_count = 0\n  "
    limits = "process_limit = 1\n  client_limit = 2"
    names = "client_limit"


class FullPooledProcesses(Full, Model, SystemTest):
    model = "service_count = 0\n  "
    limits = "process_limit = 2\n  client_limit = 1"


class Flood(Model, SystemTest):
    """Who takes many places makes room for others with his own."""

    settings = COMMON
    imap_login = "process_limit = 12"
    pop3_login = "service_count = 0\n  process_limit = 1\n  client_limit = 12"

    def test_the_oldest_of_the_flood_goes(self):
        for connect, bye, alive in (
                (self.imap, b"* BYE Connection queue full\r\n", "NOOP"),
                (self.pop3, b"-ERR Connection queue full\r\n", "CAPA")):
            with self.subTest(bye=bye):
                honest = [connect(source=f"127.251.0.{i}") for i in (1, 2)]
                flood = [connect(source="127.251.1.1") for _ in range(10)]
                flood += [connect(source="127.251.1.1", greet=False) for _ in range(30)]
                for c in flood[:30]:    # of those that came later the last may wait still
                    self.assertTrue(c.rest(60).endswith(bye))
                self.assertIn("OK", flood[-1].line())
                others = [connect(source=f"127.251.2.{i}") for i in (1, 2, 3)]
                for c in honest + others:
                    self.assertIn("OK", str(c.command(alive)))
                for c in honest + flood + others:
                    c.close()

    def test_a_trusted_network_is_no_flood(self):
        """A webmail server: the oldest goes, as ever."""
        gh = self.gh
        gh.write_config(settings=self.settings + "login_trusted_networks = 127.251.3.0/24")
        self.addCleanup(gh.write_config, settings=self.settings)
        gh.reload()
        self.assertTrue(eventually(lambda: len(gh.helpers("launcher")) == 1))
        oldest = self.imap(source="127.251.0.1")
        webmail = [self.imap(source="127.251.3.1") for _ in range(11)]
        self.imap(source="127.251.0.2")
        self.assertEqual(oldest.rest(60), b"* BYE Connection queue full\r\n")
        for c in webmail:
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))


class FullOfSessions(Model, SystemTest):
    """Whom nobody can make room for is closed after 10 s."""

    settings = COMMON
    imap_login = "service_count = 0\n  process_limit = 1\n  client_limit = 2"
    pop3_login = "process_limit = 1\n  process_min_avail = 1"

    def test_closed_after_ten_seconds(self):
        sessions = [self.logged_in(), self.logged_in()]
        pop = self.pop3(tls=True)
        self.assertTrue(pop.login().startswith("+OK"))
        began = time.monotonic()
        waits = [self.keep(harness.LineClient(self.gh.server(n)))
                 for n in ("imap", "imaps", "pop3", "pop3s")]
        for c in waits:
            self.assertEqual(c.rest(100), b"")
            self.assertGreaterEqual(time.monotonic() - began, 9.5)
        for c in sessions:
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        self.assertTrue(pop.command("NOOP").startswith("+OK"))
        sessions[0].close()
        self.assert_serves()


class Stubborn(Model, SystemTest):
    """Who does not read his farewell holds no place."""

    settings = COMMON
    imap_login = "service_count = 0\n  process_limit = 1\n  client_limit = 2"

    def test_clients_that_do_not_read(self):
        for _ in range(2):
            c = self.imap(rcvbuf=4096)
            c.sock.settimeout(0.3)
            try:
                for _ in range(300):
                    c.send(b"a CAPABILITY\r\n" * 100)
            except OSError:
                pass
        for _ in range(2):
            self.assertTrue(self.imap(tls=True).login().startswith("OK"))


# ---- vsz_limit -----------------------------------------------------------------


class Memory:
    """An arena that is used up costs the connection that asked for more."""

    def exhaust(self, most):
        """TLS connections until one fails; returns those that stand, and whether one
        failed."""
        clients = []
        for _ in range(most):
            try:
                clients.append(self.imap(tls=True, seconds=20))
            except (OSError, harness.ClientError):
                return clients, True
        return clients, False

    def assert_nobody_died(self):
        self.assertEqual(self.gh.find_log(r"died of signal|killed with signal|forbids"), [])


class Stuck(Model, SystemTest):
    settings = "mail_max_userip_connections = 0"
    imap_login = "service_count = 0\n  process_limit = 2"

    def test_a_pooled_worker_that_does_not_read_holds_up_nobody_else(self):
        session = self.imap(tls=True)
        self.assertTrue(session.login().startswith("OK"))
        stuck = [p for p in self.processes() if p.argv()[1:3] == ["pool", "imap"]]
        self.assertEqual(len(stuck), 1)
        stuck[0].kill(signal.SIGSTOP)
        try:
            # Its queue has room for about a hundred.
            clients = [self.keep(harness.LineClient(self.gh.server("imap")))
                       for _ in range(300)]
            self.assertTrue(clients[-1].line().startswith("* OK"))
        finally:
            stuck[0].kill(signal.SIGCONT)
        for c in clients[:-1]:
            self.assertTrue(c.line().startswith("* OK"))
        self.assertTrue(session.command("NOOP")[1].startswith("OK"))


class FewDescriptors(Model, SystemTest):
    """client_limit is what a limit of 256 open files has room for: 56 instead of 1000."""

    imap_login = "service_count = 0"
    # Descriptors on their way are counted for each user: a launcher of another test counts.
    settings = "mail_max_userip_connections = 0" + "\ndefault_login_user = 64611" * harness.ROOT
    started = False

    def setUp(self):
        super().setUp()
        self.gh = self.make_gatehouse()
        self.addCleanup(self.gh.close)

    def test_sessions_are_not_lost_to_one_connection_too_many(self):
        script = os.path.join(self.gh.dir, "few")
        with open(script, "w") as f:
            f.write(f"#!/bin/sh\nulimit -n 256\nexec {self.gh.program} \"$@\"\n")
        os.chmod(script, 0o755)
        self.gh.program = script
        self.assert_nobody_is_lost()

    def test_nor_where_a_site_has_narrowed_the_pool(self):
        with open(os.path.join(harness.TREE, "policy/pool.policy")) as f:
            text = f.read()
        self.assertIn("nofile 4096", text)
        where = os.path.join(self.gh.dir, "site")
        os.mkdir(where)
        with open(os.path.join(where, "pool.policy"), "w") as f:
            f.write(text.replace("nofile 4096", "nofile 256"))
        self.gh.write_config(settings=f"{self.settings}\nsite_policy_dir = {where}")
        self.assert_nobody_is_lost()

    def assert_nobody_is_lost(self):
        self.gh.start()
        sessions = [self.logged_in() for _ in range(60)]
        waiting = [self.imap() for _ in range(40)]
        for c in sessions + waiting:
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        self.gh.wait_log(r"client_limit 1000 is more than the limit of open files \(256\)")


class MemoryPooled(Memory, Model, SystemTest):
    settings = COMMON
    imap_login = ("service_count = 0\n  process_limit = 1\n  client_limit = 1000\n"
                  "  vsz_limit = 32M")

    def test_exhausted_by_many(self):
        honest = self.logged_in()
        worker = self.processes()
        before = self.imap(tls=True)
        clients, failed = self.exhaust(900)
        print(f"# {len(clients)} TLS connections in an arena of vsz_limit = 32M")
        self.assertTrue(failed, "the arena was never full")
        self.assertGreater(len(clients), 20)
        for _ in range(20):         # again and again, at the border
            try:
                clients.append(self.imap(tls=True, seconds=20))
            except (OSError, harness.ClientError):
                pass
        self.assertTrue(honest.command("NOOP")[1].startswith("OK"))
        self.assertIn(b"Welcome", self.fetch_welcome(honest))
        for c in clients:
            c.close()
        # What they had is there again.
        self.assertTrue(eventually(self.serves))
        self.assertTrue(before.login().startswith("OK"))
        self.assertEqual(self.processes(), worker)
        self.assert_nobody_died()

    def serves(self):
        try:
            self.assert_serves()
            return True
        except (OSError, harness.ClientError):
            return False


class Limits(Model, SystemTest):
    """RLIMIT_AS, in each model."""

    started = False

    def test_it_is_the_limit_of_each_process(self):
        for name, model in (("fork", ""), ("exec", "worker_spawn = exec\n  "),
                            ("pooled", "service_count = 0\n  ")):
            with self.subTest(name):
                gh = self.gh = self.make_gatehouse(
                    settings=COMMON, imap_login=f"{model}vsz_limit = 16M")
                self.addCleanup(gh.close)
                gh.start()
                self.assert_serves()
                c = self.imap(tls=True)
                for p in self.gh.logins():
                    if p.argv()[2:3] == ["imap"]:
                        self.assertEqual(p.limits()["Max address space"],
                                         (str(16 << 20),) * 2)
                self.assertTrue(c.login().startswith("OK"))
                gh.stop()

    def test_too_little_is_refused(self):
        gh = self.make_gatehouse(imap_login="vsz_limit = 15M")
        self.addCleanup(gh.close)
        with self.assertRaises(harness.StartError) as e:
            gh.start()
        self.assertEqual(e.exception.status, 78)
        self.assertRegex(str(e.exception), r"conf:\d+: service imap-login: vsz_limit below 16M")


if __name__ == "__main__":
    import unittest
    unittest.main()
