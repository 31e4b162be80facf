"""Every number of a calling convention, in the place of a worker: a process dies at each
number that its policy forbids, and the next connection goes on behind it."""

import errno

import escape
import judge

NUMBERS = 620
ABIS = {"SWEEP-64": "n", "SWEEP-X32": "3", "SWEEP-I386": "i"}
KNOWN = (335, 336)              # the kernel passes them by every filter
ALL = (2 ** 64 - 1,) * 6


def sweep(stage, row, phase, text):
    abi, number, reached, wrong, faults = ABIS[row], 0, [], [], 0
    out = escape.Result()
    while number < NUMBERS:
        r = stage.attempt(f"sweep:{abi}:{number:x}:{NUMBERS - 1:x} {phase}")
        for n, rv in r.returned:
            if not (n in KNOWN and abi == "n"):
                reached.append((n, rv))
                if text.kills(phase, abi, n, ALL):
                    wrong.append(f"{n} came back with {rv}, and the policy kills it")
        if r.verdict in ("BLOCKED", None) and not r.calls:
            break
        last = r.calls[-1][1] if r.calls else NUMBERS
        if r.verdict == "KILLED" and not text.kills(phase, abi, last, r.calls[-1][2]):
            wrong.append(f"{last} was killed, and the policy allows it")
        if r.verdict == "CRASH" and not (last in KNOWN and abi == "n"):
            faults += 1
            if faults > 3 and abi == "i":
                out.verdict, out.err = r.verdict, r.err
                return out, judge.Verdict(True, True, "int 0x80 faults on this machine", "-")
        if r.verdict == "HUNG":
            wrong.append(f"{last} hangs")
        number = last + 1 if r.verdict != "BLOCKED" else NUMBERS
    names = ", ".join(f"{n} ({errno.errorcode.get(-rv, rv)})" for n, rv in reached)
    out.verdict = "OPEN" if reached else "BLOCKED"
    out.note = f"{len(reached)} of {NUMBERS} numbers reachable" + (f": {names}" if names else "")
    return out, judge.Verdict(not wrong, False, "; ".join(wrong[:5]),
                              "what the policy allows, and no more")
