"""An OCI runtime's seccomp profile made into a program by libseccomp, as the
runtimes do it: through ctypes, since Debian's python3-seccomp takes no masks.

    insns = oci_filter.program(profile, "amd64", caps=())   # bytes of struct sock_filter
"""

import ctypes
import os

LIB = ctypes.CDLL("libseccomp.so.2", use_errno=True)
LIB.seccomp_init.restype = ctypes.c_void_p
LIB.seccomp_init.argtypes = [ctypes.c_uint32]
LIB.seccomp_release.argtypes = [ctypes.c_void_p]
LIB.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
LIB.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
LIB.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
LIB.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
LIB.seccomp_arch_resolve_name.restype = ctypes.c_uint32
LIB.seccomp_arch_native.restype = ctypes.c_uint32

ACTIONS = {"SCMP_ACT_ALLOW": 0x7fff0000, "SCMP_ACT_ERRNO": 0x00050000,
           "SCMP_ACT_KILL_PROCESS": 0x80000000, "SCMP_ACT_KILL": 0, "SCMP_ACT_LOG": 0x7ffc0000}
OPS = {f"SCMP_CMP_{n}": i for i, n in
       enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)}
FLTATR_ACT_BADARCH, EEXIST, EDOM = 2, 17, 33


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


LIB.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                       ctypes.c_uint, ctypes.POINTER(Compare)]


def action(name, errno):
    return ACTIONS[name] | ((1 if errno is None else errno) if name == "SCMP_ACT_ERRNO" else 0)


def applies(rule, arch, caps):
    """Docker's and Podman's extension: rules for some architectures and capabilities."""
    inc, exc = rule.get("includes") or {}, rule.get("excludes") or {}
    return (set(inc.get("caps") or ()) <= set(caps)
            and (not inc.get("arches") or arch in inc["arches"])
            and not set(exc.get("caps") or ()) & set(caps)
            and arch not in (exc.get("arches") or ()))


def program(profile, arch="amd64", caps=(), bad_arch=None):
    """bad_arch: what calls of other architectures meet; libseccomp's default is to
    kill the thread.  Returns (program, names that libseccomp does not know)."""
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    ctx = LIB.seccomp_init(default)
    unknown = []
    try:
        if bad_arch is not None:
            assert LIB.seccomp_attr_set(ctx, FLTATR_ACT_BADARCH, ACTIONS[bad_arch]) == 0
        for a in profile.get("architectures") or ():
            token = LIB.seccomp_arch_resolve_name(a.replace("SCMP_ARCH_", "").lower().encode())
            if token != LIB.seccomp_arch_native():
                assert LIB.seccomp_arch_add(ctx, token) in (0, -EEXIST), a
        for rule in profile.get("syscalls") or ():
            act = action(rule["action"], rule.get("errnoRet"))
            if not applies(rule, arch, caps) or act == default:
                continue
            args = [Compare(x["index"], OPS[x["op"]], x["value"], x.get("valueTwo", 0))
                    for x in rule.get("args") or ()]
            for name in rule["names"]:
                nr = LIB.seccomp_syscall_resolve_name(name.encode())
                if nr == -1:
                    unknown.append(name)
                    continue
                rc = LIB.seccomp_rule_add_array(ctx, act, nr, len(args),
                                                (Compare * max(len(args), 1))(*args))
                assert rc in (0, -EEXIST, -EDOM), (name, rc)
        fd = os.memfd_create("bpf")
        try:
            assert LIB.seccomp_export_bpf(ctx, fd) == 0
            return os.pread(fd, 1 << 20, 0), unknown
        finally:
            os.close(fd)
    finally:
        LIB.seccomp_release(ctx)
