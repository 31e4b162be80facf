"""Classic BPF as seccomp uses it, evaluated: a third opinion beside the kernel's and
the product's own evaluator (src/policy/eval.c).

    cbpf.run(cbpf.parse(data), nr, args, arch)     # SECCOMP_RET_* and its data
"""

import struct

X86_64, AARCH64, I386 = 0xc000003e, 0xc00000b7, 0x40000003
ALLOW, KILL_PROCESS = 0x7fff0000, 0x80000000
U32 = 0xffffffff


def parse(data):
    assert data and len(data) % 8 == 0, len(data)
    return list(struct.iter_unpack("<HBBI", data))


def run(insns, nr, args=(), arch=X86_64):
    args = tuple(args) + (0,) * (6 - len(args))
    data = struct.pack("<iIQ6Q", nr - (1 << 32) if nr >> 31 else nr, arch, 0, *args)
    a, pc = 0, 0
    while True:
        code, jt, jf, k = insns[pc]
        pc += 1
        if code == 0x20:                        # ld [k]
            a = struct.unpack_from("<I", data, k)[0]
        elif code == 0x54:                      # and #k
            a &= k
        elif code == 0x06:                      # ret #k
            return k
        elif code == 0x05:                      # ja
            pc += k
        elif code in (0x15, 0x25, 0x35, 0x45):  # jeq jgt jge jset
            yes = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: a & k != 0}[code]
            pc += jt if yes else jf
        else:
            raise AssertionError(f"instruction {pc - 1}: code 0x{code:02x}")


def constants(insns):
    """Everything that the program compares with."""
    return sorted({k for code, _, _, k in insns if code in (0x15, 0x25, 0x35, 0x45)})
