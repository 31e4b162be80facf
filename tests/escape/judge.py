"""Is a result as expected?  Follows the text of the policy under test: a call that came
back must be one that the policy allows, and a process that was killed must have died of
one that it does not."""

import collections
import os

import escape

Verdict = collections.namedtuple("Verdict", "good skip why expected")
HERE = os.path.dirname(os.path.abspath(__file__))


def accepted():
    """(phase, id) -> reason: doors that are open by design."""
    out = {}
    with open(f"{HERE}/accepted") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                phase, row, reason = line.strip().split(None, 2)
                out[phase, row] = reason
    return out


ACCEPTED = accepted()
USED = set()                    # of them: those that were open


def by_design(phase, row, result):
    """Why this door may be open, or None."""
    key = (phase, row["id"])
    if key in ACCEPTED and result.verdict == "OPEN":
        USED.add(key)
    return ACCEPTED.get(key)


def follows_text(phase, result, text):
    """None, or where kernel and policy differ."""
    calls = [c for c in result.calls if c[0] in "ni3"]
    if result.verdict == "KILLED" and result.calls and result.calls[-1][0] != "v":
        last = calls.pop()
        if not text.kills(phase, *last):
            return f"killed at call {last[1]}, which the policy allows"
    for c in calls[:-1] if result.verdict == "CRASH" else calls:
        if text.kills(phase, *c) and c[1] not in (335, 336):
            return f"call {c[1]} came back, and the policy kills it"
    return None


def full(row, phase, result, text, control):
    flags = row["flags"]
    if result.verdict == "CRASH" and control == result.text() and not flags & escape.T_CRASH:
        return Verdict(True, True, f"control: {control}: this machine has no such instruction",
                       "-")
    differs = follows_text(phase, result, text)
    if differs:
        return Verdict(False, False, differs, "as the policy says")
    if result.verdict == "SKIP":
        return Verdict(True, True, result.note, "-")
    if flags & escape.T_KNOWN:
        good = result.verdict in ("KILLED", "OPEN", "ERRNO", "CRASH")
        return Verdict(good, False, "the kernel passes it by seccomp", "known exception")
    if flags & escape.T_CRASH:
        return Verdict(result.verdict in ("CRASH", "KILLED"), False, "", "CRASH or KILLED")
    if flags & escape.T_INFO:
        return Verdict(True, False, "", "any")
    if result.verdict == "OPEN":
        reason = by_design(phase, row, result)
        return Verdict(reason is not None, False, reason or "a way out", "not OPEN")
    if result.verdict in ("HUNG", "CRASH"):
        return Verdict(False, False, result.note, "KILLED")
    return Verdict(True, False, "", "KILLED, or what the policy allows without effect")


def walls(row, config, phase, result, control, lacks):
    """Without seccomp: the walls that the table names hold, and no others are claimed.
    (A row of which the table says that only seccomp stands has to be open in login's
    place; elsewhere there may be nothing to try it on.)"""
    reason = by_design(f"S-/{phase}", row, result)
    if reason and (config == "S-" or result.verdict == "OPEN"):
        return Verdict(result.verdict == "OPEN", False, reason, "OPEN")
    if result.verdict == "SKIP":
        return Verdict(True, True, result.note, "-")
    if row["flags"] & (escape.T_INFO | escape.T_KNOWN | escape.T_CRASH):
        return Verdict(result.verdict != "HUNG", False, "", "any")
    if control is not None and control != "OPEN" and result.verdict != "OPEN":
        return Verdict(True, True, f"control: {control}: this proves nothing here", "-")
    left = set(row["wall"].split()) - lacks - ({"LL"} if config == "L-" else set())
    if "HOST" in left:
        return Verdict(result.verdict in ("OPEN", "ERRNO", "BLOCKED"), False, "", "host's setting")
    if left:
        # RLIMIT_FSIZE and RLIMIT_CPU end a process by a signal.
        bad = ("OPEN", "HUNG") if "RL" in left else ("OPEN", "HUNG", "CRASH")
        return Verdict(result.verdict not in bad, False,
                       "held by " + " ".join(sorted(left)), "not OPEN")
    return Verdict(result.verdict == "OPEN" or phase != "login", False,
                   "nothing but seccomp stands here" if config == "S-"
                   else "Landlock and seccomp stand here", "OPEN")


def judge(row, config, phase, result, text, control, lacks=frozenset()):
    if config == "F":
        return full(row, phase, result, text, control)
    return walls(row, config, phase, result, control, lacks)
