"""What the manuals say about policies is true: every example in
gatehouse.policy(5) and gatehouse-confine(1) works as it stands, and every word of
the language is explained."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from gatehouse import TREE

GATEHOUSE = os.path.join(TREE, "build/bin/gatehouse")


def source(path):
    with open(os.path.join(TREE, path)) as f:
        return f.read()


def blocks(manual):
    """The literal displays."""
    return [b.replace("\\e", "\\") for b in
            re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", manual, re.M)]


def commands(manual):
    """What stands behind a prompt of one line."""
    return [m.replace("\\e", "\\") for m in re.findall(r"^\.Dl \$ (.*)$", manual, re.M)]


class Manual(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="gh-manual.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir)
        os.chmod(self.dir, 0o755)
        os.mkdir(os.path.join(self.dir, "bin"))
        os.symlink(GATEHOUSE, os.path.join(self.dir, "bin/gatehouse"))

    def run_it(self, argv, **kw):
        return subprocess.run(argv, capture_output=True, text=True, cwd=self.dir, timeout=60,
                              stdin=subprocess.DEVNULL,
                              env={"PATH": f"{self.dir}/bin:/usr/bin:/bin"}, **kw)

    def policies(self, manual):
        """Writes the policies among the examples; their names."""
        names = []
        for text in blocks(manual):
            m = re.match(r"policy +(\S+)", text)
            if m:
                names.append(m[1])
                with open(os.path.join(self.dir, f"{m[1]}.policy"), "w") as f:
                    f.write(text)
        return names

    def test_policies_compile(self):
        for path, least in (("src/policy/gatehouse.policy.5", 1),
                            ("src/confine/gatehouse-confine.1", 1)):
            names = self.policies(source(path))
            self.assertGreaterEqual(len(names), least)
            for name in names:
                with self.subTest(path=path, policy=name):
                    r = self.run_it(["gatehouse", "policy", "check", f"./{name}.policy"])
                    self.assertEqual(r.returncode, 0, r.stderr)
                    self.assertIn("good", r.stdout)

    def test_policy_commands_run(self):
        lines = [c for c in commands(source("src/policy/gatehouse.policy.5"))
                 if c.startswith("gatehouse policy ")]
        self.assertGreaterEqual(len(lines), 3)
        for line in lines:
            with self.subTest(line):
                words = shlex.split(line)
                r = self.run_it(words[:3] + ["-d", os.path.join(TREE, "policy")] + words[3:])
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_narrowing_at_a_site(self):
        """The session with cp, vi and diff: its line of output is what comes out."""
        session = next(b for b in blocks(source("src/policy/gatehouse.policy.5")) if "# vi " in b)
        told = [line for line in session.splitlines() if line.startswith("- ")]
        change = re.search(r"# vi .*# (count <= \d+)", session)[1]
        text = source("policy/login.policy")
        self.assertIn("count <= 256", text)
        with open(os.path.join(self.dir, "login.policy"), "w") as f:
            f.write(text.replace("count <= 256", change))
        r = self.run_it(["gatehouse", "policy", "diff", os.path.join(TREE, "policy/login.policy"),
                         "./login.policy"])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual([x for x in r.stdout.splitlines() if x.startswith(("-", "+"))], told)

    def test_statements_are_explained(self):
        manual = source("src/policy/gatehouse.policy.5")
        table = source("src/policy/parse.c").partition("} statements[] = {")[2].partition("};")[0]
        names = re.findall(r'^    \{"([\w-]+)", \w+,', table, re.M)
        self.assertEqual(len(names), 22)
        for name in names:
            self.assertRegex(manual, rf"(?m)^\.It Cm {name}\b", name)

    def test_words_are_explained(self):
        manual = source("src/policy/gatehouse.policy.5")
        names = source("src/policy/names.c")
        for table in ("policy_ns_words", "policy_need_words", "policy_account_words",
                      "policy_limit_words", "policy_fd_type_words"):
            part = names.partition(f"{table}[]")[2].partition("};")[0]
            words = re.findall(r'\{"([\w-]+)"', part)
            self.assertGreater(len(words), 2, table)
            for word in words:
                self.assertRegex(manual, rf"(?<![\w-]){re.escape(word)}(?![\w-])", f"{table}: {word}")
        filters = re.findall(r'= "([\w-]+)"', source("src/ipc/filters.c").partition("slot_names[")[2]
                             .partition("};")[0])
        self.assertEqual(len(filters), 6)
        for name in filters:
            self.assertIn(f"@{name}", manual)

    def test_confine_examples_run(self):
        manual = source("src/confine/gatehouse-confine.1")
        self.policies(manual)
        for name in ("xz.policy", "openssl-server.policy", "python.policy"):
            self.assertIn(name, manual)
            shutil.copy(os.path.join(TREE, "policy/examples", name), self.dir)
        r = self.run_it(["gatehouse", "confine", "./offline.policy", "sh", "-c",
                         "wc -l < /proc/net/dev"])
        self.assertEqual(r.returncode, 0, r.stderr)
        lines = [c for c in commands(manual) if "confine" in c and "offline" not in c]
        self.assertEqual(len(lines), 1)
        packed = subprocess.run(["xz"], input=b"hello\n", capture_output=True, check=True).stdout
        with open(os.path.join(self.dir, "in.xz"), "wb") as f:
            f.write(packed)
        r = self.run_it(["sh", "-c", lines[0].replace("~", self.dir)])
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(os.path.join(self.dir, "out")) as f:
            self.assertEqual(f.read(), "hello\n")


if __name__ == "__main__":
    unittest.main()
