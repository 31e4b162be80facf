"""A sample of what `make minimal` does for every right of every policy: a rule
is taken away, and gatehouse no longer works."""

import importlib.util
import os
import unittest

import harness
from harness import needs_root

spec = importlib.util.spec_from_file_location(
    "minimal", os.path.join(harness.TREE, "tests/policy/minimal.py"))
minimal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(minimal)


class Minimal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dove = harness.Dovecot()
        cls.addClassCleanup(harness.reap_orphans)
        cls.addClassCleanup(cls.dove.close)
        cls.dove.start()

    def right(self, policy, call, element=None):
        found = [r for r in minimal.rights_of(policy) if r.call == call and r.element == element]
        self.assertTrue(found, f"{policy} has no {call} {element}")
        return found[0]

    def test_the_table_has_every_right(self):
        """docs/minimality.md: `minimal.py --new -o docs/minimality.md` tries what is new."""
        rows = minimal.known(os.path.join(harness.TREE, "docs/minimality.md"))
        rights = [r for policy in minimal.ORDER for r in minimal.rights_of(policy)]
        self.assertGreater(len(rights), 150)
        self.assertEqual([f"{r.policy}: {r.name()}" for r in rights
                          if minimal.key_of(r) not in rows], [])
        self.assertEqual({v[0] for v in rows.values()},
                         {"needed", "inherited", "elsewhere", "kept"})

    @needs_root("policies are tried with all accounts")
    def test_rules_that_are_needed(self):
        for policy, call, element, says in (
                ("login", "getrandom", None, "login is killed by SIGSYS"),
                ("auth-client", "connect", None, "gatehouse-auth is killed by SIGSYS"),
                ("tls-proxy", "ppoll", None, "login is killed by SIGSYS"),
                ("key-signer", "epoll_ctl", "EPOLL_CTL_ADD", "gatehouse-keys is killed by SIGSYS")):
            with self.subTest(policy=policy, call=call):
                verdict, test, what = minimal.judge(self.dove, self.right(policy, call, element))
                self.assertEqual(verdict, "needed", (test, what))
                self.assertIn(says, what)

    @needs_root("policies are tried with all accounts")
    def test_what_a_later_filter_needs_is_inherited(self):
        verdict, _, what = minimal.judge(self.dove, self.right("template", "exit_group"))
        self.assertEqual(verdict, "inherited")
        self.assertIn("login has it, too: exit_group", what)


if __name__ == "__main__":
    unittest.main()
