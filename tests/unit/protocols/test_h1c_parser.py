"""Heads read by picohttpparser: what it would accept otherwise."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.errors import Refusal

pytest.importorskip("gunicorn_h1c")

from asgi_arbiter.protocols.h1c_parser import H1CParser


def test_a_head_is_collected() -> None:
    parser = H1CParser()
    for _ in range(2):
        parser.read(b"GET / HTTP/1.1\r\nHost: a \t\r\nX: \t y \r\nEmpty:\r\n\r\n")
        assert parser.host == b"a"
        assert parser.fields == [(b"host", b"a"), (b"x", b"y"), (b"empty", b"")]


def test_a_head_without_fields_has_none() -> None:
    parser = H1CParser()
    parser.read(b"GET / HTTP/1.0\r\n\r\n")
    assert (parser.fields, parser.host) == ([], None)


@pytest.mark.parametrize(
    "fault",
    [
        b"X: a\nY: b",
        b"X: a\n\nY: \rb\r",
        b"X: a\n\nY: b\rZ: c\r",
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b" X: a",
        b"X: a\n b",
        b"X : a",
        b"X: a\rb",
        b": a",
        b"X: a\0b",
        b"X\xe9: a",
        b"no colon",
    ],
)
def test_what_is_not_in_the_grammar_is_refused(fault: bytes) -> None:
    for head in (b"Host: a\r\n" + fault, fault + b"\r\nHost: a"):
        with pytest.raises(Refusal):
            H1CParser().read(b"GET / HTTP/1.1\r\n" + head + b"\r\n\r\n")


def test_heads_of_more_fields_than_the_library_has_room_for_are_read() -> None:
    parser = H1CParser()
    parser.read(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(1000)) + b"\r\n")
    assert len(parser.fields) == 1000
