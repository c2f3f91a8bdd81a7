"""Heads read by h11: what it would accept otherwise."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.h11_parser import H11Parser


def test_a_head_is_collected() -> None:
    parser = H11Parser()
    for _ in range(2):
        parser.read(b"GET / HTTP/1.1\r\nHost: a\r\nX:  y \r\n\r\n")
        assert (parser.fields, parser.host) == ([(b"host", b"a"), (b"x", b"y")], b"a")


@pytest.mark.parametrize("fault", [b"X: a\n", b"X: a\r\n b", b"X : a", b"X: a\rb"])
def test_what_h11_accepts_and_the_grammar_does_not_is_refused(fault: bytes) -> None:
    with pytest.raises(Refusal):
        H11Parser().read(b"GET / HTTP/1.1\r\nHost: a\r\n" + fault + b"\r\n\r\n")


def test_the_fault_is_named_by_our_own_rules_where_h11_says_something_else() -> None:
    with pytest.raises(Refusal, match="400"):
        H11Parser().read(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n")
    with pytest.raises(Refusal, match="501"):
        H11Parser().read(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")
