"""Searching the memory of other processes, from outside and with all rights."""

import base64
import re


def forms(needles):
    """{name and form: bytes}: as it is, and backwards (numbers lie either way)."""
    return {name + order: b[::step] for name, b in needles.items()
            for order, step in ((" big-endian", 1), (" little-endian", -1))}


def search(p, needles):
    """(which of the byte strings, in either byte order, lie in the process's readable
    memory, how many bytes were searched)"""
    return search_exactly(p, forms(needles))


def search_exactly(p, wanted):
    found, searched = set(), 0
    longest = max(len(b) for b in wanted.values())
    with open(f"/proc/{p.pid}/maps") as maps, open(f"/proc/{p.pid}/mem", "rb", 0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r...)", line)
            if not m or "[v" in line:
                continue
            at, end, tail = int(m[1], 16), int(m[2], 16), b""
            while at < end:
                try:
                    mem.seek(at)
                    block = mem.read(min(end - at, 1 << 22))
                except OSError:
                    break           # memfd_secret, guard pages: nobody can read them
                if not block:
                    break
                searched += len(block)
                hay = tail + block
                found |= {n for n, b in wanted.items() if b in hay}
                tail = hay[-longest:]
                at += len(block)
    return found, searched


def password_forms(password):
    """A password as it is, and as the end of a SASL PLAIN message in base64, whatever
    stands before it."""
    raw = password.encode()
    out = {"password": raw}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        # The first and last quantum depend on what stands beside it.
        out[f"base64+{shift}"] = whole[4:len(whole) // 4 * 4 - 4]
    return out
