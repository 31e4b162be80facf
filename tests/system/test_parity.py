"""docs/parity.md: all rows are there, and the tests that it names exist."""

import ast
import os
import re
import unittest

TREE = os.environ.get("GATEHOUSE_TREE") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
STATES = ("yes", "partly", "open", "differs")


def classes(path):
    """{class: names of its tests}, with what its bases in the same file give it."""
    with open(path, encoding="utf-8") as f:
        found = {n.name: n for n in ast.parse(f.read()).body if isinstance(n, ast.ClassDef)}

    def tests(name):
        if name not in found:
            return set()
        own = {f.name for f in found[name].body
               if isinstance(f, ast.FunctionDef) and f.name.startswith("test")}
        return own.union(*(tests(b.id) for b in found[name].bases if isinstance(b, ast.Name)))
    return {name: tests(name) for name in found}


def exists(name):
    if name.startswith("unit/"):
        return os.path.isfile(os.path.join(TREE, "tests", f"{name}.c"))
    file, cls, *test = name.split(".")
    path = os.path.join(TREE, "tests/system", f"{file}.py")
    if not os.path.isfile(path):
        return False
    known = classes(path)
    return cls in known and (not test or test[0] in known[cls])


class Parity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(TREE, "docs/parity.md"), encoding="utf-8") as f:
            cls.rows = [[c.strip() for c in line.strip("|\n").split("|")]
                        for line in f if re.match(r"\| \d+ \|", line)]

    def test_every_row_once(self):
        self.assertEqual([int(r[0]) for r in self.rows], list(range(1, 70)))
        for r in self.rows:
            with self.subTest(r[0]):
                self.assertEqual(len(r), 5, r)
                self.assertIn(r[2], STATES)
                if r[2] in ("yes", "partly"):
                    self.assertTrue(r[3], "no test shows it")
                if r[2] in ("partly", "differs"):
                    self.assertTrue(r[4], "no note says what is missing, or why")

    def test_named_tests_exist(self):
        named = {t for r in self.rows for t in re.split(r",\s*", r[3]) if t}
        self.assertGreater(len(named), 30)
        self.assertEqual([t for t in sorted(named) if not exists(t)], [])
