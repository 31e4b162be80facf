"""Tests of auth_driver.py with a scripted auth server of minor version 3: channel binding."""

import base64

from auth_driver import TLS_OFFERED, Conn
from auth_driver_scripted import auth_line, scripted

PLUS = b"MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding\n"
BINDING = 8                     # dlg_mech_flag
DATA = bytes(range(32))


def begun(s, a, **kwargs):
    """A connection whose AUTH is at the server: (it, server, id)."""
    srv = s.greet(mechs=PLUS)
    c = Conn(a, **kwargs)
    assert c.ready()["SCRAM-SHA-256-PLUS"] == BINDING
    c.start("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,n=alice,r=x")
    line = auth_line(srv[1])
    assert line[0] == b"AUTH" and line[2] == b"SCRAM-SHA-256-PLUS", line
    return c, srv, line[1]


@scripted(minor=3)
def binding_with_the_next_answer(s, a):
    c, srv, ident = begun(s, a)
    srv[0].sendall(b"CONT\t%s\tcj14eQ==\tchannel_binding=tls-exporter\tnew=field\n" % ident)
    assert c.challenge_whole() == (b"r=xy", 0, "tls-exporter")
    c.cont(b"c=...", DATA)
    assert auth_line(srv[1]) == [b"CONT", ident, base64.b64encode(b"c=..."),
                                 b"channel_binding=" + base64.b64encode(DATA)]
    # Asked for once: the next answer is without.
    srv[0].sendall(b"CONT\t%s\tdj0=\n" % ident)
    assert c.challenge() == b"v="
    c.cont(b"")
    assert auth_line(srv[1]) == [b"CONT", ident, b""]
    srv[0].sendall(b"OK\t%s\tuser=alice\n" % ident)
    assert c.ok() == "alice"


@scripted(minor=4)
def binding_out_of_band(s, a):
    c, srv, ident = begun(s, a)
    srv[0].sendall(b"CONT\t%s\t#\tchannel_binding=tls-server-end-point\n" % ident)
    assert c.challenge_whole() == (b"", 1, "tls-server-end-point")
    c.cont(b"", DATA)
    assert auth_line(srv[1]) == [b"CONT", ident, b"#",
                                 b"channel_binding=" + base64.b64encode(DATA)]
    srv[0].sendall(b"CONT\t%s\tcj14eQ==\n" % ident)
    assert c.challenge() == b"r=xy"


@scripted(minor=3)
def binding_that_is_not_there(s, a):
    c, srv, ident = begun(s, a)
    srv[0].sendall(b"CONT\t%s\t#\tchannel_binding=tls-unique\n" % ident)
    assert c.challenge_whole() == (b"", 1, "tls-unique")
    c.cont(b"")
    why, text = c.fail()
    assert why == "REASON" and text == "Channel binding tls-unique is not available.", (why, text)
    assert auth_line(srv[1]) == [b"CANCEL", ident]
    c.plain()
    assert auth_line(srv[1])[2] == b"PLAIN"


@scripted(minor=3)
def binding_nobody_asked_for(s, a):
    s.srv = s.greet(mechs=PLUS)
    for answer in ((b"c", DATA), (b"", DATA)):
        c, srv, ident = again(s, a)
        srv[0].sendall(b"CONT\t%s\tcj14eQ==\n" % ident)
        assert c.challenge() == b"r=xy"
        c.cont(*answer)
        c.over()
        assert auth_line(srv[1]) == [b"CANCEL", ident]
    # Words of the client where only the worker was asked.
    c, srv, ident = again(s, a)
    srv[0].sendall(b"CONT\t%s\t#\tchannel_binding=tls-exporter\n" % ident)
    c.challenge_whole()
    c.cont(b"c=", DATA)
    c.over()
    assert auth_line(srv[1]) == [b"CANCEL", ident]


def again(s, a):
    c = Conn(a)
    c.ready()
    c.start("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,n=alice,r=x")
    return c, s.srv, auth_line(s.srv[1])[1]


@scripted(minor=3)
def malformed_binding_costs_the_request(s, a):
    s.srv = s.greet(mechs=PLUS)
    for evil in (b"#", b"#\tx=y", b"AAA\tchannel_binding=x", b"AAAA\tchannel_binding=",
                 b"AAAA\tchannel_binding=" + b"x" * 200):
        c, srv, ident = again(s, a)
        srv[0].sendall(b"CONT\t%s\t%s\n" % (ident, evil))
        assert c.fail()[0] == "TEMP"
        assert auth_line(srv[1]) == [b"CANCEL", ident]


@scripted(minor=3)
def plus_only_with_tls(s, a):
    srv = s.greet(mechs=PLUS)
    c = Conn(a, flags=TLS_OFFERED)
    c.ready()
    c.start("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,n=alice,r=x")
    assert c.fail()[0] == "MECH"
    c.start("SCRAM-SHA-1", b"n,,n=alice,r=x")
    assert auth_line(srv[1])[2] == b"SCRAM-SHA-1"


@scripted(minor=2)
def old_server_gets_no_fields(s, a):
    """Minor 2 is all that Debian 12's Dovecot knows: what stands behind CONT's TAB is data."""
    c, srv, ident = begun(s, a)
    srv[0].sendall(b"CONT\t%s\tcj14eQ==\tchannel_binding=tls-exporter\n" % ident)
    assert c.fail()[0] == "TEMP"    # no base64
    assert auth_line(srv[1]) == [b"CANCEL", ident]
