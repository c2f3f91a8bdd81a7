"""The differential fuzz test for as long as one likes: ``python -m tests.conformance.fuzz --seconds 300 [--seed N]``.

Made for speed and for length where hypothesis is made for small examples: requests are put together from likely parts and
cases of the corpus, damaged in a few places, and cut at random. Three things must agree, byte for byte: all parsers on
the whole, one of them on the pieces, each parser and what is remembered of heads with the grammar. Every disagreement is printed with the bytes
that show it; the exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter

from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.heads import HeadMemory
from asgi_arbiter.protocols.memo import LIMIT
from asgi_arbiter.protocols.request_line import parse_request_line
from asgi_arbiter.protocols.terms import Terms, inspect
from tests.conformance.test_http1_corpus import Outcome
from tests.conformance.test_http1_differential import PARSER_TYPES, SMALL, Grammar, cut, fields_of
from tests.http_support import PARSERS

ODD = [bytes([byte]) for byte in range(256)] + [
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\r\n",
    b" :",
    b": ",
    b"\r\n ",
    b"0\r\n\r\n",
]
LINES = [
    b"GET / HTTP/1.1",
    b"POST /a?b HTTP/1.1",
    b"GET / HTTP/1.0",
    b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"PRI * HTTP/2.0",
]
FIELDS = [
    b"Host: a",
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Expect: 100-continue",
    b"TE: trailers",
    b"X: y",
    b"X: moves",
    b"X_Y: z",
    b" folded",
]
BODIES = [
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"1\r\nx\r\n0;a\r\n\r\n",
]
PLAIN = parse_request_line(b"GET / HTTP/1.1")


def request(chance: random.Random) -> bytes:
    """One request, usually a good one."""
    fields = [chance.choice(FIELDS) for _ in range(chance.randrange(5))]
    if chance.random() < 0.8:
        fields.insert(0, b"Host: a")
    return b"\r\n".join([chance.choice(LINES), *fields, b"", b""]) + chance.choice(BODIES)


def stream(chance: random.Random) -> bytes:
    """One to three requests with some damage."""
    data = b"".join(
        chance.choice(SMALL) if chance.random() < 0.4 else request(chance) for _ in range(chance.randint(1, 3))
    )
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(ODD) + data[at + chance.choice((0, 1, 1, 3)) :]
    return data


def taught() -> HeadMemory:
    """A memory that sets the values of X aside."""
    memory = HeadMemory()
    for number in range(LIMIT + 1):
        remembers_rightly(memory, b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
    return memory


def remembers_rightly(memory: HeadMemory, block: bytes) -> bool:
    """Whether a head is known for what it is, now and after it has been judged."""
    section = block[block.find(b"\r\n") :]
    grammar = Grammar()
    try:
        grammar.read(block)
        terms = inspect(PLAIN, grammar)
    except Refusal:
        return memory.find(section) is None
    right = True
    for _ in range(2):
        known = memory.find(section)
        if known is None:
            memory.keep(section, grammar.fields.copy(), terms, 0)
        else:
            right &= known[0] == grammar.fields and meaning(known[1]) == meaning(terms)
    return right


def meaning(terms: Terms) -> list[object]:
    return [getattr(terms, name) for name in Terms.__slots__]


def disagreements(data: bytes, chance: random.Random, verdicts: Counter[int], memory: HeadMemory) -> list[str]:
    """What does not agree about these bytes."""
    found = []
    one = Outcome(PARSERS[0], [data])
    statuses = [answer.status for answer in one.answers if answer.status >= 200]
    verdicts.update(statuses or [0])
    for parser in PARSERS[1:]:
        other = Outcome(parser, [data])
        if (one.heard, one.scopes, one.bodies) != (other.heard, other.scopes, other.bodies):
            found.append(f"{PARSERS[0]} and {parser}: {one.heard!r} and {other.heard!r}")
    places = [chance.randrange(len(data) + 1) for _ in range(chance.randrange(6))]
    pieces = Outcome(chance.choice(PARSERS), cut(data, places))
    cut_statuses = [answer.status for answer in pieces.answers if answer.status >= 200]
    if (cut_statuses, pieces.bodies) != (statuses, one.bodies):
        found.append(f"the pieces {sorted(places)}: {statuses} and {cut_statuses}")
    end = data.find(b"\r\n\r\n")
    if end >= 0 and begins_well(data):
        block = data[: end + 4]
        grammar = fields_of(Grammar, block)
        for name, parser_type in PARSER_TYPES.items():
            if fields_of(parser_type, block) not in ((grammar, None) if name == "h11" else (grammar,)):
                found.append(f"{name} and the grammar")
        if not remembers_rightly(memory, block):
            found.append("the memory and the grammar")
    return found


def begins_well(data: bytes) -> bool:
    try:
        parse_request_line(data[: data.find(b"\r\n")])
    except Refusal:
        return False
    return True


def main() -> int:
    """Run for some time, and tell what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    chance = random.Random(options.seed)
    end = time.monotonic() + options.seconds
    logging.disable()  # clients leave in the middle here, and applications complain
    streams, bad = 0, 0
    verdicts: Counter[int] = Counter()
    memory = taught()
    while time.monotonic() < end:
        data = stream(chance)
        streams += 1
        if streams % 100 == 0:
            memory = taught()
        try:
            found = disagreements(data, chance, verdicts, memory)
        except Exception as error:  # noqa: BLE001 - the bytes that cause it are what we want to see
            found = [f"an exception, {error!r}"]
        for each in found:
            bad += 1
            print(f"{data!r}\n    {each}", flush=True)
    print(f"seed {options.seed}: {streams} streams, {bad} disagreements; answers: {dict(sorted(verdicts.items()))}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
