"""SWEEP-ARG and the full SWEEP-FD: what the kernel takes of each pinned argument.

The pins stand here a second time, by hand, so that a mistake of the policy compiler is
not judged by the compiler."""

import concurrent.futures
import contextlib

import escape
import judge

STAGES = 4                      # gatehouses at a time
X86 = escape.os.uname().machine == "x86_64"
READ, WRITE, PPOLL, GETRANDOM, SECCOMP, EXIT = (
    (0, 1, 271, 318, 317, 231) if X86 else (63, 64, 73, 278, 277, 94))
TLS_PROXY = 0x20000000          # FILTER_ADDR(FILTER_TLS_PROXY), ipc/filters.h
DATA = 0x20000FF0               # zeros behind a filter: a deadline that is over
WORD = 1 << 64

# phase -> call -> (harmless arguments that are allowed, argument -> is this value allowed)
PINS = {
    "login": {
        READ: ((3, 0, 0), {0: lambda v: v in (3, 4, 5, 6)}),
        WRITE: ((3, 0, 0), {0: lambda v: v in (2, 3, 4, 5, 6)}),
        PPOLL: ((0, 0, DATA, 0, 8), {1: lambda v: v <= 4, 3: lambda v: v == 0}),
        GETRANDOM: ((0, 0, 0), {1: lambda v: v <= 256, 2: lambda v: v == 0}),
        SECCOMP: ((1, 0, TLS_PROXY), {0: lambda v: v == 1, 1: lambda v: v == 0,
                                      2: lambda v: v == TLS_PROXY}),
    },
    "tls-proxy": {
        READ: ((3, 0, 0), {0: lambda v: v in (3, 6)}),
        WRITE: ((3, 0, 0), {0: lambda v: v in (3, 6)}),
        PPOLL: ((0, 0, DATA, 0, 8), {1: lambda v: v <= 4, 3: lambda v: v == 0}),
    },
}

def variants(value):
    """value + 1, the upper half set, -1, 0, and each bit flipped."""
    out = {value, value + 1, value | 1 << 32, WORD - 1, 0, 0xFFFFFFFF}
    return sorted(out | {value ^ 1 << bit for bit in range(64)})


def one(stage, phase, nr, args, allowed):
    """None, or what is wrong.  A killed call shows no more than its number; one that came
    back has to be allowed."""
    order = ":".join(f"{a % WORD:x}" for a in (nr, *args))
    r = stage.attempt(f"call:{order} {phase}")
    if r.verdict == "KILLED":
        return f"{nr}({order}) is killed" if allowed else None
    if r.verdict == "OPEN" and r.returned:
        return None if allowed else f"{nr}({order}) came back with {r.returned[-1][1]}"
    return f"{nr}({order}): {r.text()}"


def argument_calls(phase):
    """SWEEP-ARG in this phase."""
    for nr, (args, pins) in PINS[phase].items():
        for index, allows in pins.items():
            for value in variants(args[index]):
                varied = list(args)
                varied[index] = value
                yield nr, varied, allows(value)


def descriptor_calls(phase):
    """SWEEP-FD in this phase: every number."""
    for nr in (READ, WRITE):
        allows = PINS[phase][nr][1][0]
        for fd in [*range(1024), -1, -100, 0x7FFFFFFF, 0x80000000]:
            yield nr, (fd, 0, 0), allows(fd % WORD)


def results(make_stage, phase):
    """Name, what it is, result and judgement of each sweep.  Nearly every call ends its
    worker, and a launcher does not start one template after the other without a pause: so
    several gatehouses share the calls."""
    with contextlib.ExitStack() as stack:
        stages = [stack.enter_context(make_stage()) for _ in range(STAGES)]
        for name, what, calls, said in (
                ("SWEEP-ARG", "each pinned argument, changed", argument_calls,
                 "calls with one argument changed"),
                ("SWEEP-FD", "each descriptor number", descriptor_calls,
                 "calls, one for each descriptor")):
            todo = list(calls(phase))
            with concurrent.futures.ThreadPoolExecutor(STAGES) as pool:
                parts = [pool.submit(lambda i=i, s=s: [one(s, phase, *c) for c in todo[i::STAGES]])
                         for i, s in enumerate(stages)]
            wrong = [w for part in parts for w in part.result() if w]
            r = escape.Result()
            r.verdict, r.note = ("OPEN" if wrong else "BLOCKED"), f"{len(todo)} {said}"
            yield name, what, r, judge.Verdict(not wrong, False, "; ".join(wrong[:5]),
                                               "what the policy allows, and no more")
