"""local, remote and protocol blocks: settings for some connections only."""

import harness
from gatehouse import own_address
from harness import SystemTest


class Blocks:
    """One worker model each."""

    @classmethod
    def make_gatehouse(cls, **kw):
        gh = super().make_gatehouse(**kw)
        cls.other = own_address()           # listened on, with rules of its own
        cls.friend, cls.odd = own_address(), own_address()
        gh.settings += f"""
listen = {gh.address} {cls.other}
remote {cls.friend} {{
  disable_plaintext_auth = no
}}
remote {cls.odd} {{
  protocol pop3 {{
    disable_plaintext_auth = no
  }}
}}
local {cls.other} {{
  ssl = required
  remote {cls.friend} {{
    ssl = no
  }}
}}
"""
        gh.write_config()
        return gh

    def at_other(self, **kw):
        return self.keep(harness.Imap((self.other, self.gh.ports["imap"]), **kw))

    def test_remote(self):
        c = self.imap(source=self.friend)
        self.assertNotIn("LOGINDISABLED", c.greeting)
        self.assertIn("AUTH=PLAIN", c.greeting)
        self.assertTrue(c.login().startswith("OK"))
        stranger = self.imap()
        self.assertIn("LOGINDISABLED", stranger.greeting)
        self.assertTrue(stranger.login().startswith("NO [PRIVACYREQUIRED]"))

    def test_remote_and_protocol(self):
        self.assertIn("LOGINDISABLED", self.imap(source=self.odd).greeting)
        self.assertTrue(self.pop3(source=self.odd).login().startswith("+OK"))
        self.assertTrue(self.pop3().login().startswith("-ERR"))

    def test_local(self):
        c = self.at_other()
        self.assertNotIn("AUTH=", c.greeting)
        self.assertIn("STARTTLS", c.greeting)
        self.assertTrue(c.command("AUTHENTICATE SCRAM-SHA-256")[1]
                        .startswith("NO [PRIVACYREQUIRED]"))
        c.starttls()
        self.assertTrue(c.login().startswith("OK"))
        self.assertIn("AUTH=SCRAM-SHA-256", self.imap().greeting)

    def test_the_narrower_one_wins(self):
        c = self.at_other(source=self.friend)
        self.assertNotIn("STARTTLS", c.greeting)
        self.assertTrue(c.command("STARTTLS")[1].startswith("BAD"))
        self.assertTrue(c.login().startswith("OK"))


class Fork(Blocks, SystemTest):
    pass


class Exec(Blocks, SystemTest):
    settings = "worker_spawn = exec"


class Pooled(Blocks, SystemTest):
    imap_login = pop3_login = "service_count = 0"
