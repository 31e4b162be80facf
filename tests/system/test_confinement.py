# check: also as an ordinary user
"""What the kernel says about every process, before and after login."""

import contextlib
import os
import re
import time

import harness
from harness import SystemTest, eventually, needs_root
from procs import NAMESPACES, Process

BEFORE_LOGIN = [2, 3, 4, 5, 6]
REQUIRED_NS = ("mnt", "net", "pid", "ipc")


def scores(processes, name):
    """Of those that are still there."""
    out = {}
    for p in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{p.pid}/{name}") as f:
                out[p] = int(f.read())
    return out


class Walls:
    """Checks of one process; used for each model."""

    def assert_walls(self, p, what):
        s = p.status()
        self.assertTrue(s, f"{what} {p} is gone")
        self.assertEqual(s["Seccomp"], "2", what)
        self.assertEqual(s["NoNewPrivs"], "1", what)
        for name, bits in p.caps().items():
            self.assertEqual(bits, 0, f"{what}: {name}")
        self.assertEqual(s["Threads"], "1", what)
        if harness.ROOT:
            self.assertNotEqual(p.uid(), 0, what)
            self.assertEqual(s["Groups"].strip(), "", what)
            self.assert_seen_by_root(p, what)

    def assert_seen_by_root(self, p, what):
        own, seen = Process(os.getpid()).namespaces(), p.namespaces()
        for ns in NAMESPACES:
            if ns in REQUIRED_NS or ns in own:
                self.assertNotEqual(seen[ns], own[ns], f"{what}: {ns} namespace")
        # Not dumpable: its files in /proc are root's.
        self.assertEqual(os.stat(f"/proc/{p.pid}/mem").st_uid, 0, f"{what} is dumpable")
        limits = p.limits()
        self.assertEqual(limits["Max core file size"], ("0", "0"), what)
        self.assertEqual(limits["Max file size"], ("0", "0"), what)

    def assert_worker(self, p, what):
        self.assert_walls(p, what)
        if not harness.ROOT:
            return
        self.assertEqual(p.root_entries(), [], what)
        self.assertEqual(p.limits()["Max processes"], ("0", "0"), what)
        self.assertFalse([m for m in p.maps() if "rwx" in m.split()[1]], what)

    def test_workers_go_first_when_memory_runs_out(self):
        """Whoever a client can reach, before and after his login, before all that others need."""
        self.imap(tls=True), self.imap(tls=False), self.pop3(tls=True)
        self.logged_in().command("NOOP")
        others = [self.gh.process, *(self.gh.helper(n) for n in ("launcher", "auth", "keys"))]
        pids = {p.pid for p in others}
        workers = [p for p in self.gh.process.descendants() if p.pid not in pids]
        # one that has just been forked has the launcher's argv, and its own score already
        self.assertEqual({a for p in workers for a in p.argv()[1:2]}, self.models)
        for which in ("oom_score_adj", "oom_score"):
            def seen(which=which):
                return scores(workers, which), scores(others, which)

            def apart(seen=seen):        # in the middle of a fork the launcher has its child's
                theirs, needed = seen()
                self.assertEqual(len(needed), 4)
                return min(theirs.values()) > max(needed.values())

            self.assertTrue(eventually(apart), (which, seen()))

    def one_worker(self, act):
        before = self.gh.workers()
        c = act()
        return c, self.new_workers(before)[0]


class Fork(Walls, SystemTest):
    models = {"template"}

    def test_helpers(self):
        c = self.logged_in()
        for name in ("launcher", "auth", "keys"):
            self.assert_walls(self.gh.helper(name), name)
        c.close()

    def test_every_process_has_its_own_namespaces_where_it_must(self):
        if not harness.ROOT:
            self.skipTest("needs root: to see the namespaces of non-dumpable processes")
        nets = {n: self.gh.helper(n).namespaces()["net"] for n in ("launcher", "auth", "keys")}
        self.assertEqual(len(set(nets.values())), 3, nets)

    @needs_root("to see roots")
    def test_roots(self):
        self.assertEqual(self.gh.helper("launcher").root_entries(), [])
        self.assertEqual(self.gh.helper("keys").root_entries(), [])
        self.assertEqual(sorted(self.gh.helper("auth").root_entries()),
                         sorted(os.listdir(self.dovecot.sock)))

    @needs_root("different accounts")
    def test_accounts_differ(self):
        uids = {n: self.gh.helper(n).uid() for n in ("launcher", "auth", "keys")}
        self.assertEqual(len(set(uids.values())), 3, uids)
        self.assertEqual(uids["keys"], harness.KEYS_ID)

    def test_template(self):
        self.assert_serves()
        t = eventually(lambda: self.gh.templates("imap"))
        self.assertTrue(t, self.gh.logins())
        self.assert_walls(t[0], "template")
        if harness.ROOT:
            self.assertEqual(t[0].root_entries(), [])

    def test_worker_before_login(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                c, w = self.one_worker(lambda: self.imap(tls=tls))
                self.assert_worker(w, "worker before login")
                self.assertEqual(self.gh.depth(w), 2, "template and login filters")
                if harness.ROOT:
                    self.assertEqual(sorted(w.fds()), BEFORE_LOGIN)
                c.close()

    def test_worker_after_login(self):
        c, w = self.one_worker(lambda: self.imap(tls=True))
        self.assertTrue(c.login().startswith("OK"))
        self.assertTrue(eventually(lambda: self.gh.depth(w) == 3), "the tls-proxy filter")
        self.assert_worker(w, "worker after login")
        if harness.ROOT:
            self.assertLessEqual(set(w.fds()), set(BEFORE_LOGIN))
        self.assertIn(b"Welcome", self.fetch_welcome(c))

    def test_worker_is_out_of_the_way_after_a_plaintext_login(self):
        c, w = self.one_worker(lambda: self.imap(equal=True))
        self.assertTrue(c.login().startswith("OK"))
        self.assertTrue(eventually(lambda: not w.alive()))
        self.assertIn(b"Welcome", self.fetch_welcome(c))

    @needs_root("to read memory maps")
    def test_nothing_is_writable_and_executable(self):
        self.assert_serves()
        for p in [self.gh.helper(n) for n in ("launcher", "auth", "keys")] + self.gh.templates():
            bad = [m for m in p.maps() if {"w", "x"} <= set(m.split()[1])]
            self.assertEqual(bad, [], p)

    def test_launch_report_is_in_the_log(self):
        self.assert_serves()
        for name in ("gatehouse-launcher", "gatehouse-auth", "gatehouse-keys",
                     "gatehouse-login imap"):
            line = self.gh.wait_log(rf"{name}.*: .*landlock \w+.*")[0]
            self.assertRegex(line, r"seccomp")

    @needs_root("supervisor keeps capabilities only as root")
    def test_supervisor_keeps_only_what_its_policy_says(self):
        names = {0: "chown", 5: "kill", 6: "setgid", 7: "setuid", 8: "setpcap", 10: "bind",
                 21: "sysadmin"}
        caps = self.gh.process.caps()
        held = {names.get(n, str(n)) for n in range(64) if caps["CapEff"] >> n & 1}
        self.assertLessEqual({"kill", "setgid", "setuid", "bind"}, held)
        self.assertLessEqual(held, {"kill", "setgid", "setuid", "bind", "setpcap", "sysadmin"})
        self.assertEqual(self.gh.process.status()["NoNewPrivs"], "1")


class Exec(Walls, SystemTest):
    models = {"exec"}
    settings = "worker_spawn = exec"

    def test_worker_before_and_after_login(self):
        """Of those that wait and the one that serves, all stand behind the same walls."""
        c = self.imap(tls=True)
        seen = 0
        for w in self.gh.workers():
            # one may just have been started: its last filter comes last
            eventually(lambda w=w: self.gh.depth(w) == 1 or not w.alive())
            try:
                self.assert_walls(w, "exec'd worker")
                seen += 1
            except (AssertionError, KeyError):
                if w.alive():           # not of a test before this one, and gone by now
                    raise
        self.assertGreater(seen, 0)
        self.assertTrue(c.login().startswith("OK"))
        served = eventually(lambda: [w for w in self.gh.workers() if self.gh.depth(w) == 2])
        self.assertTrue(served, "the tls-proxy filter")
        self.assert_worker(served[0], "exec'd worker after login")
        if harness.ROOT:
            self.assertLessEqual(set(served[0].fds()), set(BEFORE_LOGIN))

    @needs_root("to write another account's oom_score_adj")
    def test_a_score_is_never_lowered(self):
        launcher = self.gh.helper("launcher")
        # the launcher's own may be that of a worker at the moment
        before = scores([self.gh.process], "oom_score_adj")[self.gh.process]

        def score_of_a_new_worker(launchers):
            def put():                  # not in the middle of a fork
                with open(f"/proc/{launcher.pid}/oom_score_adj", "w") as f:
                    f.write(str(launchers))
                time.sleep(0.05)
                return stays()

            def stays():
                return scores([launcher], "oom_score_adj")[launcher] == launchers

            self.assertTrue(eventually(put))
            known = {p.pid for p in self.gh.process.descendants()}
            for _ in range(3):          # one or two were waiting already
                self.imap(tls=True)
            new = [p for p in self.gh.process.descendants() if p.pid not in known]
            self.assertTrue(eventually(stays), "the launcher keeps the score of a worker")
            return set(scores(new, "oom_score_adj").values())

        self.assertEqual(score_of_a_new_worker(700), {700})
        self.assertEqual(score_of_a_new_worker(before), {max(before, 300)})

    @needs_root("to read memory maps")
    def test_each_worker_has_a_layout_of_its_own(self):
        before = self.gh.workers()
        for _ in range(3):
            self.logged_in()
        proxied = eventually(lambda: (w := [x for x in self.gh.workers()
                                            if self.gh.depth(x) == 2]) and len(w) >= 3 and w)
        self.assertTrue(proxied, before)
        stacks = {next(m for m in w.maps() if "[stack]" in m).split("-")[0] for w in proxied}
        self.assertEqual(len(stacks), len(proxied))


class Pooled(Walls, SystemTest):
    models = {"pool", "template"}
    imap_login = "service_count = 0"

    def test_pooled_worker(self):
        c = self.logged_in()
        d = self.imap(tls=True)
        for w in self.gh.workers():
            if w.argv()[2:3] == ["imap"]:
                # one may just have been started: its last filter comes last
                self.assertTrue(eventually(lambda: self.gh.depth(w) == 1))  # noqa: B023
                self.assert_walls(w, "pooled worker")
                if harness.ROOT:
                    self.assertEqual(w.root_entries(), [])
                    self.assertEqual(w.limits()["Max processes"], ("0", "0"))
        self.assertTrue(c.command("NOOP")[1].startswith("OK"))
        self.assertTrue(d.command("NOOP")[1].startswith("OK"))
