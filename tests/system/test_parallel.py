"""Many clients at once: nobody is refused, and everybody gets his own mail."""

import threading
import time

import harness
from harness import SystemTest

USERS = {f"user{i}": f"secret{i}" for i in range(40)}
LOGINS = 200


class Parallel:
    """Mixed in: the same for each worker model."""

    dovecot_options = {"users": {"alice": "wonderland", **USERS}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for user in USERS:
            cls.dovecot.deliver(user, f"Subject: for {user}\r\n\r\nonly {user}\r\n".encode(),
                                name="2.mine")

    def one(self, number, gate, failures):
        user = f"user{number % len(USERS)}"
        gate.wait()
        try:
            with harness.Imap(self.gh.server("imaps"), tls=True, seconds=120) as c:
                answer = c.login(user, USERS[user])
                if not answer.startswith("OK"):
                    raise harness.ClientError(answer)
                c.command("SELECT INBOX")
                c.send("x FETCH 1:* (BODY.PEEK[TEXT])\r\n")
                text = "\n".join(c.reply("x")[0])
                if f"only {user}" not in text.split("\n") and f"only {user}" not in text:
                    raise harness.ClientError(f"{user} got {text!r}")
                others = [w for w in text.split() if w.startswith("user") and w != user]
                if others:
                    raise harness.ClientError(f"{user} sees {others}")
                c.command("LOGOUT")
        except (OSError, harness.ClientError) as e:
            failures.append(f"{user}: {e!r}")

    def test_200_logins_at_once(self):
        gate, failures = threading.Event(), []
        threads = [threading.Thread(target=self.one, args=(i, gate, failures))
                   for i in range(LOGINS)]
        for t in threads:
            t.start()
        began = time.monotonic()
        gate.set()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        print(f"# {type(self).__name__}: {LOGINS} logins in {time.monotonic() - began:.1f} s")

    def test_logins_one_after_the_other(self):
        failures, gate = [], threading.Event()
        gate.set()
        for i in range(60):
            self.one(i, gate, failures)
        self.assertEqual(failures, [])


class Fork(Parallel, SystemTest):
    settings = "default_process_limit = 1000\nmail_max_userip_connections = 0"


class Exec(Parallel, SystemTest):
    settings = ("default_process_limit = 1000\nmail_max_userip_connections = 0\n"
                "worker_spawn = exec")
    imap_login = "process_min_avail = 4"


class Pooled(Parallel, SystemTest):
    settings = "default_process_limit = 1000\nmail_max_userip_connections = 0"
    imap_login = "service_count = 0\n  process_min_avail = 2"


class Mixed(SystemTest):
    """Good logins are not disturbed by clients that connect and misbehave."""

    settings = "default_process_limit = 1000\nmail_max_userip_connections = 0"

    def test_strangers_do_not_disturb(self):
        stop = threading.Event()

        def nuisance(data):
            while not stop.is_set():
                try:
                    with harness.LineClient(self.gh.server("imaps"), seconds=5) as c:
                        c.send(data)
                        c.rest(2)
                except (OSError, harness.ClientError):
                    pass

        threads = [threading.Thread(target=nuisance, args=(d,)) for d in
                   (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"A" * 2000, b"")]
        for t in threads:
            t.start()
        try:
            for _ in range(30):
                self.assert_serves()
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(self.gh.find_log(r"signal|SIGSYS|forbids"), [])
