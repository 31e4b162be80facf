"""The stack canary of a forked worker is its own (design 2.5)."""

import ctypes
import os
import platform
import signal
import struct

import harness
from harness import SystemTest, eventually, needs_root

PTRACE_GETREGS, PTRACE_ATTACH, PTRACE_DETACH = 12, 16, 17
FS_BASE = 21        # in struct user_regs_struct of x86-64
CANARY = 0x28       # from the thread pointer


def canary(pid):
    """Read by an outsider: root may trace what is not dumpable."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    regs = (ctypes.c_ulonglong * 27)()
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    try:
        os.waitpid(pid, 0x40000000)  # __WALL
        if libc.ptrace(PTRACE_GETREGS, pid, None, ctypes.addressof(regs)) != 0:
            raise OSError(ctypes.get_errno(), "PTRACE_GETREGS")
        with open(f"/proc/{pid}/mem", "rb", 0) as f:
            f.seek(regs[FS_BASE] + CANARY)
            return struct.unpack("<Q", f.read(8))[0]
    finally:
        libc.ptrace(PTRACE_DETACH, pid, None, None)


class Canary(SystemTest):
    def template(self):
        return eventually(lambda: self.gh.templates("imap"), 30)[0]

    def worker(self):
        before = self.gh.workers()
        c = self.imap(tls=True)
        return c, self.new_workers(before)[0]

    @needs_root("to read memory")
    def test_workers_of_one_template_differ(self):
        if platform.machine() != "x86_64":
            self.skipTest("the canary lies elsewhere on this architecture")
        template = self.template()
        (a, one), (b, two) = self.worker(), self.worker()
        values = [canary(p.pid) for p in (template, one, two)]
        self.assertEqual(len(set(values)), 3, [hex(v) for v in values])
        self.assertTrue(all(v & 0xff == 0 for v in values), "its first byte ends a string")
        # Nothing of this ended anybody: a stop and a continue are survived.
        self.assertTrue(a.login().startswith("OK"))
        self.assertTrue(b.login().startswith("OK"))
        self.assertEqual(self.template(), template)

    @needs_root("to read memory")
    def test_after_a_crash_it_differs_too(self):
        if platform.machine() != "x86_64":
            self.skipTest("the canary lies elsewhere on this architecture")
        template = self.template()
        c, one = self.worker()
        old = {canary(p.pid) for p in (template, one)}
        one.kill(signal.SIGSEGV)
        self.assertTrue(eventually(lambda: self.template() != template))
        c, two = self.worker()
        self.assertFalse(old & {canary(p.pid) for p in (self.template(), two)})
        self.assertTrue(c.login().startswith("OK"))


if __name__ == "__main__":
    import unittest
    unittest.main()
