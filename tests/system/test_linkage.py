# check: also as an ordinary user
"""The Makefile's table of what each program links, against the binaries."""

import glob
import os
import re
import subprocess
import unittest

from harness import TREE

SONAMES = {"-lseccomp": "libseccomp.so.2", "-lcap-ng": "libcap-ng.so.0",
           "-lcrypto": "libcrypto.so.3", "-lssl": "libssl.so.3"}
BASE = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# A symbol that is there if, and only if, a library was linked in statically.
MARKS = {"-lssl": "SSL_CTX_new", "-lcrypto": "EVP_DigestSignInit",
         "-lseccomp": "seccomp_init", "-lcap-ng": "capng_apply"}


def table():
    with open(os.path.join(TREE, "Makefile")) as f:
        text = f.read()
    programs = {}
    for where, name in (("bin", "BINS"), ("libexec", "HELPERS")):
        for p in re.search(rf"^{name}\s*:=(.*)$", text, re.M)[1].split():
            def field(kind, p=p):
                return re.search(rf"^{re.escape(p)}_{kind}\s*:=(.*)$", text, re.M)[1].split()
            programs[p] = {"path": os.path.join(TREE, "build", where, p),
                           "libs": field("LIBS"), "link": field("LINK")[0],
                           "dirs": field("DIRS")}
    return programs


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


class Linkage(unittest.TestCase):
    def each(self):
        for name, p in table().items():
            with self.subTest(name):
                yield name, p, run("readelf", "-W", "-h", "-l", "-d", p["path"])

    def test_needed_libraries_are_those_of_the_table(self):
        for _, p, elf in self.each():
            needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", elf)) - BASE
            if p["link"] == "static":
                self.assertEqual(needed, set())
                self.assertNotIn("INTERP", elf)
            else:
                self.assertEqual(needed, {SONAMES[x] for x in p["libs"]})

    def test_static_programs_hold_no_other_library(self):
        for _, p, _ in self.each():
            if p["link"] != "static":
                continue
            symbols = run("nm", p["path"])
            for lib, mark in MARKS.items():
                has = re.search(rf" [TtWw] {mark}$", symbols, re.M) is not None
                if lib in p["libs"]:
                    continue
                self.assertFalse(has, f"{lib} is in it")

    def test_position_independent_relro_no_executable_stack(self):
        for _, _, elf in self.each():
            self.assertRegex(elf, r"Type:\s+DYN")
            self.assertRegex(elf, r"FLAGS_1\).*\bPIE\b")
            self.assertRegex(elf, r"FLAGS_1\).*\bNOW\b")
            self.assertIn("GNU_RELRO", elf)
            self.assertRegex(elf, r"GNU_STACK.* RW ")
            self.assertNotRegex(elf, r"\((RPATH|RUNPATH|TEXTREL)\)")
            self.assertNotRegex(elf, r"LOAD.* RWE ")

    def test_stack_protector(self):
        for _, p, _ in self.each():
            self.assertIn("__stack_chk_fail", run("nm", p["path"]) + run("nm", "-D", p["path"]))

    def test_nothing_is_setuid_or_has_file_capabilities(self):
        for _, p, _ in self.each():
            self.assertEqual(os.stat(p["path"]).st_mode & 0o6000, 0)
            self.assertNotIn("security.capability", os.listxattr(p["path"]))

    def test_worker_has_no_door_to_open(self):
        """The worker's own objects call neither socket nor open; policies decide, but what
        is not there cannot be used by mistake."""
        calls = set()
        for obj in glob.glob(os.path.join(TREE, "build/obj/login/*.o")):
            calls |= set(re.findall(r"U (\w+)$", run("nm", obj), re.M))
        if not calls:
            self.skipTest("no object files here")
        self.assertFalse(calls & {"socket", "connect", "open", "open64", "fopen", "fopen64",
                                  "execve", "execveat", "system", "popen", "getaddrinfo"})
