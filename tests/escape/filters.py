"""What the policies under test say about a call: `gatehouse policy export --bpf`, and an
interpreter of classic BPF, so that what the kernel did can be held against the text."""

import os
import struct
import subprocess

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
NATIVE = X86_64 if os.uname().machine == "x86_64" else AARCH64
ALLOW, KILL_PROCESS, KILL_THREAD, ERRNO = 0x7FFF0000, 0x80000000, 0, 0x00050000

# A filter stays in force for whatever comes after it.
CHAINS = {"template": ("launcher", "template"), "login": ("launcher", "template", "login"),
          "tls-proxy": ("launcher", "template", "login", "tls-proxy"),
          "pool": ("launcher", "pool"), "login-full": ("launcher", "login"),
          "launcher": ("launcher",),
          "auth-start": ("start",), "auth-client": ("start", "auth-client"),
          "keys-start": ("start",), "key-signer": ("start", "key-signer")}


def run(program, data):
    """program: (code, jt, jf, k) tuples; data: struct seccomp_data."""
    a, pc, mem = 0, 0, [0] * 16
    while True:
        code, jt, jf, k = program[pc]
        pc += 1
        if code == 0x20:
            a = struct.unpack_from("=I", data, k)[0]
        elif code == 0x06:
            return k
        elif code == 0x05:
            pc += k
        elif code in (0x15, 0x25, 0x35, 0x45):
            hit = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: a & k != 0}[code]
            pc += jt if hit else jf
        elif code == 0x54:
            a &= k
        elif code == 0x02:
            mem[k] = a
        elif code == 0x60:
            a = mem[k]
        elif code == 0x00:
            a = k
        else:
            raise AssertionError(f"instruction {code:#x} is not one that our compiler makes")


class Filters:
    """The filters of a phase, compiled from the policies of a directory."""

    def __init__(self, gatehouse, directory):
        self.gatehouse, self.directory, self.programs, self.known = gatehouse, directory, {}, {}

    def program(self, policy):
        if policy not in self.programs:
            raw = subprocess.run([self.gatehouse, "policy", "export", "--bpf", "-d",
                                  self.directory, policy], capture_output=True, check=True).stdout
            self.programs[policy] = list(struct.iter_unpack("=HBBI", raw))
        return self.programs[policy]

    def action(self, phase, abi, number, args):
        """The strictest of the chain, as the kernel takes it."""
        key = (phase, abi, number, tuple(args))
        if key not in self.known:
            arch = I386 if abi == "i" else NATIVE
            if abi == "i":
                args = [a & 0xFFFFFFFF for a in args]
            number = (number | (0x40000000 if abi == "3" else 0)) & 0xFFFFFFFF
            data = struct.pack("=IIQ6Q", number, arch, 0, *args)
            self.known[key] = min((run(self.program(p), data) for p in CHAINS[phase]),
                                  key=lambda v: struct.unpack("=i", struct.pack(
                                      "=I", v & 0xFFFF0000))[0])
        return self.known[key]

    def kills(self, phase, abi, number, args):
        return self.action(phase, abi, number, args) & 0xFFFF0000 in (KILL_PROCESS, KILL_THREAD)
