#!/usr/bin/python3
"""A kernel that lacks things: run a program under a seccomp filter that answers
some calls as such a kernel would.

    lacking.py [RULE...] -- PROGRAM [ARGUMENT...]
    RULE   CALL=ERRNO               every such call fails
           CALL:ARG&MASK=ERRNO      only where argument ARG has one of these bits
           CALL:ARG==VALUE=ERRNO    only where argument ARG (low half) is that
           landlock-abi=N           landlock_create_ruleset(VERSION) answers N

Filters are inherited, so that this holds for every process of the program.
The Landlock version is answered by a process of ours, through a listener; it
ends when the last process under the filter has.
"""

import array
import ctypes
import errno
import fcntl
import os
import platform
import re
import select
import socket
import struct
import sys

# Linux, asm-generic where the architectures differ only below 424
NUMBERS = {
    "x86_64": {"unshare": 272, "mount": 165, "pivot_root": 155, "umount2": 166, "prctl": 157,
               "seccomp": 317, "setns": 308, "chroot": 161, "madvise": 28, "setgroups": 116,
               "memfd_create": 319, "execveat": 322, "socketpair": 53, "clone": 56, "openat": 257},
    "aarch64": {"unshare": 97, "mount": 40, "pivot_root": 41, "umount2": 39, "prctl": 167,
                "seccomp": 277, "setns": 268, "chroot": 51, "madvise": 233, "setgroups": 159,
                "memfd_create": 279, "execveat": 281, "socketpair": 199, "clone": 220, "openat": 56},
}[platform.machine()]
NUMBERS |= {"close_range": 436, "mount_setattr": 442, "landlock_create_ruleset": 444,
            "landlock_add_rule": 445, "landlock_restrict_self": 446, "memfd_secret": 447,
            "mseal": 462, "pidfd_open": 434}

LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO, NOTIFY = 0x7fff0000, 0x00050000, 0x7fc00000
SYS_SECCOMP = NUMBERS["seccomp"]
NEW_LISTENER = 1 << 3
NOTIF_RECV, NOTIF_SEND = 0xc0502100, 0xc0182101
VERSION = 1

libc = ctypes.CDLL(None, use_errno=True)


def rule(text):
    """Instructions that answer this rule's calls; others fall through."""
    m = re.fullmatch(r"(\w+)(?::(\d)(&|==)(0x[0-9a-f]+|\d+))?=([A-Z]+)", text)
    if not m:
        sys.exit(f"lacking.py: {text}: what rule is that?\n{__doc__}")
    call, arg, op, value, name = m.groups()
    code = [(LD, 0, 0, 0), (JEQ, 0, 1, NUMBERS[call])]
    answer = (RET, 0, 0, ERRNO | getattr(errno, name))
    if arg is None:
        return code + [answer]
    code[1] = (JEQ, 0, 3, NUMBERS[call])
    return code + [(LD, 0, 0, 16 + 8 * int(arg)),
                   (JSET if op == "&" else JEQ, 0, 1, int(value, 0)), answer]


def ask_for_version():
    return [(LD, 0, 0, 0), (JEQ, 0, 3, NUMBERS["landlock_create_ruleset"]),
            (LD, 0, 0, 16 + 16), (JEQ, 0, 1, VERSION), (RET, 0, 0, NOTIFY)]


class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(code, flags=0):
    raw = b"".join(struct.pack("=HBBI", *i) for i in code + [(RET, 0, 0, ALLOW)])
    prog = Prog(len(raw) // 8, ctypes.cast(ctypes.create_string_buffer(raw, len(raw)),
                                           ctypes.c_void_p))
    if libc.prctl(38, 1, 0, 0, 0) == -1:        # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "no_new_privs")
    fd = libc.syscall(SYS_SECCOMP, 1, flags, ctypes.byref(prog))
    if fd == -1:
        raise OSError(ctypes.get_errno(), "seccomp")
    return fd


def answer(listener, abi):
    """Until nobody is left under the filter."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if any(ev & select.POLLHUP for _, ev in poll.poll()):
            return
        request = bytearray(80)
        try:
            fcntl.ioctl(listener, NOTIF_RECV, request)
            ident = struct.unpack_from("=Q", request)[0]
            fcntl.ioctl(listener, NOTIF_SEND, bytearray(struct.pack("=QqiI", ident, abi, 0, 0)))
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.EINTR):      # it died meanwhile
                raise


def start_answering(abi):
    """The socket that takes the listener.  Not a child of the program: it would
    be surprised by one that it did not make."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        if os.fork() == 0:
            os.setsid()
            got = array.array("i", theirs.recvmsg(1, socket.CMSG_SPACE(4))[1][0][2])
            theirs.close()
            null = os.open("/dev/null", os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            answer(got[0], abi)
        os._exit(0)
    os.wait()
    theirs.close()
    return ours


def main(argv):
    if "--" not in argv:
        sys.exit(__doc__)
    rules, program = argv[:argv.index("--")], argv[argv.index("--") + 1:]
    code, abi = [], None
    for text in rules:
        if text.startswith("landlock-abi="):
            abi = int(text.partition("=")[2])
        else:
            code += rule(text)
    # The architecture is not looked at: what is confined here is no enemy.
    if abi is not None:
        to = start_answering(abi)
        listener = install(ask_for_version(), NEW_LISTENER)
        socket.send_fds(to, [b"x"], [listener])
        to.close()
        os.close(listener)
    if code:
        install(code)
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
