# check: also as an ordinary user
"""HUP, USR1, TERM and INT; sessions that outlive all of it."""

import os
import signal
import subprocess
import time

import harness
from harness import Certificate, SystemTest, eventually
from procs import Process, wait_gone

IDLE = 100


class Reload(SystemTest):
    settings = ("mail_max_userip_connections = 0\ndefault_process_limit = 500\n"
                "shutdown_timeout = 3s")

    def served_certificate(self):
        with harness.LineClient(self.gh.server("imaps"), tls=True) as c:
            return c.sock.getpeercert(True)

    def test_new_certificate_without_losing_a_session(self):
        live = self.logged_in()
        waiting = self.imap(tls=True)
        old = self.gh.cert
        self.assertEqual(self.served_certificate(), old.der())
        new = Certificate(self.gh.dir, f"new{time.time_ns()}", addresses=(self.gh.address,))
        self.gh.write_config(cert=new)
        self.assertIn("ready", self.gh.reload()[0])
        self.assertTrue(eventually(lambda: self.served_certificate() == new.der()))
        self.assertTrue(live.command("NOOP")[1].startswith("OK"))
        self.assertTrue(waiting.login().startswith("OK"))
        live.command("LOGOUT")
        waiting.command("LOGOUT")
        mark = 0
        self.gh.wait_log(r"generation \d+ has ended", 30, mark)
        self.assertTrue(eventually(lambda: len(self.gh.helpers("launcher")) == 1))

    def all_helpers(self):
        """Those of every generation: two of each while one takes over from the other."""
        return [p for name in ("launcher", "auth", "keys") for p in self.gh.helpers(name)]

    def one_generation(self):
        """The helpers, once the generation of an earlier test has ended."""
        self.assertTrue(eventually(lambda: len(self.all_helpers()) == 3, 30), self.all_helpers())
        return self.all_helpers()

    def test_bad_configuration_changes_nothing(self):
        live = self.logged_in()
        helpers = self.one_generation()
        settings = self.gh.settings
        try:
            self.gh.write_config(settings="no_such_setting = 1")
            self.assertIn("refused", self.gh.reload()[0])
        finally:
            self.gh.write_config(settings=settings)
        self.assertEqual(self.all_helpers(), helpers)
        self.assertTrue(live.command("NOOP")[1].startswith("OK"))
        self.assert_serves()

    def test_key_that_does_not_fit_changes_nothing(self):
        helpers = self.one_generation()
        good = self.gh.cert
        other = Certificate(self.gh.dir, "other")
        try:
            self.gh.write_config(cert=Certificate.existing(good.cert, other.key))
            mark = self.gh.mark()
            self.gh.signal(signal.SIGHUP)
            self.gh.wait_log(r"does not belong|does not fit|refused|did not start", 60, mark)
        finally:
            self.gh.write_config(cert=good)
        self.assertTrue(eventually(lambda: self.all_helpers() == helpers),
                        f"{self.all_helpers()} instead of {helpers}")
        self.assert_serves()

    def test_a_failed_reload_leaves_the_doors_as_they_were(self):
        """Neither is the new port open, where nobody would serve, nor is the old one lost to
        a launcher that is started anew."""
        self.one_generation()
        good, ports = self.gh.cert, dict(self.gh.ports)
        other = Certificate(self.gh.dir, "another")
        new = harness.free_port(self.gh.address)
        try:
            self.gh.write_config(cert=Certificate.existing(good.cert, other.key),
                                 ports={**ports, "imaps": new})
            mark = self.gh.mark()
            self.gh.signal(signal.SIGHUP)
            self.gh.wait_log(r"generation \d+ did not start", 60, mark)
        finally:
            self.gh.write_config(cert=good, ports=ports)
        with self.assertRaises(ConnectionRefusedError):
            harness.LineClient((self.gh.address, new)).close()
        self.assert_serves()
        old = self.gh.helper("launcher")
        old.kill(signal.SIGKILL)
        self.assertTrue(eventually(lambda: self.gh.helper("launcher") != old))
        self.assertTrue(eventually(self.works))

    def test_new_port_and_old_port(self):
        ports = dict(self.gh.ports)
        self.addCleanup(self.gh.reload)
        self.addCleanup(self.gh.write_config, ports=ports)
        self.gh.write_config(ports={**ports, "imaps": harness.free_port(self.gh.address)})
        self.gh.reload()
        self.assertTrue(eventually(self.works))
        with self.assertRaises(OSError):
            eventually(lambda: harness.LineClient((self.gh.address, ports["imaps"])).close(), 5)

    def works(self):
        try:
            self.assert_serves()
            return True
        except (OSError, harness.ClientError):
            return False

    def test_many_reloads_under_load_lose_no_login(self):
        failures = []
        stop = time.monotonic() + 6
        reloads = 0
        while time.monotonic() < stop:
            self.gh.signal(signal.SIGHUP)
            reloads += 1
            end = time.monotonic() + 0.7
            while time.monotonic() < end:
                try:
                    self.assert_serves()
                except (OSError, harness.ClientError) as e:
                    failures.append(repr(e))
        self.assertEqual(failures, [])
        self.assertTrue(eventually(lambda: len(self.gh.helpers("launcher")) == 1, 30))


class Idle(SystemTest):
    """100 sessions over TLS that nobody touches, and everything that happens around them."""

    settings = "mail_max_userip_connections = 0\ndefault_process_limit = 500"

    def assert_live(self, sessions):
        for i, c in enumerate(sessions):
            self.assertTrue(c.command("NOOP")[1].startswith("OK"), f"session {i}")

    def test_sessions_survive(self):
        sessions = [self.logged_in() for _ in range(IDLE)]
        with self.subTest("reload"):
            self.gh.reload()
            self.assert_live(sessions)
        for name in ("auth", "keys"):
            with self.subTest(f"death of {name}"):
                for p in self.gh.helpers(name):
                    p.kill()
                self.assert_live(sessions)
                self.assertTrue(eventually(lambda: self.gh.helpers(name)))
                self.assert_live(sessions)
        with self.subTest("death of Dovecot's auth server"):
            self.dovecot.kill_auth()
            self.assert_live(sessions)
        self.assertTrue(eventually(self.works))

    def works(self):
        try:
            self.assert_serves()
            return True
        except (OSError, AssertionError, harness.ClientError):
            return False


class Ends(SystemTest):
    """One gatehouse for each test: they end it."""

    started = False
    settings = "shutdown_timeout = 3s"

    def setUp(self):
        self.gh.start()
        self.addCleanup(self.gh.stop)

    def family(self):
        return [self.gh.process] + self.gh.process.descendants()

    def test_term_says_bye_and_drains(self):
        live, waiting = self.logged_in(), self.imap(tls=True)
        plain = self.imap()
        family = self.family()
        began = time.monotonic()
        self.gh.signal(signal.SIGTERM)
        self.assertRegex(waiting.rest(20), rb"\* BYE .*[Ss]hutting down")
        self.assertRegex(plain.rest(20), rb"\* BYE .*[Ss]hutting down")
        self.assertTrue(live.command("NOOP")[1].startswith("OK"), "sessions get their time")
        with self.assertRaises(OSError):
            harness.LineClient(self.gh.server("imaps"))
        live.rest(40)
        self.assertEqual(self.gh.wait_status(40), 0)
        self.assertGreater(time.monotonic() - began, 2)
        self.assertEqual(wait_gone(family, 10), [])

    def test_term_ends_when_the_last_session_ends(self):
        live = self.logged_in()
        began = time.monotonic()
        self.gh.signal(signal.SIGTERM)
        live.command("LOGOUT")
        live.close()
        self.assertEqual(self.gh.wait_status(40), 0)
        self.assertLess(time.monotonic() - began, 3)

    def test_int_ends_at_once(self):
        self.logged_in()
        family = self.family()
        self.gh.signal(signal.SIGINT)
        self.assertEqual(self.gh.wait_status(20), 0)
        self.assertEqual(wait_gone(family, 10), [])

    def test_second_supervisor_is_turned_away(self):
        other = harness.Gatehouse(self.dovecot.sock, program=self.gh.program)
        self.addCleanup(other.close)
        with open(self.gh.conf) as f:
            text = f.read()
        with open(other.conf, "w") as f:
            f.write(text)
        with self.assertRaises(harness.StartError) as e:
            other.start()
        self.assertEqual(e.exception.status, 69)
        self.assertIn(str(self.gh.process.pid), e.exception.log)
        self.assert_serves()


class EndOfMany(SystemTest):
    """More of them than farewells fit into the auth client's queue (277)."""

    settings = "shutdown_timeout = 60s"
    imap_login = "service_count = 0"

    def test_all_hear_of_it(self):
        clients = [self.imap() for _ in range(400)]
        auth = self.gh.helper("auth")
        auth.kill(signal.SIGSTOP)
        try:
            self.gh.signal(signal.SIGTERM)
            self.gh.wait_log("ending:")
            time.sleep(0.3)
        finally:
            auth.kill(signal.SIGCONT)
        for c in clients:
            self.assertRegex(c.rest(20), rb"\* BYE .*[Ss]hutting down")
        self.assertEqual(self.gh.wait_status(30), 0)


class Background(SystemTest):
    """Without -F: the command ends when the doors are open; USR1 opens the log anew."""

    started = False

    def test_background_log_and_usr1(self):
        log = os.path.join(self.gh.dir, "log")
        self.gh.write_config(settings=f"log_path = {log}")
        r = subprocess.run([self.gh.program, "-c", self.gh.conf], timeout=60,
                           capture_output=True, text=True, stdin=subprocess.DEVNULL)
        with open(os.path.join(self.gh.dir, "run/gatehouse.pid")) as f:
            daemon = Process(int(f.read()))
        family = [daemon] + daemon.descendants()
        try:
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assert_serves()
            os.rename(log, log + ".1")
            self.assert_serves()
            daemon.kill(signal.SIGUSR1)
            self.assertTrue(eventually(lambda: os.path.exists(log)))
            self.assert_serves()
            self.assertTrue(eventually(lambda: "Login: user=<alice>" in open(log).read()))
            self.assertIn("Login: user=<alice>", open(log + ".1").read())
        finally:
            daemon.kill(signal.SIGINT)
            left = wait_gone(family, 20)
            for p in left:
                p.kill()
        self.assertEqual(left, [])
