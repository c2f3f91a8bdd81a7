"""Denial responses."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.errors import MisusedByApplication
from asgi_arbiter.protocols.ws_denial import Denial, plain


def test_a_body_in_one_message_gets_its_length() -> None:
    denial = Denial(401, [(b"www-authenticate", b"Basic")], b"date: now\r\n")
    assert not denial.is_begun
    assert denial.body(b"who?", more=False) == (
        b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ndate: now\r\n"
        b"connection: close\r\ncontent-length: 4\r\n\r\nwho?"
    )
    assert denial.is_complete
    assert denial.is_begun


def test_a_body_in_several_messages_is_chunked() -> None:
    denial = Denial(400, [], b"")
    sent = denial.body(b"one", more=True) + denial.body(b"", more=True) + denial.body(b"three", more=False)
    assert sent.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")
    assert denial.bytes_sent == 8


def test_an_announced_length_is_kept() -> None:
    denial = Denial(400, [(b"Content-Length", b"4")], b"")
    sent = denial.body(b"ab", more=True) + denial.body(b"cd", more=False)
    assert sent.endswith(b"\r\n\r\nabcd")
    assert sent.lower().count(b"content-length") == 1
    assert b"chunked" not in sent


@pytest.mark.parametrize(("body", "more"), [(b"abcde", True), (b"abc", False)])
def test_a_body_that_breaks_its_announced_length_is_an_error(body: bytes, more: bool) -> None:
    denial = Denial(400, [(b"content-length", b"4")], b"")
    with pytest.raises(MisusedByApplication, match="content-length"):
        denial.body(body, more=more)


def test_204_has_no_body() -> None:
    sent = Denial(204, [(b"content-length", b"0")], b"").body(b"ignored", more=False)
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [101, 100, 1000, "403"])
def test_a_status_that_cannot_refuse_is_an_error(status: int) -> None:
    with pytest.raises(MisusedByApplication):
        Denial(status, [], b"")


def test_a_header_with_a_line_break_is_an_error() -> None:
    with pytest.raises(MisusedByApplication):
        Denial(403, [(b"a", b"b\nc")], b"")


def test_an_answer_of_the_server_is_whole() -> None:
    answer = plain(426, "try 13", ((b"sec-websocket-version", b"13"),), b"server: x\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 Upgrade Required\r\nsec-websocket-version: 13\r\n")
    assert b"server: x\r\n" in head
    assert b"content-length: 7" in head
    assert body == b"try 13\n"
