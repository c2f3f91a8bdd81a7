"""Random requests, nearly right: all parsers must give the same answer to the same bytes, however they are cut.

``ARBITER_FUZZ_EXAMPLES`` sets how many are tried (a few hundred by default; some ten thousand outside CI).
"""

from __future__ import annotations

import itertools
import os
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_arbiter.protocols import resolve_http
from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.fields import FieldCollector, strict_fields
from asgi_arbiter.protocols.request_line import parse_request_line
from tests.conformance.test_http1_corpus import CASES, Outcome
from tests.http_support import PARSERS

PARSER_TYPES: dict[str, Any] = {name: cast(Any, resolve_http(name)).keywords["parser_type"] for name in PARSERS}
EXAMPLES = int(os.environ.get("ARBITER_FUZZ_EXAMPLES", "300"))
thorough = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=EXAMPLES == 300
)

odd_bytes = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"\x7f", b"\xff", b"_", b"0", b"\x0b"]
)
names = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Expect",
        b"Upgrade",
        b"X-A",
        b"X_A",
        b"",
        b"\xe9",
    ]
)
values = st.sampled_from(
    [
        b"a",
        b"5",
        b"0",
        b"chunked",
        b"gzip, chunked",
        b"close",
        b"keep-alive",
        b"upgrade",
        b"100-continue",
        b"h2c",
        b"5, 5",
    ]
) | st.binary(max_size=6)
fields = st.tuples(names, st.sampled_from([b":", b": ", b" :", b":\t ", b""]), values).map(b"".join)
lines = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"POST /a?b HTTP/1.1",
        b"FROB / HTTP/1.0",
        b"get * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET http://a/ HTTP/1.1",
    ]
)
bodies = st.sampled_from(
    [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One or two requests made of likely parts, then damaged in a place or two, perhaps."""
    data = b""
    for _ in range(draw(st.integers(1, 2))):
        parts = [draw(lines), *draw(st.lists(fields, max_size=4))]
        if draw(st.integers(0, 3)):
            parts.insert(1, b"Host: a")
        data += b"\r\n".join([*parts, b"", b""]) + draw(bodies)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(odd_bytes) + data[at + draw(st.integers(0, 1)) :]
    return data


@st.composite
def damaged_cases(draw: st.DrawFn) -> bytes:
    """A case of the corpus with a byte changed, inserted or left out."""
    data: bytes = draw(st.sampled_from(SMALL))
    at = draw(st.integers(0, len(data) - 1))
    return data[:at] + draw(odd_bytes | st.binary(max_size=1)) + data[at + draw(st.integers(0, 1)) :]


SMALL = [case.values[0]["bytes"].encode("latin-1") for case in CASES if len(case.values[0]["bytes"]) < 500]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def same(one: Outcome, other: Outcome) -> None:
    assert one.heard == other.heard
    assert one.scopes == other.scopes
    assert one.bodies == other.bodies


@given(requests() | damaged_cases())
@thorough
def test_all_parsers_give_the_same_answer_to_the_same_bytes(data: bytes) -> None:
    first = Outcome(PARSERS[0], [data])
    for parser in PARSERS[1:]:
        same(first, Outcome(parser, [data]))


@given(requests() | damaged_cases(), st.lists(st.integers(0, 1000), max_size=5))
@thorough
def test_the_answer_does_not_depend_on_how_the_bytes_arrive(data: bytes, places: list[int]) -> None:
    whole, pieces = Outcome("httptools", [data]), Outcome("httptools", cut(data, places))
    assert [answer.status for answer in whole.answers if answer.status >= 200] == [
        answer.status for answer in pieces.answers if answer.status >= 200
    ]
    assert whole.bodies == pieces.bodies


@given(requests() | damaged_cases(), lines)
@thorough
def test_the_answer_does_not_depend_on_what_was_asked_before(data: bytes, line: bytes) -> None:
    before = line + data[data.find(b"\r\n") :] if b"\r\n" in data else data
    same(Outcome("httptools", [data]), Outcome("httptools", [data], before=before))


@given(requests() | damaged_cases())
@thorough
def test_whatever_a_parser_reads_is_what_the_grammar_says(data: bytes) -> None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return
    block = data[: end + 4]
    try:
        parse_request_line(block[: block.find(b"\r\n")])
    except Refusal:
        return
    grammar = fields_of(Grammar, block)
    for name, parser_type in PARSER_TYPES.items():
        # h11 also checks what fields mean together, which the connection leaves to `inspect`.
        assert fields_of(parser_type, block) in ((grammar, None) if name == "h11" else (grammar,))


class Grammar(FieldCollector):
    """The reference."""

    def read(self, block: bytes) -> None:
        for name, value in strict_fields(block):
            self.on_header(name, value)


def fields_of(parser_type: Any, block: bytes) -> Any:
    parser = parser_type()
    try:
        parser.read(block)
    except Refusal:
        return None
    return parser.fields, parser.host, parser.framed
