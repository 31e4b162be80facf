# check: also as an ordinary user
"""What the death of each process costs, while logins run."""

import signal
import socket
import subprocess
import threading
import time

import harness
from gatehouse import may_fork
from harness import SystemTest, eventually
from procs import wait_gone

BUSY = 4                        # clients that log in again and again


class Storm:
    """Logins in the background: when each began, when it ended, how."""

    def __init__(self, gh):
        self.gh, self.results, self.stopping = gh, [], threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(BUSY)]

    def work(self):
        while not self.stopping.is_set():
            began, answer = time.monotonic(), ""
            try:
                with harness.Imap(self.gh.server("imaps"), tls=True, seconds=30) as c:
                    answer = c.login()
                    if answer.startswith("OK"):
                        c.command("LOGOUT")
            except (OSError, harness.ClientError) as e:
                answer = f"broken: {e!r}"
                time.sleep(0.02)
            self.results.append((began, time.monotonic(), answer))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        for t in self.threads:
            t.join()

    def bad(self, since=0.0):
        return [(b, e, a) for b, e, a in self.results if not a.startswith("OK") and b >= since]

    def good(self, since=0.0):
        return [r for r in self.results if r[2].startswith("OK") and r[0] >= since]


def number_of(process):
    """Its PID as its own PID namespace has it; None if it is gone."""
    numbers = process.status().get("NSpid")
    return int(numbers.split()[-1]) if numbers else None


class Crash(SystemTest):
    settings = "mail_max_userip_connections = 0\ndefault_process_limit = 500"

    def sessions(self, n=3):
        return [self.logged_in() for _ in range(n)]

    def assert_live(self, sessions):
        for c in sessions:
            self.assertTrue(c.command("NOOP")[1].startswith("OK"))

    def under_load(self, kill, settle=3.0):
        """Kill while logins run; no login that began `settle` later may fail."""
        with Storm(self.gh) as storm:
            time.sleep(1)
            kill()
            at = time.monotonic()
            time.sleep(settle)
            quiet = time.monotonic()
            self.assertTrue(eventually(lambda: len(storm.good(quiet)) >= 10, 60))
        self.assertEqual(storm.bad(quiet), [])
        return [b for b in storm.bad() if b[1] >= at]

    def test_worker_before_login(self):
        before = self.gh.workers()
        c = self.imap(tls=True)
        others = self.sessions(1)
        worker = self.new_workers(before)[0]
        worker.kill(signal.SIGKILL)
        self.assertEqual(c.rest(20), b"")
        self.assert_live(others)
        self.assert_serves()

    def test_proxied_worker_costs_its_session(self):
        others = self.sessions(2)
        before = self.gh.workers()
        c = self.logged_in()
        worker = self.new_workers(before)[0]
        worker.kill(signal.SIGKILL)
        c.rest(20)
        self.assert_live(others)

    def test_crash_of_a_worker_retires_its_template(self):
        for sig in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGSYS):
            with self.subTest(signal.Signals(sig).name):
                others = self.sessions(1)
                old = eventually(lambda: self.gh.templates("imap"))
                before = self.gh.workers()
                c = self.imap(tls=True)
                worker = self.new_workers(before)[0]
                mark = self.gh.mark()
                worker.kill(sig)
                c.rest(20)
                self.assertTrue(eventually(lambda: not any(t.alive() for t in old)), "retired")
                self.assert_serves()
                new = eventually(lambda: self.gh.templates("imap"))
                self.assertFalse(set(old) & set(new))
                self.gh.wait_log(signal.Signals(sig).name.removeprefix("SIG"), 20, mark)
                self.assert_live(others)

    def test_a_kill_is_no_attack(self):
        """SIGKILL and an ordinary end do not retire the template."""
        self.assert_serves()
        old = self.gh.templates("imap")
        before = self.gh.workers()
        c = self.imap(tls=True)
        self.new_workers(before)[0].kill(signal.SIGTERM)
        c.rest(20)
        self.assert_serves()
        self.assertEqual(self.gh.templates("imap"), old)

    def in_launchers_pids(self, script):
        """A shell among the launcher's processes; what it says."""
        return subprocess.run(["nsenter", "-t", str(self.gh.helper("launcher").pid), "-p", "--",
                               "sh", "-c", script],
                              check=True, capture_output=True, text=True, timeout=60).stdout

    @harness.needs_root("to enter a PID namespace")
    def test_a_number_that_is_used_again(self):
        """A worker is not taken for dead because somebody with its number once crashed."""
        self.assert_serves()
        old = self.gh.templates("imap")
        mark = self.gh.mark()
        # An orphan that nobody has told the launcher of, which has to reap it.
        number = int(self.in_launchers_pids(
            "sh -c 'echo $$; exec >/dev/null 2>&1; sleep 0.2; kill -SEGV $$' & "))
        launcher = self.gh.helper("launcher")
        self.assertTrue(eventually(lambda: number not in
                                   [number_of(p) for p in launcher.descendants()]))
        before = self.gh.workers()
        self.in_launchers_pids(f"echo {number - 1} >/proc/sys/kernel/ns_last_pid")
        c = self.imap(tls=True)
        worker = self.new_workers(before)[0]
        self.assertEqual(number_of(worker), number)
        self.assertTrue(c.login().startswith("OK"))
        self.assertEqual(self.gh.templates("imap"), old)
        self.assertEqual(self.gh.find_log(r"killed with signal|died of signal", mark), [])
        worker.kill(signal.SIGSEGV)     # it is known for what it is
        self.gh.wait_log(r"killed with signal 11", 20, mark)

    @harness.needs_root("to read memory maps")
    def test_new_template_has_a_new_layout(self):
        def base(p):
            return next(m for m in p.maps() if "[stack]" in m).split("-")[0]
        self.assert_serves()
        old = self.gh.templates("imap")[0]
        was = base(old)
        before = self.gh.workers()
        c = self.imap(tls=True)
        self.new_workers(before)[0].kill(signal.SIGSEGV)
        c.rest(20)
        self.assertTrue(eventually(lambda: not old.alive()))
        self.assert_serves()
        self.assertNotEqual(base(self.gh.templates("imap")[0]), was)

    def test_template_costs_nothing(self):
        live = self.sessions()
        waiting = self.imap(tls=True)
        for t in self.gh.templates():
            t.kill(signal.SIGKILL)
        self.assert_live(live)
        self.assertTrue(waiting.login().startswith("OK"))
        self.assert_serves()

    def test_template_under_load(self):
        live = self.sessions()
        lost = self.under_load(lambda: [t.kill() for t in self.gh.templates("imap")])
        self.assertLessEqual(len(lost), BUSY, lost)
        self.assert_live(live)

    def test_auth_client(self):
        live = self.sessions()
        waiting = self.imap(tls=True)
        old = self.gh.helper("auth")
        old.kill()
        self.assert_live(live)
        # Who was before login gets a clean end, or is served by the new one.
        try:
            answer = waiting.login()
            self.assertRegex(answer, r"^(OK|NO \[UNAVAILABLE\])")
        except harness.ClientError as e:
            self.assertIn("BYE", str(e))
        self.assertTrue(eventually(lambda: self.gh.helpers("auth")
                                   and self.gh.helper("auth") != old))
        self.assert_serves()
        self.assert_live(live)

    def test_auth_client_under_load(self):
        live = self.sessions()
        lost = self.under_load(lambda: self.gh.helper("auth").kill())
        for _, _, answer in lost:
            self.assertRegex(answer, r"NO \[UNAVAILABLE\]|BYE|end of connection|reset|EOF")
        self.assert_live(live)

    def test_key_signer(self):
        live = self.sessions()
        old = self.gh.helper("keys")
        old.kill()
        self.assert_live(live)
        self.assertTrue(eventually(lambda: self.gh.helpers("keys")
                                   and self.gh.helper("keys") != old))
        self.assertTrue(eventually(self.tls_works))
        self.assert_live(live)

    def tls_works(self):
        try:
            self.assert_serves()
            return True
        except (OSError, harness.ClientError):
            return False

    def test_who_comes_in_that_moment_waits(self):
        """He is accepted before the launcher has seen who is dead: nobody is closed for it."""
        for name in ("template", "auth", "keys"):
            with self.subTest(name):
                self.assertTrue(eventually(self.tls_works))
                launcher = self.gh.helper("launcher")
                launcher.kill(signal.SIGSTOP)
                try:
                    sock = harness.LineClient(self.gh.server("imap"))
                    self.keep(sock)
                    for p in (self.gh.templates("imap") if name == "template"
                              else self.gh.helpers(name)):
                        p.kill(signal.SIGKILL)
                        wait_gone([p], 20)
                finally:
                    launcher.kill(signal.SIGCONT)
                self.assertTrue(sock.line().startswith("* OK"))

    def test_key_signer_under_load(self):
        live = self.sessions()
        self.under_load(lambda: self.gh.helper("keys").kill())
        self.assert_live(live)

    def test_launcher_ends_its_sessions_and_is_restarted(self):
        live = self.sessions(2)
        old = self.gh.helper("launcher")
        workers = self.gh.logins()
        old.kill()
        for c in live:
            c.rest(20)
        self.assertEqual(wait_gone(workers, 20), [])
        self.assertTrue(eventually(lambda: self.gh.helpers("launcher")
                                   and self.gh.helper("launcher") != old))
        self.assertTrue(eventually(self.tls_works))

    def test_launcher_under_load(self):
        self.under_load(lambda: self.gh.helper("launcher").kill())


class Guessing(SystemTest):
    """Somebody who can crash workers, and does so again and again."""

    settings = "mail_max_userip_connections = 0\ndefault_process_limit = 200"

    def retired(self, mark):
        return len(self.gh.find_log(r"imap-login: Info: template retired", mark))

    def test_crashes_together_cost_one_template(self):
        """They were of one layout: the templates that came after have another."""
        before = self.gh.workers()
        clients = [self.imap(tls=True) for _ in range(8)]
        workers = self.new_workers(before, len(clients))
        launcher, mark = self.gh.helper("launcher"), self.gh.mark()
        launcher.kill(signal.SIGSTOP)
        for w in workers:
            w.kill(signal.SIGSEGV)
        launcher.kill(signal.SIGCONT)
        for c in clients:
            c.rest(20)
        self.assert_serves()
        self.gh.wait_log("Login: user=<alice>", 20, mark)
        self.assertEqual(self.retired(mark), 1)

    def worker_of(self, client):
        """The one whose client socket is the other end of this client's."""
        ends = [socket.inet_aton(ip)[::-1].hex().upper() + f":{port:04X}"
                for ip, port in (client.sock.getpeername(), client.sock.getsockname())]
        with open("/proc/net/tcp") as f:
            inode = next(w[9] for w in map(str.split, f) if w[1:3] == ends and w[9] != "0")
        return next(w for w in self.gh.logins()
                    if w.fds().get(3) == f"socket:[{inode}]" and not may_fork(w))

    @harness.needs_root("to see whose socket is whose")
    def test_a_series_of_crashes_is_slowed_down(self):
        mark, began = self.gh.mark(), time.monotonic()
        for _ in range(10):
            with harness.Imap(self.gh.server("imap")) as c:
                self.worker_of(c).kill(signal.SIGSEGV)
                c.rest(20)
        took = time.monotonic() - began
        self.assertTrue(eventually(lambda: len(self.gh.find_log("SIGSEGV", mark)) == 10))
        # Two of one template are possible, and the first template may have been old.
        templates = self.retired(mark)
        self.assertGreaterEqual(templates, 3)
        self.assertGreaterEqual(took, (templates - 2) * 0.25)
        self.assert_serves()


class Supervisor(SystemTest):
    def test_others_go_on_and_a_successor_takes_over(self):
        live = self.logged_in()
        family = [p for n in ("launcher", "auth", "keys") for p in self.gh.helpers(n)]
        workers = self.gh.logins()
        self.gh.process.kill(signal.SIGKILL)
        self.gh.popen.wait(20)
        self.assertTrue(live.command("NOOP")[1].startswith("OK"))
        self.assert_serves()
        self.assertTrue(all(p.alive() for p in family))
        self.gh.start()
        self.assertEqual(wait_gone(family + workers, 20), [])
        self.gh.wait_log(r"ended \d+ processes of a supervisor that died")
        self.assert_serves()
