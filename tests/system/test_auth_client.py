"""gatehouse-auth alone: tests/lib/auth_driver.py plays everybody around it."""

import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import auth_driver  # noqa: E402
import auth_driver_binding  # noqa: E402,F401
import auth_driver_dovecot  # noqa: E402,F401
import auth_driver_scripted  # noqa: E402,F401

auth_driver.Options.bin = os.path.join(os.environ.get("GATEHOUSE_TREE", auth_driver.TOP),
                                       "build/libexec/gatehouse-auth")


class AuthClient(unittest.TestCase):
    pass


def add(fn):
    def run(self):
        if os.getuid() != 0:
            self.skipTest("needs root: chroot and a Dovecot of its own")
        if fn.__module__ == "auth_driver_dovecot" and shutil.which("dovecot") is None:
            self.skipTest("dovecot is not installed")
        fn()
    setattr(AuthClient, "test_" + fn.__name__, run)


for test in auth_driver.Options.tests:
    add(test)
