"""A worker that was taken over talks to the auth client and to the key signer.

Each test carries the ID of its row in the escape catalogue (BRK: auth client, SGN:
signer, FDX: descriptors).  The worker is the real one behind its real walls; what
it says comes from here (tests/lib/puppet.py).  All the while honest logins go on
through the same processes, and none may fail.
"""

import errno
import os
import re
import struct
import subprocess
import tempfile
import time

import harness
import puppet
from certs import openssl
from puppet import ECDSA_P256, EOF, MSG, VERIFY, block, message, u8, u16, u32

RANDOMS = bytes(range(64))
X25519 = b"\3\0\x1d\x20" + b"x" * 32          # ServerECDHParams, RFC 8422 5.4
P256 = b"\3\0\x17\x41\4" + b"p" * 64


def start(mech=b"PLAIN", ir=b"\0alice\0wonderland", ident=1):
    return message("AUTH_START", ident, block(mech) + u8(1) + block(ir))


class AuthClient(puppet.PuppetTest):
    """What the auth client must bear."""

    HOSTILE = {
        "empty header": b"\1",
        "seven bytes": start()[:7],
        "type 0": message(0),
        "type above the last": message(len(MSG) + 1),
        "type 65535": message(65535),
        "second field not zero": struct.pack("<HHI", MSG["AUTH_START"], 1, 1) + start()[8:],
        "a byte behind": start() + b"x",
        "no fields": message("AUTH_START", 1),
        "length over the end": message("AUTH_START", 1, u32(200) + b"PLAIN"),
        "length 2^31": message("AUTH_START", 1, u32(1 << 31) + b"PLAIN\0\0\0\0\0"),
        "length 2^32-1": message("AUTH_START", 1, u32(0xffffffff) + b"PLAIN\0\0\0\0\0"),
        "NUL in the mechanism": start(b"PLA\0IN"),
        "mechanism of 31 bytes and more": start(b"P" * 40),
        "has_ir 2": message("AUTH_START", 1, block("PLAIN") + u8(2) + block(b"")),
        "data without has_ir": message("AUTH_START", 1, block("PLAIN") + u8(0) + block(b"x")),
        "SASL data over the limit": start(ir=b"a" * 9300),
        "one byte over a message": b"\0" * 16385,
        "64 KiB": start(ir=b"a" * 65000),
        "HANDOFF that nobody granted, malformed": message("HANDOFF", 1, block(b"") + u32(99)),
        "HANDOFF with a prefix without end": message("HANDOFF", 1, block(b"0a1") + block(b"")),
        "HANDOFF with TAB in the prefix": message("HANDOFF", 1, block(b"0a\t1\0") + block(b"")),
        "TLS_INFO with a certificate nobody asked for": message("TLS_INFO", 1, block(b"") + block(b"") +
                                                               u8(2) + block(b"alice")),
        "TLS_INFO with an odd certificate": message("TLS_INFO", 1, block(b"") + block(b"") + u8(3) +
                                                    block(b"")),
        "GOODBYE with NUL": message("GOODBYE", 1, u8(0) + block(b"a\0b")),
        "message of the signer": message("SIGN_REQ", 1, u16(0) + u16(0) + block(b"")),
        "message of the launcher: CONN_OPEN": message("CONN_OPEN", 1, b"\0" * 60),
        "message of the launcher: CONN_STOP": message("CONN_STOP", 1, u8(0)),
        "message of the signer: CONN_TLS": message("CONN_TLS", 1),
        "message of the supervisor: STOP": message("STOP"),
        "HELLO": message("HELLO", 0, block("x") + u8(16) + u32(1) + block(b"")),
        "its own words back": message("AUTH_OK", 1, block("alice") + u8(0)),
    }

    def test_BRK_01_malformed(self):
        for name, data in self.HOSTILE.items():
            with self.subTest(name):
                p = self.puppet()
                p.ready()
                p.write("AUTH", data)
                self.assert_dropped(p, "AUTH")
                p.close()

    def test_BRK_01_truncated_anywhere(self):
        whole = start()
        for n in range(1, len(whole)):
            p = self.puppet()
            p.ready()
            p.write("AUTH", whole[:n])
            self.assert_dropped(p, "AUTH")
            p.close()

    def test_BRK_01_every_type_untimely(self):
        """Any message, with any content, before its time: dropped or refused, never granted."""
        for name in MSG:
            p = self.puppet()
            p.ready()
            for fields in (b"", b"\0" * 5, block(b"0a1\0") + block(b"")):
                p.say("AUTH", name, 1, fields)
            while (got := p.message("AUTH"))[0] not in (EOF, None):
                self.assertIn(got[0], ("AUTH_FAIL", "CONN_BYE"), name)
            p.close()

    def test_BRK_02_second_request_while_one_is_open(self):
        p = self.signed()
        p.start("LOGIN")
        self.assertEqual(p.message("AUTH")[0], "AUTH_CHALLENGE")
        p.start("LOGIN", ident=2)
        self.assert_dropped(p, "AUTH")

    def test_BRK_02_thousand_at_once(self):
        p = self.signed()
        p.flood("AUTH", start(), 1000)
        granted = 0
        while (got := p.message("AUTH"))[0] not in (EOF, None):
            granted += got[0] == "AUTH_OK"
        self.assertLessEqual(granted, 1)

    def test_BRK_02_after_success(self):
        p = self.signed()
        self.assertEqual(p.login()[0], "AUTH_OK")
        p.start(ident=2)
        self.assert_dropped(p, "AUTH")

    def test_BRK_04_it_is_who_the_launcher_says(self):
        """No message has an address; a TLS_INFO that claims one is a name or nothing."""
        for sni in (b"rip=10.0.0.1", b"mail\trip=10.0.0.1", b"a b", b"x" * 300, b"\xff\xfe"):
            p = self.signed()
            p.say("AUTH", "TLS_INFO", 1, block(sni) + block("TLS\trip=10.0.0.1\nI forged") + u8(0) + block(b""))
            p.login(password=b"wrong")
            p.say("AUTH", "GOODBYE", 1, u8(0) + block("bye\n\tuser=<forged>, rip=10.0.0.1"))
            p.close()
        lines = self.gh.wait_log(r"pop3-login: Info: Disconnected.*auth failed") and \
            self.gh.find_log(r"pop3-login: Info: .*")
        for m in lines:
            self.assertRegex(m[0], r"rip=127\.0\.0\.1, lip=", m[0])
        self.assertFalse(self.gh.find_log(r"^I forged|rip=10\.0\.0\.1, lip"))
        self.assertNotIn("10.0.0.1", "".join(
            re.findall(r"rip=[^,)]*|,10\.0\.0\.1[,)]", self.dovecot.log_text())))

    def test_BRK_05_tls_that_never_was(self):
        """Only the signer is believed; who claims a handshake besides is dropped."""
        claim = block("mail.example") + block("TLSv1.3 with cipher X") + u8(0) + block(b"")
        for tls, refusal in ((True, "SSL_REQUIRED"), (False, "PLAINTEXT")):
            p = self.puppet(tls=tls)
            p.ready()
            self.assertEqual(p.login(), ("AUTH_FAIL", refusal))
            p.say("AUTH", "TLS_INFO", 1, claim)
            self.assertEqual(p.login(), ("EOF", None))
        p = self.signed()
        p.say("AUTH", "TLS_INFO", 1, claim)
        p.say("AUTH", "TLS_INFO", 1, claim)
        self.assertEqual(p.login(), ("EOF", None))

    def test_BRK_06_handoff_without_or_with_another_success(self):
        p = self.signed()
        p.say("AUTH", "HANDOFF", 1, block(b"") + block(b"STAT\r\n"))
        self.assertTrue(p.silent("AUTH", 0.5))
        self.assertTrue(p.silent("MAIL", 0.1))
        q = self.signed()
        self.assertEqual(q.login(ident=7)[0], "AUTH_OK")
        p.say("AUTH", "HANDOFF", 7, block(b"") + block(b""))    # q's number on p's channel
        self.assertTrue(p.silent("MAIL", 0.5))
        q.say("AUTH", "HANDOFF", 8, block(b"") + block(b""))    # not its request
        self.assertTrue(q.silent("MAIL", 0.3))

    def test_BRK_06_success_is_used_once(self):
        p = self.signed()
        self.assertEqual(p.login()[0], "AUTH_OK")
        p.say("AUTH", "HANDOFF", 1, block(b"") + block(b""))
        name, _, f = p.message("AUTH")
        self.assertEqual((name, f.u8()), ("HANDOFF_RES", 0))
        self.assertTrue(p.next("MAIL").startswith(b"+OK"))
        # The channel is dead: neither a second hand-over nor a second login.
        self.assertEqual(p.message("AUTH")[0], EOF)
        self.assertEqual(p.say("AUTH", "HANDOFF", 1, block(b"") + block(b"")), -errno.EPIPE)
        self.assertEqual(p.write("AUTH", start(ident=2)), -errno.EPIPE)

    def test_BRK_06_handoff_of_a_failed_login(self):
        p = self.signed()
        self.assertEqual(p.login(password=b"wrong"), ("AUTH_FAIL", "AUTH"))
        p.say("AUTH", "HANDOFF", 1, block(b"") + block(b""))
        self.assertTrue(p.silent("MAIL", 0.5))

    def test_BRK_07_every_byte_in_name_and_password(self):
        before = len(re.findall("auth server ready", self.gh.text()))
        crowd = [self.signed() for _ in range(32)]      # a refusal takes half a second
        for first in range(0, 256, 32):
            for i, p in enumerate(crowd):
                b = bytes([first + i])
                p.start("PLAIN", b"\0ali" + b + b"ce\0won" + b + b"\tx", first + 1)
            for i, p in enumerate(crowd):
                name, _, f = p.message("AUTH")
                self.assertEqual((name, puppet.FAIL[f.u8()]), ("AUTH_FAIL", "AUTH"), first + i)
        self.assertEqual(crowd[0].login(ident=999)[0], "AUTH_OK")
        self.assertEqual(len(re.findall("auth server ready", self.gh.text())), before,
                         "the connection to the auth server was lost")

    def test_BRK_07_mechanism_names(self):
        p = self.signed()
        for i, mech in enumerate((b"PLAIN\tservice=x", b"PLAIN\n", b"\r", b"PLAIN resp=", b"",
                                  b"\1", b"DOVECOT-TOKEN", b"APOP", b"plain\xff")):
            p.start(mech, b"x", ident=i + 1)
            name, _, f = p.message("AUTH")
            self.assertEqual(name, "AUTH_FAIL", mech)
            self.assertNotEqual(puppet.FAIL[f.u8()], "AUTH", mech)

    def test_BRK_08_cancel_storm(self):
        rss = self.helpers["auth"].status()["VmRSS"]
        for _ in range(5):
            p = self.signed()
            for i in range(1, 190):
                p.start("LOGIN", ident=i)
                self.assertEqual(p.message("AUTH")[0], "AUTH_CHALLENGE")
                p.say("AUTH", "AUTH_CANCEL", i)
            # What was cancelled leaves nothing behind for the next.
            self.assertEqual(p.login(password=b"wrong", ident=500), ("AUTH_FAIL", "AUTH"))
            p.close()
        grown = int(self.helpers["auth"].status()["VmRSS"].split()[0]) - int(rss.split()[0])
        self.assertLess(grown, 2048, "KiB")

    def test_BRK_08_gone_in_the_middle(self):
        for i in range(100):
            p = self.signed()
            p.start("PLAIN", b"\0alice\0wonderland")
            p.close()
        p = self.signed()
        self.assertEqual(p.login(b"alice", b"no"), ("AUTH_FAIL", "AUTH"))

    def test_BRK_08_words_for_what_is_over(self):
        """AUTH_CONT and AUTH_CANCEL that come late are ignored, a flood of them is not."""
        p = self.signed()
        p.say("AUTH", "AUTH_CANCEL", 5)
        p.say("AUTH", "AUTH_CONT", 5, block(b"x") + block(b""))
        self.assertEqual(p.login(password=b"wrong"), ("AUTH_FAIL", "AUTH"))
        p.flood("AUTH", message("AUTH_CANCEL", 5), 100000)
        self.assert_dropped(p, "AUTH")

    def test_BRK_12_no_way_to_the_launcher(self):
        p = self.puppet()
        p.ready()
        self.assertIsNone(p.write("CONTROL", message("CONN_LOGGED_IN", 1)), "it still lives")
        self.gh.wait_log(r"pop3-login: Error: worker \d+ killed with signal 31")

    def test_BRK_13_mail_channel_before_a_login(self):
        p = self.signed()
        self.assertGreater(p.write("MAIL", b"STAT\r\n" * 100), 0)
        self.assertTrue(p.silent("MAIL", 0.5))
        self.assertEqual(p.login(b"nobody", b"x"), ("AUTH_FAIL", "AUTH"))

    def test_FDX_12_log_lines_are_nobody_elses(self):
        p = self.puppet()
        p.ready()
        mark = self.gh.mark()
        p.write("LOG", b"Iimap-login: Login: user=<root>, method=PLAIN, rip=10.9.8.7\n")
        p.write("LOG", b"E\x1b[2J\rgatehouse: Info: ready\n" + b"y" * 5000 + b"\n")
        self.gh.wait_log(r"10\.9\.8\.7", after=mark)
        for line in self.gh.text(mark).splitlines():
            if "10.9.8.7" in line or "[2J" in line:
                self.assertRegex(line, r"^\w+ +\d+ [\d:]+ gatehouse-login: ")
                self.assertNotRegex(line, r"[\x00-\x1f\x7f]")
        self.assertIsNotNone(p.flood("LOG", b"I flood\n", 20000))
        time.sleep(1)
        p.write("LOG", b"Ithe last line\n")
        self.gh.wait_log(r"\d+ log lines were dropped", after=mark)
        self.assertLess(len(self.gh.find_log(r"flood$", mark)), 5000)

    def test_FDX_15_it_never_reads(self):
        for _ in range(3):
            p = self.signed()
            p.quiet("AUTH")
            for i in range(1, 900):
                if p.start("LOGIN", ident=i) in (None, -errno.EPIPE):
                    break
                p.say("AUTH", "AUTH_CANCEL", i)


class Attempts(puppet.PuppetTest):
    settings = "auth_max_attempts = 3"

    def test_BRK_03_no_more_than_allowed(self):
        p = self.signed()
        for i in range(3):
            self.assertEqual(p.login(password=b"wrong", ident=i + 1), ("AUTH_FAIL", "AUTH"))
        name, _, f = p.message("AUTH")
        self.assertEqual((name, puppet.BYE[f.u8()]), ("CONN_BYE", "ATTEMPTS"))
        p.start("PLAIN", b"\0alice\0wonderland", 9)
        self.assertTrue(p.silent("AUTH", 1), "it was answered")

    def test_BRK_03_cancelled_ones_count(self):
        p = self.signed()
        for i in range(3):
            p.start("LOGIN", ident=i + 1)
            self.assertEqual(p.message("AUTH")[0], "AUTH_CHALLENGE")
            p.say("AUTH", "AUTH_CANCEL", i + 1)
        self.assertEqual(p.message("AUTH")[0], "CONN_BYE")


class Signer(puppet.PuppetTest):
    """What the key signer must refuse, and bear."""

    CONTENTS = {
        "nothing": b"",
        "a SHA-256 digest": b"d" * 32,
        "a SHA-384 digest": b"d" * 48,
        "64 bytes": b"d" * 64,
        "600 bytes": b"d" * 600,
        "the client's context": b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + b"h" * 32,
        "another context": b" " * 64 + b"TLS 1.3, server CertificateVerifi\0" + b"h" * 32,
        "63 spaces": VERIFY[1:] + b"h" * 32,
        "65 spaces": b" " + VERIFY + b"h" * 32,
        "no zero byte": VERIFY[:-1] + b"h" * 32,
        "hash of 31": VERIFY + b"h" * 31,
        "hash of 33": VERIFY + b"h" * 33,
        "hash of 64": VERIFY + b"h" * 64,
        "no hash": VERIFY,
        "explicit prime curve": RANDOMS + b"\1" + b"c" * 100,
        "unknown group": RANDOMS + b"\3\0\1\x20" + b"x" * 32,
        "point too short": RANDOMS + X25519[:-1],
        "point too long": RANDOMS + X25519 + b"x",
        "point of another length": RANDOMS + b"\3\0\x1d\x21" + b"x" * 33,
        "compressed point": RANDOMS + b"\3\0\x17\x21\2" + b"p" * 32,
        "finite field parameters": RANDOMS + b"\1\0" + b"p" * 256,
        "X.509 TBSCertificate": bytes.fromhex("3082010ea003020102") + b"\2" * 120,
        "OCSP response": bytes.fromhex("3081a0a1") + b"\2" * 120,
        "JWT": b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyb290In0" + b"=" * 80,
        "SSH": b"\0\0\0\x20" + b"s" * 32 + b"\x32\0\0\0\4root\0\0\0\x0essh-connection",
    }

    def refused(self, p, **kw):
        """Told so or cut off; and the channel is closed."""
        status, sig = p.sign(**kw)
        self.assertNotEqual(status, 0)
        self.assertEqual(sig, b"")
        if status != EOF:
            self.assert_dropped(p, "SIGNER")

    def test_SGN_01_to_04_arbitrary_content(self):
        for name, tbs in self.CONTENTS.items():
            with self.subTest(name):
                p = self.puppet()
                self.refused(p, tbs=tbs)
                p.close()

    def test_SGN_03_control_what_is_well_formed_is_signed(self):
        for tbs in (VERIFY + b"h" * 32, VERIFY + b"h" * 48, RANDOMS + X25519, RANDOMS + P256):
            p = self.puppet()
            status, sig = p.sign(tbs=tbs)
            self.assertEqual(status, 0)
            self.assertTrue(self.verifies(tbs, sig))
            self.assertFalse(self.verifies(tbs + b"x", sig))
            p.close()

    def verifies(self, tbs, sig):
        with tempfile.TemporaryDirectory() as d:
            for name, data in (("tbs", tbs), ("sig", sig)):
                with open(os.path.join(d, name), "wb") as f:
                    f.write(data)
            pub = openssl("x509", "-in", self.gh.cert.cert, "-noout", "-pubkey")
            with open(os.path.join(d, "pub"), "w") as f:
                f.write(pub)
            return subprocess.run(["openssl", "dgst", "-sha256", "-verify", f"{d}/pub", "-signature",
                                   f"{d}/sig", f"{d}/tbs"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode == 0

    def test_SGN_05_scheme_that_does_not_fit(self):
        for scheme in (0, 0x0203, 0x0201, 0x0101, 0x0401, 0x0804, 0x0807, 0x0503, 0xffff):
            p = self.puppet()
            self.refused(p, scheme=scheme)
            p.close()

    def test_SGN_06_no_other_operation(self):
        """SIGN_REQ is all there is: no message decrypts, and none may come from a worker
        that is not its own."""
        for name in MSG:
            if name in ("SIGN_REQ", "SESSION_GET", "SESSION_PUT"):
                continue
            p = self.puppet()
            p.say("SIGNER", name, 1, b"\0" * 64)
            self.assert_dropped(p, "SIGNER")
            p.close()

    def test_SGN_07_one_handshake_is_all(self):
        p = self.puppet()
        self.assertEqual(p.sign()[0], 0)
        more = 0
        while (status := p.sign(ident=2)[0]) == 0:
            more += 1
        self.assertLessEqual(more, 1, "more than a second signature")
        if status != EOF:
            self.assert_dropped(p, "SIGNER")

    def test_SGN_07_pipelined(self):
        p = self.puppet()
        request = message("SIGN_REQ", 1, u16(0) + u16(ECDSA_P256) + block(VERIFY + b"h" * 32))
        p.flood("SIGNER", request, 100)
        good = 0
        while (got := p.message("SIGNER"))[0] not in (EOF, None):
            good += got[2].u8() == 0
        self.assertLessEqual(good, 2)

    def test_SGN_09_no_such_key(self):
        for key in (1, 2, 63, 64, 65535):
            p = self.puppet()
            self.refused(p, key=key)
            p.close()

    def test_SGN_11_nonces_never_repeat(self):
        seen = set()
        for _ in range(60):
            p = self.puppet()
            status, sig = p.sign()
            self.assertEqual(status, 0)
            n = sig[3]                          # SEQUENCE { INTEGER r, INTEGER s }
            seen.add(bytes(sig[4:4 + n]))
            p.close()
        self.assertEqual(len(seen), 60)

    def test_SGN_12_framing(self):
        for data in (b"\1", message("SIGN_REQ", 1)[:5], message("SIGN_REQ", 1),
                     message("SIGN_REQ", 1, u16(0) + u16(1027) + u32(1 << 31)),
                     message("SIGN_REQ", 1, u16(0) + u16(1027) + u32(0xffffffff) + b"x" * 20),
                     message("SIGN_REQ", 1, u16(0) + u16(1027) + block(b"a" * 601)),
                     message("SIGN_REQ", 1, u16(0) + u16(1027) + block(VERIFY) + b"x"),
                     b"\0" * 16385, b"\xff" * 60000):
            p = self.puppet()
            p.write("SIGNER", data)
            self.assert_dropped(p, "SIGNER")
            p.close()

    def test_SGN_12_idle_channels(self):
        """As many as process_limit allows, each with its four descriptors in its peers."""
        crowd = [self.puppet() for _ in range(90)]
        self.assertTrue(harness.eventually(lambda: self.honest > 3))
        for p in crowd:
            p.ready()
        if harness.ROOT:                # others may not look
            self.assertGreater(len(self.helpers["keys"].fds()), 90)
        for p in crowd:
            p.close()
        if harness.ROOT:
            self.assertTrue(harness.eventually(lambda: len(self.helpers["keys"].fds()) < 40))

    def test_SGN_13_memory_from_outside(self):
        if not harness.ROOT:
            self.skipTest("needs root to look with all rights")
        if not self.gh.find_log(r"gatehouse-keys.*secret memory enforced"):
            self.skipTest("this kernel has no memfd_secret")
        maps = [m for m in self.helpers["keys"].maps() if "secretmem" in m]
        self.assertTrue(maps)
        with open(f"/proc/{self.helpers['keys'].pid}/mem", "rb", 0) as mem:
            mem.seek(int(maps[0].split("-")[0], 16))
            with self.assertRaises(OSError):
                mem.read(4096)


class Rate(puppet.PuppetTest):
    """Signatures over all connections: two at once, and one a second."""

    settings = "ssl_max_signature_rate = 1"

    def setUp(self):
        harness.SystemTest.setUp(self)      # no honest logins beside it: they would count

    def test_SGN_08_rate_over_all_workers(self):
        began = time.monotonic()
        crowd = [self.puppet() for _ in range(25)]
        for p in crowd:
            p.ready()
        answers = [p.sign() for p in crowd]
        took = time.monotonic() - began
        good = [a for a in answers if a[0] == 0]
        self.assertGreater(len(good), 0)
        self.assertLessEqual(len(good), 2 + took + 1)
        self.assertLess(len(good), len(crowd), f"nobody was refused in {took:.1f} s")
        for p, a in zip(crowd, answers):
            if a[0] != 0:
                self.assertEqual(a, (2, b""))
                self.assert_dropped(p, "SIGNER")
            p.close()
        line = r"gatehouse-keys: Warning: more than ssl_max_signature_rate = 1 signatures a second"
        self.gh.wait_log(line)
        took = time.monotonic() - began
        self.assertLessEqual(len(self.gh.find_log(line)), took + 1)
        self.assertFalse(self.gh.find_log("refused to sign"))
        # The burst is over: an honest client gets in, and the next one.
        for _ in range(2):
            time.sleep(1.2)
            self.logged_in().close()


class Crowd(puppet.PuppetTest):
    """Many bad ones at once, with all that they have."""

    settings = "auth_max_attempts = 1000"
    imap_login = "process_limit = 50"
    pop3_login = "process_limit = 60"

    def test_exhausting_the_peers(self):
        crowd = [self.puppet() for _ in range(55)]
        for p in crowd:
            p.ready()
            self.assertEqual(p.sign()[0], 0)
        end = time.monotonic() + 4
        number = 0
        while time.monotonic() < end:
            for p in crowd:
                number += 1
                if p.gone:
                    continue
                p.start("LOGIN", ident=number)
                p.say("AUTH", "AUTH_CANCEL", number)
        self.assertGreater(number, 500)
        self.assertTrue(harness.eventually(lambda: self.honest > 3))
        rss = {n: int(p.status()["VmRSS"].split()[0]) for n, p in self.helpers.items()}
        self.assertLess(max(rss.values()), 32 * 1024, rss)
