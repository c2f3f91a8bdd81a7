"""Heads read by httptools: what llhttp would do otherwise."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.httptools_parser import HttptoolsParser

PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
FIELDS = [(b"host", b"a"), (b"x", b"y")]


@pytest.mark.parametrize(
    "before",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    ],
)
def test_nothing_of_one_head_is_left_for_the_next(before: bytes) -> None:
    parser = HttptoolsParser()
    try:
        parser.read(before)
    except Refusal:
        pass
    parser.read(PLAIN)
    assert parser.fields == FIELDS


def test_white_space_at_the_end_of_a_value_is_taken_away() -> None:
    parser = HttptoolsParser()
    parser.read(b"GET / HTTP/1.1\r\nHost: a \t\r\nX: \t y \r\n\r\n")
    assert (parser.fields, parser.host) == (FIELDS, b"a")


def test_methods_that_llhttp_does_not_know_are_read_all_the_same() -> None:
    parser = HttptoolsParser()
    parser.read(PLAIN.replace(b"GET", b"FROB"))
    assert parser.fields == FIELDS
