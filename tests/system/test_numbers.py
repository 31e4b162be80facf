"""How many processes there are: process_min_avail, service_count, idle_kill, a
template's age and uses, in each worker model; the manual's snippets, and the names
that Dovecot 1.x had.  What happens when there is no room is in test_numbers_full."""

import signal
import threading
import time

import harness
from harness import SystemTest, eventually, needs_root
from test_canary import canary

COMMON = "mail_max_userip_connections = 0\n"


class Model:
    """What differs between fork, exec and pooled: how to see who waits."""

    spawn = ""

    def waiting(self, service="imap"):
        """Processes that have no connection and take one."""
        return self.gh.waiting(service)

    def settled(self, n, seconds=20, service="imap"):
        """Exactly n wait, and have for a moment."""
        def check():
            if len(self.waiting(service)) != n:
                return False
            time.sleep(0.2)
            return len(self.waiting(service)) == n
        self.assertTrue(eventually(check, seconds),
                        f"{len(self.waiting(service))} wait, not {n}\n{self.gh.text()}")
        return self.waiting(service)

    def processes(self, service="imap"):
        """All that count against process_limit."""
        return [p for p in self.gh.logins() if p.argv()[2:3] == [service]
                and p not in self.gh.templates(service)]

    def strangers(self, n, service="imap"):
        """n connections before login, greeted."""
        return [self.imap() if service == "imap" else self.pop3() for _ in range(n)]


class ExecModel(Model):
    spawn = "worker_spawn = exec\n"

    def waiting(self, service="imap"):
        return [p for p in self.gh.logins() if p.argv()[1:3] == ["exec", service]
                and self.gh.depth(p) == 0]


# ---- process_min_avail ---------------------------------------------------------


class MinAvail:
    """Of models in which one process serves one connection."""

    imap_login = "process_min_avail = 3\n  process_limit = 8\n  idle_kill = 1s"
    pop3_login = "process_min_avail = 1"

    @classmethod
    def setUpClass(cls):
        cls.settings = COMMON + cls.spawn
        super().setUpClass()

    def end(self, clients):
        for c in clients:
            c.close()
        self.assertTrue(eventually(lambda: set(self.processes()) <= set(self.waiting())))

    def test_they_wait_and_are_taken_and_replaced(self):
        before = self.settled(3)
        self.settled(1, service="pop3")
        clients = self.strangers(2)
        after = self.settled(3)
        taken = set(before) - set(after)
        # The newest is taken first, so the second may have been made for the first.
        self.assertTrue(taken, "a connection takes one that waited")
        self.assertTrue(all(p.alive() for p in taken))
        self.assertEqual(len(set(self.processes()) - set(after)), 2)
        for c in clients:
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        self.end(clients)
        self.settled(3)

    def test_logins_through_those_that_wait(self):
        for _ in range(6):
            self.assert_serves()
        c = self.pop3(tls=True)
        self.assertTrue(c.login().startswith("+OK"))

    def test_one_that_dies_is_replaced(self):
        before = self.settled(3)
        before[0].kill(signal.SIGKILL)
        self.assertTrue(eventually(lambda: before[0] not in self.waiting()))
        self.settled(3)
        self.assert_serves()

    def burst(self, seconds):
        """Connections that come and go faster than any are made ready; the most that
        waited, the most there were."""
        stop, most = time.monotonic() + seconds, [0, 0]

        def come_and_go():
            while time.monotonic() < stop:
                clients = []
                try:
                    for _ in range(4):
                        clients.append(harness.Imap(self.gh.server("imap"), seconds=20))
                except (OSError, harness.ClientError):
                    pass        # told to make room
                for c in clients:
                    c.close()

        threads = [threading.Thread(target=come_and_go) for _ in range(3)]
        for t in threads:
            t.start()
        while time.monotonic() < stop:
            waiting, every = len(self.waiting()), len(self.processes())
            most = [max(most[0], waiting), max(most[1], every)]
            time.sleep(0.02)
        for t in threads:
            t.join()
        return most

    def test_a_burst_finds_more_and_calm_fewer(self):
        self.settled(3)
        most, every = self.burst(2.5)
        # Seen in it, or when it is just over and nobody takes them any more.
        self.assertTrue(most > 3 or eventually(lambda: len(self.waiting()) > 3, 5),
                        "more are kept ready while a burst lasts")
        # /proc is no snapshot: who ended and who took the place are both seen.
        self.assertLessEqual(every, 8 + 4)
        self.assertTrue(eventually(lambda: len(self.processes()) <= 8))
        self.settled(3, 60)

    def test_never_above_process_limit(self):
        clients = self.strangers(8)
        self.assertTrue(eventually(lambda: not self.waiting()))
        self.assertEqual(len(self.processes()), 8)
        time.sleep(1.2)         # a tick of the launcher changes nothing
        self.assertEqual(len(self.processes()), 8)
        self.end(clients)
        self.settled(3, 60)


class MinAvailFork(MinAvail, Model, SystemTest):
    def template(self):
        return eventually(lambda: self.gh.templates("imap"), 30)[-1]

    @needs_root("to see the descriptors")
    def test_one_that_waits_holds_its_own_channel_and_nothing_else(self):
        for p in self.settled(3):
            self.assertEqual(sorted(p.fds()), [0, 1, 2, 8])
            self.assertEqual(p.limits()["Max processes"], ("0", "0"))
        channels = {p.fds()[8] for p in self.waiting()}
        self.assertEqual(len(channels), 3)
        self.assertNotIn(self.template().fds()[7], channels)
        c = self.imap()
        taken = [p for p in self.processes() if p not in self.waiting()]
        self.assertEqual([sorted(p.fds()) for p in taken], [[2, 3, 4, 5, 6]])
        self.assertEqual(self.gh.depth(taken[0]), 2, "the login filter came first")
        c.close()

    @needs_root("to read memory")
    def test_each_has_a_canary_of_its_own(self):
        family = [self.template()] + self.settled(3)
        self.assertEqual(len({canary(p.pid) for p in family}), 4)

    def test_a_crash_takes_the_template_and_who_waits(self):
        old, template = self.settled(3), self.template()
        c = self.imap()
        worker = [p for p in self.processes() if p not in self.waiting()][0]
        worker.kill(signal.SIGSEGV)
        c.rest(20)
        self.assertTrue(eventually(lambda: not any(p.alive() for p in old + [template])))
        self.settled(3)
        self.assertNotEqual(self.template(), template)
        self.assert_serves()

    def test_a_crash_of_one_that_waits_takes_them_all(self):
        old, template = self.settled(3), self.template()
        old[1].kill(signal.SIGABRT)
        self.assertTrue(eventually(lambda: not any(p.alive() for p in old + [template])))
        self.settled(3)
        self.assert_serves()

    def test_the_template_dies(self):
        old, template = self.settled(3), self.template()
        mark = self.gh.mark()
        template.kill(signal.SIGKILL)
        self.assertTrue(eventually(lambda: not any(p.alive() for p in old)),
                        "they have its layout")
        self.settled(3)
        self.assertEqual(self.gh.find_log("malformed|SIGSYS", mark), [])
        self.assert_serves()


class MinAvailExec(MinAvail, ExecModel, SystemTest):
    pass


class MinAvailPooled(Model, SystemTest):
    settings = COMMON
    imap_login = ("service_count = 0\n  client_limit = 2\n  process_min_avail = 2\n"
                  "  process_limit = 5\n  idle_kill = 1s")
    pop3_login = "service_count = 0"

    def pool(self, n):
        """n processes, and no other number a moment later; what a start under load has
        made ready besides goes first."""
        def check():
            if len(self.processes()) != n:
                return False
            time.sleep(0.3)
            return len(self.processes()) == n
        self.assertTrue(eventually(check, 30), f"{self.processes()}\n{self.gh.text()}")

    def test_two_have_room_up_to_the_limit(self):
        self.pool(2)
        clients = self.strangers(1)
        self.pool(2)                    # both have room still
        clients += self.strangers(1)
        self.pool(3)                    # one is full
        clients += self.strangers(2)
        self.pool(4)
        clients += self.strangers(2)
        self.pool(5)
        clients += self.strangers(4)
        self.pool(5)                    # ten connections, five processes of two
        sessions = clients[:2]
        for c in sessions:
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        for c in clients:
            c.close()
        self.pool(2)                    # idle_kill
        self.assert_serves()


class NoneWait(Model, SystemTest):
    """process_min_avail = 0, the default."""

    settings = COMMON

    def test_fork_keeps_only_its_template(self):
        c = self.imap()
        self.assertEqual((len(self.gh.templates("imap")), self.waiting()), (1, []))
        self.assertEqual(len(self.processes()), 1)
        c.close()
        time.sleep(1.2)
        self.assertEqual(self.waiting(), [])


class NoneWaitElsewhere(Model, SystemTest):
    """exec and pooled: one is started when a connection comes, and goes when idle."""

    settings = COMMON + "worker_spawn = exec"
    imap_login = "idle_kill = 1s"
    pop3_login = "service_count = 0\n  idle_kill = 1s"

    def idle(self):
        self.assertTrue(eventually(lambda: not self.gh.logins(), 30), self.gh.logins())

    def test_started_on_demand(self):
        self.idle()
        self.assert_serves()
        c = self.pop3(tls=True)
        self.assertTrue(c.login().startswith("+OK"))
        time.sleep(2.5)
        self.assertTrue(c.command("NOOP").startswith("+OK"), "a busy one is not idle")
        self.assertEqual(len(self.processes("pop3")), 1)
        c.command("QUIT")
        c.close()
        self.idle()


# ---- service_count -------------------------------------------------------------


class ServiceCount(Model, SystemTest):
    settings = COMMON
    imap_login = "service_count = 3\n  process_limit = 20"
    pop3_login = "service_count = 3\n  client_limit = 2\n  process_limit = 20"

    def test_serves_three_and_retires(self):
        self.assertTrue(eventually(lambda: len(self.processes()) == 1))
        one = self.processes()[0]
        sessions = [self.logged_in() for _ in range(3)]
        self.assertTrue(one.alive())
        fourth = self.logged_in()
        others = [p for p in self.processes() if p != one]
        self.assertTrue(others, "the fourth is another's")
        for c in sessions[:2]:
            c.command("LOGOUT")
            c.close()
        self.assertTrue(sessions[2].command("NOOP")[1].startswith("OK"))
        self.assertTrue(one.alive(), "it finishes what it has")
        sessions[2].close()
        self.assertTrue(eventually(lambda: not one.alive()))
        self.assertTrue(fourth.command("NOOP")[1].startswith("OK"))

    def test_client_limit_is_lowered_to_it(self):
        _, out = self.gh.command("config")
        self.assertRegex(out, r"(?s)service imap-login \{.*?client_limit = 3\n")
        self.assertRegex(out, r"(?s)service pop3-login \{.*?client_limit = 2\n")


class ServiceCountBorder(Model, SystemTest):
    settings = COMMON
    imap_login = "service_count = 3\n  process_limit = 20"

    def test_many_at_the_border(self):
        """Nothing is lost where one process ends and the next begins."""
        failures = []

        def client(n):
            try:
                for _ in range(5):
                    with harness.Imap(self.gh.server("imaps"), tls=True, seconds=100) as c:
                        answer = c.login()
                        if not answer.startswith("OK"):
                            failures.append(answer)
                        c.command("LOGOUT")
            except (OSError, harness.ClientError) as e:
                failures.append(f"{n}: {e!r}")

        threads = [threading.Thread(target=client, args=(n,)) for n in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.gh.find_log("cannot hand out|malformed|died of signal"), [])


# ---- a template's uses and age -------------------------------------------------


class Template(Model, SystemTest):
    settings = COMMON + "template_max_uses = 5\ntemplate_max_age = 3s"
    pop3_login = "process_min_avail = 2"

    def test_uses(self):
        old = eventually(lambda: self.gh.templates("imap"))[-1]
        session = self.logged_in()
        for _ in range(5):
            self.assert_serves()
        self.assertTrue(eventually(lambda: not old.alive()))
        self.assert_serves()
        self.assertTrue(session.command("NOOP")[1].startswith("OK"), "its children stay")

    def test_age_takes_those_that_wait(self):
        old, template = self.settled(2, service="pop3"), self.gh.templates("pop3")
        session = self.pop3(tls=True)
        self.assertTrue(session.login().startswith("+OK"))
        self.assertTrue(eventually(lambda: not any(
            p.alive() for p in old + template if p in self.waiting("pop3") + template), 30))
        self.assertTrue(eventually(lambda: len(self.waiting("pop3")) == 2
                                   and not set(old) & set(self.waiting("pop3"))))
        self.assertTrue(session.command("NOOP").startswith("+OK"))

    def test_nobody_is_refused_meanwhile(self):
        end = time.monotonic() + 4
        while time.monotonic() < end:
            with self.pop3(tls=True) as c:
                self.assertTrue(c.login().startswith("+OK"))
            self.assert_serves()
        self.assertEqual(self.gh.find_log("cannot hand out|died of signal|malformed"), [])


# ---- as manuals write it -------------------------------------------------------


SNIPPETS = {
    1: ("process_min_avail = 0", "process_limit = $default_process_limit", "vsz_limit = 64M"),
    0: ("client_limit = $default_client_limit", "process_min_avail = 0", "vsz_limit = 64M"),
}


class Snippets(SystemTest):
    """Both snippets of Dovecot's manual, and with each commented line in force."""

    started = False

    def assert_works(self, **kw):
        gh = self.gh = self.make_gatehouse(**kw)
        try:
            gh.start()
            self.assert_serves()
            with self.pop3(tls=True) as c:
                self.assertTrue(c.login().startswith("+OK"))
            return gh.text()
        finally:
            gh.close()

    def snippet(self, count):
        for line in ("",) + SNIPPETS[count]:
            with self.subTest(line=line):
                self.assert_works(imap_login=f"service_count = {count}\n  {line}",
                                  pop3_login=f"service_count = {count}")

    def test_high_security(self):
        self.snippet(1)

    def test_high_performance(self):
        self.snippet(0)

    def test_check_shows_the_numbers(self):
        gh = self.gh = self.make_gatehouse(imap_login="service_count = 0\n  client_limit = 7",
                                           pop3_login="process_min_avail = 2")
        self.addCleanup(gh.close)
        status, out = gh.command("check")
        self.assertEqual(status, 0, out)
        self.assertIn("service   imap-login: pooled, service_count 0, client_limit 7, "
                      "process_limit 100, process_min_avail 0, idle_kill 1 min, vsz_limit 256M", out)
        self.assertIn("service   pop3-login: fork, service_count 1, client_limit 1, "
                      "process_limit 100, process_min_avail 2, idle_kill 1 min, vsz_limit 256M", out)

    def test_min_avail_above_the_limit(self):
        gh = self.gh = self.make_gatehouse(pop3_login="process_limit = 3\n  process_min_avail = 4")
        self.addCleanup(gh.close)
        status, out = gh.command("check")
        self.assertEqual(status, 78, out)
        self.assertIn("service pop3-login: process_min_avail (4) is above process_limit (3)", out)
        self.assertIn("raise process_limit, or lower process_min_avail", out)


class Old(Model, SystemTest):
    """The names of Dovecot 1.x have their meaning, for both services."""

    started = False

    def start(self, settings):
        gh = self.gh = self.make_gatehouse(settings=COMMON + settings)
        self.addCleanup(gh.close)
        gh.start()
        return gh

    def test_processes(self):
        gh = self.start("login_processes_count = 2\nlogin_max_processes_count = 4\n"
                        "login_process_per_connection = yes\n")
        for old, now in (("login_processes_count", "process_min_avail = 2"),
                         ("login_max_processes_count", "process_limit = 4"),
                         ("login_process_per_connection", "service_count = 1")):
            gh.wait_log(rf"{old} is a setting of Dovecot 1\.x; today it is `service imap-login "
                        rf"{{ {now} }}` and the same for pop3-login")
        for service, connect in (("imap", self.imap), ("pop3", self.pop3)):
            self.settled(2, service=service)
            clients = [connect() for _ in range(4)]
            self.assertEqual(len(self.processes(service)), 4)
            connect()
            self.assertIn(b"Connection queue full", clients[0].rest(20))

    def test_connections(self):
        gh = self.start("login_process_per_connection = no\nlogin_max_connections = 3\n"
                        "login_max_processes_count = 1\nlogin_processes_count = 1\n")
        gh.wait_log(r"login_process_per_connection is .* service_count = 0 ")
        gh.wait_log(r"login_max_connections is .* client_limit = 3 ")
        for service, connect in (("imap", self.imap), ("pop3", self.pop3)):
            clients = [connect() for _ in range(3)]
            self.assertEqual(len(self.processes(service)), 1)
            connect()
            self.assertIn(b"Connection queue full", clients[0].rest(20))


if __name__ == "__main__":
    import unittest
    unittest.main()
