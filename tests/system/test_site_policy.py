"""A site's own policies: narrower ones are taken and in force, wider ones
refused with the rule, or taken with policy_allow_widen and said aloud."""

import os
import re
import subprocess

import harness
from harness import StartError, SystemTest, needs_root

EX_CONFIG = 78


def shipped(name):
    with open(os.path.join(harness.TREE, f"policy/{name}.policy")) as f:
        return f.read()


def changed(name, pattern, new):
    """The shipped text with one thing changed."""
    text, n = re.subn(pattern, new, shipped(name), flags=re.M)
    assert n == 1, f"{name}: {pattern} found {n} times"
    return text


class SitePolicy(SystemTest):
    started = False

    def site(self, *files, settings="", gh=None):
        gh = gh or self.make_gatehouse()
        self.addCleanup(gh.close)
        where = os.path.join(gh.dir, "site")
        os.makedirs(where, exist_ok=True)
        for name, text in files:
            with open(os.path.join(where, f"{name}.policy"), "w") as f:
                f.write(text)
        gh.write_config(settings=f"site_policy_dir = {where}\n{settings}")
        return gh

    def check(self, gh):
        r = subprocess.run([gh.program, "check", "-c", gh.conf], capture_output=True, text=True,
                           timeout=60, stdin=subprocess.DEVNULL)
        return r.returncode, r.stdout + r.stderr

    def fingerprints(self, gh, after=0):
        return dict(m.groups() for m in gh.find_log(r"policy ([\w-]+): ([0-9a-f]{16})", after))

    def assert_logs_in(self, gh, tls=True):
        with harness.Imap(gh.server("imaps" if tls else "imap"), tls=tls,
                          source=gh.address) as c:
            self.assertTrue(c.login().startswith("OK"))

    # Not to read the signer's answer ends every TLS handshake, and nothing else.
    NO_SIGNER = ("login", r"^(allow read +fd in \{client, auth), signer, mail\}", r"\1, mail}")

    def test_narrower_is_in_force(self):
        plain = self.site()
        plain.start()
        before = self.fingerprints(plain)
        self.assertEqual(len(before), 8)        # all but the supervisor's, which has no filter
        self.assert_logs_in(plain)
        gh = self.site((self.NO_SIGNER[0], changed(*self.NO_SIGNER)))
        status, text = self.check(gh)
        self.assertEqual(status, 0, text)
        self.assertIn(f"from {gh.dir}/site/login.policy", text)
        gh.start()
        now = self.fingerprints(gh)
        self.assertEqual({n for n in now if now[n] != before[n]}, {"login"})
        gh.wait_log(rf"policy login: {now['login']}, from {gh.dir}/site/login.policy")
        self.assertEqual(gh.find_log("WIDER"), [])
        self.assert_logs_in(gh, tls=False)
        with self.assertRaises((OSError, harness.ClientError)):
            self.assert_logs_in(gh)
        gh.wait_log(r"imap-login: .*SIGSYS|signal 31|system call")

    def test_a_reload_takes_it_and_refuses_a_wider_one(self):
        gh = self.site()
        gh.start()
        self.assert_logs_in(gh)
        before = self.fingerprints(gh)
        mark = gh.mark()
        self.site(("key-signer", changed("key-signer", r"count <= 256", "count <= 255")), gh=gh)
        gh.reload()
        after = self.fingerprints(gh, mark)
        self.assertEqual({n for n in after if after[n] != before[n]}, {"key-signer"})
        self.assert_logs_in(gh)
        self.site(("key-signer", changed("key-signer", r"count <= 256", "count <= 257")), gh=gh)
        self.assertRegex(gh.reload()[0], r"reload refused.*key-signer.policy:\d+:\d+: getrandom")
        self.assert_logs_in(gh)

    @needs_root("to read limits of processes that are not dumpable")
    def test_narrower_limits(self):
        gh = self.site(("auth-client", changed("auth-client", r"nofile 65536", "nofile 2048")))
        gh.start()
        self.assertEqual(gh.helper("auth").limits()["Max open files"], ("2048", "2048"))
        self.assert_logs_in(gh)

    WIDER = (
        # policy, what is changed, what the refusal names
        ("tls-proxy", r"^(allow exit_group)", 'allow getuid why "a test"\n\\1',
         r"tls-proxy.policy:\d+:7: getuid\("),
        ("login", r"count <= 256", "count <= 257", r"login.policy:\d+:7: getrandom\(.*0x101"),
        ("login", r"^(allow write +fd in \{log, )", r"\1 8, ", r"login.policy:\d+:\d+: .*8"),
        ("login", r"sigmask == 0", "", r"login.policy:\d+:7: ppoll\("),
        ("login", r"^errno 0 getpid", "allow getpid", r"login.policy:\d+:7: getpid\("),
        ("login", r"^default .*", "default errno EPERM", r"login.policy: default: wider"),
        ("login", r"net required", "net optional", r"login.policy: namespace net: wider"),
        ("login", r"^landlock .*", "landlock optional abi >= 1 allow nothing", "landlock: wider"),
        ("login", r"^landlock .*", "landlock off", "landlock: wider"),
        ("login", r"^default .*", "seccomp off", "seccomp off: wider"),
        ("login", r"  nproc 0", "", "limit nproc: wider"),
        ("login", r"  nofile 16", "  nofile 17", "limit nofile: wider"),
        ("login", r"^caps .*", "caps kill", "caps: wider"),
        ("login", r"^(identity) .*", r"\1 uid self gid login groups none", "identity: wider"),
        ("login", r"groups none", "groups keep", "groups: wider"),
        ("login", r"^root .*", "root host", "root: wider"),
        ("login", r"^fd 2 log.*", "fd 2 log pipe read write", "fd log: wider"),
        ("auth-client", r"^mdwe .*", "mdwe off", "mdwe: wider"),
        ("pool", r"^oom-score .*\n", "", "oom-score: wider"),
        ("pool", r"^oom-score  300", "oom-score 299", "oom-score: wider"),
        ("key-signer", r"^memory .*", "memory secret off", "memory secret: wider"),
    )

    def test_each_kind_of_wider_is_refused(self):
        gh = self.make_gatehouse()
        for name, pattern, new, says in self.WIDER:
            with self.subTest(f"{name}: {new or pattern}"):
                text = changed(name, pattern, new)
                text = re.sub(r"^budget.*", "budget syscalls 30 unpinned 30", text, flags=re.M)
                if "seccomp off" in new:
                    text = re.sub(r"^(allow|errno|budget) .*\n", "", text, flags=re.M)
                self.site((name, text), gh=gh)
                status, text = self.check(gh)
                self.assertEqual(status, EX_CONFIG, text)
                self.assertRegex(text, says)
                os.unlink(os.path.join(gh.dir, f"site/{name}.policy"))

    def test_start_is_refused(self):
        gh = self.site(("login", changed("login", r"count <= 256", "count <= 257")))
        with self.assertRaises(StartError) as e:
            gh.start()
        self.assertEqual(e.exception.status, EX_CONFIG)
        self.assertRegex(e.exception.log, r"login.policy:\d+:7: getrandom\(.*0x101")
        self.assertIn("policy_allow_widen = yes", e.exception.log)

    def test_a_file_that_is_wrong(self):
        gh = self.site(("login", shipped("login").replace("allow read ", "allow raed ")))
        status, text = self.check(gh)
        self.assertEqual(status, EX_CONFIG)
        self.assertRegex(text, r'site/login.policy:\d+:7: "raed" is no system call .*read')

    def test_wider_with_consent(self):
        gh = self.site(("auth-client", re.sub(
            r"(?m)^budget.*", "budget syscalls 12 unpinned 6",
            changed("auth-client", r"^(allow exit_group)", 'allow uname why "a test"\n\\1'))),
            settings="policy_allow_widen = yes")
        status, text = self.check(gh)
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"WIDER than the shipped one: .*auth-client.policy:\d+:7: uname")
        gh.start()
        said = r"Warning: policy auth-client is WIDER .*auth-client.policy:\d+:7: uname"
        self.assertEqual(len(gh.find_log(said)), 1)
        self.assert_logs_in(gh)
        mark = gh.mark()
        gh.reload()
        gh.wait_log(said, after=mark)

    def test_no_filter_with_consent(self):
        text = changed("key-signer", r"^default .*", "seccomp off")
        gh = self.site(("key-signer", re.sub(r"^(allow|errno|budget) .*\n", "", text, flags=re.M)),
                       settings="policy_allow_widen = yes")
        gh.start()
        gh.wait_log(r"Warning: policy key-signer is WIDER .*seccomp off")
        gh.wait_log(r"policy key-signer: seccomp off by policy")
        self.assert_logs_in(gh)
        start, auth = (int(gh.helper(n).status()["Seccomp_filters"]) for n in ("keys", "auth"))
        self.assertEqual(start + 1, auth, "the signer keeps the filter of its start alone")


