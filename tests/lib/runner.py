#!/usr/bin/python3
"""Run one file of system tests and print a line for each test:

    ok 1.2s test_login.Login.test_curl
    skip 0.0s test_login.Login.test_x  # reason
    not ok 0.3s test_login.Login.test_y
    | traceback, then the logs of the class

For scripts/check; python3 tests/lib/runner.py tests/system/test_X.py [Class[.test]]
works by hand.  The exit status is 1 if anything failed or nothing ran.
"""

import os
import signal
import sys
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.began, self.counts = {}, {"ok": 0, "not ok": 0, "skip": 0}

    def startTest(self, test):
        self.began[test.id()] = time.monotonic()
        super().startTest(test)

    def say(self, word, test, note="", detail=""):
        name = test.id() if hasattr(test, "id") else str(test)
        now = time.monotonic()
        took = now - self.began.get(name, now)
        self.counts[word] += 1
        out = f"{word} {took:.1f}s {name}{note}\n"
        out += "".join(f"| {line}\n" for line in detail.splitlines())
        sys.stdout.write(out)
        sys.stdout.flush()

    def failed(self, test, err):
        text = "".join(traceback.format_exception(*err))
        logs = getattr(type(test), "logs", None)
        if logs:
            try:
                text += logs()
            except OSError as e:
                text += f"(no logs: {e})"
        self.say("not ok", test, detail=text)

    def addSuccess(self, test):
        self.say("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.failed(test, err)

    def addSkip(self, test, reason):
        self.say("skip", test, f"  # {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed(subtest, err)
            sys.stdout.write("".join(f"| {x}\n" for x in
                                     getattr(type(test), "logs", str)().splitlines()))

    def addExpectedFailure(self, test, err):
        self.say("not ok", test, detail="a test must not expect to fail")

    def addUnexpectedSuccess(self, test):
        self.say("not ok", test, detail="unexpected success")


def interrupted(*_):
    raise KeyboardInterrupt         # the one exception that unittest lets through


def clean_up():
    """After an interruption: the classes' own cleanups did not run."""
    import dovecot
    import gatehouse
    gatehouse.reap_orphans()
    for path in list(dovecot.DIRECTORIES):
        dovecot.remove_tree(path)


def main(argv):
    signal.signal(signal.SIGTERM, interrupted)
    path = os.path.abspath(argv[1])
    sys.path.insert(0, os.path.dirname(path))
    module = os.path.basename(path)[:-3]
    loader = unittest.TestLoader()
    names = [f"{module}.{n}" for n in argv[2:]] or [module]
    result = Result()
    try:
        loader.loadTestsFromNames(names).run(result)
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clean_up()
        print(f"# {module}: interrupted")
        return 1
    c = result.counts
    print(f"# {module}: {c['ok']} passed, {c['not ok']} failed, {c['skip']} skipped")
    return 1 if c["not ok"] or not sum(c.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
