# check: also as an ordinary user
"""Starting, and refusing to start: status and words."""

import os
import re
import socket
import subprocess
import unittest

import harness
from harness import Certificate, StartError, SystemTest
from procs import Process

EX_USAGE, EX_UNAVAILABLE, EX_CONFIG = 64, 69, 78


class Command(SystemTest):
    started = False

    def run_it(self, *args, seconds=60):
        return subprocess.run([self.gh.program, *args], capture_output=True, text=True,
                              timeout=seconds, stdin=subprocess.DEVNULL)

    def configured(self, text):
        path = os.path.join(self.gh.dir, f"{self.id().rsplit('.', 1)[1]}.conf")
        with open(path, "w") as f:
            f.write(text)
        return path

    def test_version_help_usage(self):
        r = self.run_it("--version")
        self.assertEqual(r.returncode, 0)
        self.assertRegex(r.stdout, r"^gatehouse \d+\.\d+")
        self.assertEqual(self.run_it("--help").returncode, 0)
        for wrong in (["--frob"], ["frob"]):
            r = self.run_it(*wrong)
            self.assertEqual(r.returncode, EX_USAGE)
            self.assertIn("usage:", r.stderr)

    def test_check_says_what_would_be_enforced(self):
        r = self.run_it("check", "-c", self.gh.conf)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        for word in ("landlock", "seccomp", "namespace"):
            self.assertIn(word, r.stdout)
        self.assertEqual([p for p in Process(os.getpid()).children()
                          if p.comm().startswith("gatehouse")], [])

    def test_config_prints_settings_that_it_reads_again(self):
        r = self.run_it("config", "-c", self.gh.conf)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("service_count = 1", r.stdout)
        again = self.run_it("config", "-c", self.configured(r.stdout))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(again.stdout, r.stdout)
        short = self.run_it("config", "-n", "-c", self.gh.conf)
        self.assertIn("listen = ", short.stdout)
        self.assertLess(len(short.stdout), len(r.stdout))

    def test_unknown_setting(self):
        with open(self.gh.conf) as f:
            lines = f.read().splitlines()
        path = self.configured("\n".join(lines + ["login_greting = hello"]) + "\n")
        for command in (["check"], ["config"], []):
            with self.subTest(command):
                r = self.run_it(*command, "-c", path, *([] if command else ["-F"]))
                self.assertEqual(r.returncode, EX_CONFIG)
                self.assertIn(f"{path}:{len(lines) + 1}", r.stderr + r.stdout)
                self.assertIn("login_greeting", r.stderr + r.stdout)

    def test_missing_configuration(self):
        r = self.run_it("-F", "-c", "/nonexistent/gatehouse.conf")
        self.assertEqual(r.returncode, EX_CONFIG)
        self.assertIn("/nonexistent/gatehouse.conf", r.stderr)

    def test_1_x_names_get_a_notice_with_todays_name(self):
        with open(self.gh.conf) as f:
            text = f.read()
        r = self.run_it("config", "-c", self.configured(
            text + "login_process_per_connection = no\n"))
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("service_count", r.stderr)


class Refusals(SystemTest):
    started = False

    def refused(self, gh=None):
        gh = gh or self.gh
        with self.assertRaises(StartError) as e:
            gh.start()
        self.assertEqual([p for p in Process(os.getpid()).children()
                          if p.alive() and p.comm().startswith("gatehouse")], [])
        return e.exception.status, e.exception.log

    def changed(self, **changes):
        gh = self.make_gatehouse()
        self.addCleanup(gh.close)
        gh.write_config(**changes)
        return gh

    def test_missing_certificate(self):
        status, log = self.refused(self.changed(
            cert=Certificate.existing("/nonexistent.pem", self.gh.cert.key)))
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("/nonexistent.pem", log)

    def test_key_of_another_certificate(self):
        other = Certificate(self.gh.dir, "other")
        status, log = self.refused(self.changed(
            cert=Certificate.existing(self.gh.cert.cert, other.key)))
        self.assertNotEqual(status, 0)
        self.assertIn(other.key, log)

    def test_key_that_is_none(self):
        path = os.path.join(self.gh.dir, "garbage.key")
        with open(path, "w") as f:
            f.write("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        status, log = self.refused(self.changed(
            cert=Certificate.existing(self.gh.cert.cert, path)))
        self.assertNotEqual(status, 0)
        self.assertIn(path, log)

    def test_busy_port(self):
        with socket.socket() as s:
            gh = self.changed()
            s.bind(gh.server("imaps"))
            s.listen()
            status, log = self.refused(gh)
        self.assertEqual(status, EX_UNAVAILABLE)
        self.assertIn(str(gh.ports["imaps"]), log)

    @harness.needs_root("accounts are root's to choose")
    def test_accounts_must_differ(self):
        gh = self.changed(keep_ids=True,
                          settings="default_keys_user = 64601\ndefault_internal_user = 64601")
        status, log = self.refused(gh)
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("three different accounts", log)

    @harness.needs_root("accounts are root's to choose")
    def test_root_is_no_account(self):
        status, log = self.refused(self.changed(settings="default_login_user = root"))
        self.assertEqual(status, EX_CONFIG)

    def test_tiny_vsz_limit(self):
        status, log = self.refused(self.changed(imap_login="vsz_limit = 8M"))
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("vsz_limit", log)

    def test_policy_that_widens(self):
        """A site's policy may only narrow."""
        site = os.path.join(self.gh.dir, "policy")
        os.mkdir(site)
        with open(os.path.join(harness.TREE, "policy/tls-proxy.policy")) as f:
            text = f.read()
        wider = re.sub(r"(?m)^(allow exit_group)", r'allow getuid why "a test"' + "\n" + r"\1",
                       text)
        self.assertNotEqual(wider, text)
        with open(os.path.join(site, "tls-proxy.policy"), "w") as f:
            f.write(re.sub(r"(?m)^budget.*$", "", wider))
        status, log = self.refused(self.changed(settings=f"site_policy_dir = {site}"))
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("tls-proxy", log)


@unittest.skipIf(harness.ROOT, "needs an ordinary user: that is who depends on user namespaces")
class NoUserNamespaces(SystemTest):
    """Where they are forbidden a required layer is missing: no start, unless the
    configuration names what may be missing."""

    started = False

    @classmethod
    def make_gatehouse(cls, **kw):
        gh = super().make_gatehouse(**kw)
        # A user namespace of its own, in which no further one can be made.
        script = os.path.join(gh.dir, "without")
        uid, gid = os.getuid(), os.getgid()
        with open(script, "w") as f:
            f.write(f"""#!/bin/sh
exec unshare --user --map-user={uid} --map-group={gid} --keep-caps sh -c '
echo 0 > /proc/sys/user/max_user_namespaces &&
exec setpriv --inh-caps=-all --ambient-caps=-all {gh.program} "$@"' sh "$@"
""")
        os.chmod(script, 0o755)
        gh.program = script
        return gh

    def test_refuses_with_the_way_out(self):
        with self.assertRaises(StartError) as e:
            self.gh.start()
        self.assertEqual(e.exception.status, EX_CONFIG)
        self.assertIn("confine_optional", e.exception.log)

    def test_starts_with_what_remains(self):
        gh = self.make_gatehouse(
            settings="confine_optional = user mount net pid ipc uts cgroup root")
        self.addCleanup(gh.close)
        gh.start()
        with harness.Imap(gh.server("imaps"), tls=True) as c:
            self.assertTrue(c.login().startswith("OK"))
        for name in ("launcher", "auth", "keys"):
            s = gh.helper(name).status()
            self.assertEqual((s["Seccomp"], s["NoNewPrivs"]), ("2", "1"), name)
