"""tests/escape/ids names every technique: is each tried where it says?"""

import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)


def entries():
    """(id, how, rest) for each line."""
    with open(os.path.join(HERE, "ids")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                words = line.split(None, 2)
                yield words[0], words[1], words[2].strip() if len(words) > 2 else ""


def names_in(path):
    """Classes, functions, and what a file says in quotes as a whole word."""
    try:
        with open(path) as f:
            text = f.read()
    except FileNotFoundError:
        return set()
    return set(re.findall(r"^\s*(?:class |def |cmocka_unit_test\()(\w+)", text, re.M))


def wrong(how, rest, here, rows, phases):
    """None, or what the line promises and is not there."""
    if how == "skip":
        return None if len(rest) > 20 else "no reason"
    if how == "probe":
        return None if here in rows else "the probe has no such row"
    if how == "as":
        lost = [w for w in rest.split() if w not in rows]
        return f"the probe has no row {lost}" if lost or not rest else None
    if how == "suite":
        found = rest in phases or any(rest in names_in(os.path.join(HERE, f))
                                      for f in os.listdir(HERE))
        return None if found else f"there is no {rest}"
    if how == "outside":
        want = here.replace("-", "_")
        found = any(f"_{want}_" in f"_{n}_" for n in names_in(f"{HERE}/outside.py"))
        return None if found else "outside.py has no such test"
    if how == "tests":
        file, name = rest.split()
        return None if name in names_in(os.path.join(TESTS, file)) else f"{file} has no {name}"
    return f"unknown word {how}"


def check(table, phases):
    """(id, skip or "", what is wrong or None) for each technique; rows without an entry."""
    rows = {r["id"].split(".")[0] for r in table}
    known, out = set(), []
    for here, how, rest in entries():
        bad = "named twice" if here in known else wrong(how, rest, here, rows, phases)
        known.add(here)
        out.append((here, rest if how == "skip" else "", bad))
    out += [(r, "", "a row that tests/escape/ids does not name") for r in sorted(rows - known)]
    return out
