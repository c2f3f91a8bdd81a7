"""Responses as bytes: lines, fields, refusals. What an application may not send is in ``test_cycle``."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from asgi_arbiter.protocols import response as module
from asgi_arbiter.protocols.errors import MisusedByApplication
from asgi_arbiter.protocols.response import (
    Field,
    declared_length,
    encode_fields,
    has_no_body,
    refusal_bytes,
    status_line,
)


def test_status_lines() -> None:
    assert status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert status_line(HTTPStatus.NOT_FOUND) == b"HTTP/1.1 404 Not Found\r\n"
    assert status_line(999) == b"HTTP/1.1 999 \r\n"


@pytest.mark.parametrize("status", [0, 99, 100, 199, 1000, -200, "200", None, 200.5])
def test_a_response_has_a_final_status(status: int) -> None:
    with pytest.raises(MisusedByApplication, match="status"):
        status_line(status)


def test_each_field_is_one_line() -> None:
    parts: list[bytes] = []
    assert encode_fields([(b"a", b"b"), (b"C-D", b"")], parts) == 0
    assert parts == [b"a: b\r\n", b"C-D: \r\n"]


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        (b"date", b"x", Field.DATE),
        (b"Server", b"x", Field.SERVER),
        (b"Connection", b"Close", Field.CLOSE),
        (b"connection", b"keep-alive", 0),
    ],
)
def test_fields_that_the_server_must_know_are_flagged(name: bytes, value: bytes, flag: int) -> None:
    assert encode_fields([(name, value)], []) == flag


def test_the_declared_length_comes_with_the_flags() -> None:
    flags = encode_fields([(b"date", b""), (b"content-length", b"123456789012")], [])
    assert flags & Field.CONTENT_LENGTH
    assert flags & Field.DATE
    assert not flags & Field.SERVER
    assert declared_length(flags) == 123456789012


def test_names_are_remembered_within_bounds() -> None:
    for number in range(3000):
        encode_fields([(b"x-%d" % number, b"")], [])
    assert len(module._prefixes) <= 1024


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [(200, "HEAD", True), (204, "GET", True), (304, "GET", True), (200, "GET", False), (205, "GET", False)],
)
def test_responses_without_a_body(status: int, method: str, expected: bool) -> None:
    assert has_no_body(status, method) is expected


def test_a_refusal_is_a_whole_answer() -> None:
    assert refusal_bytes(400, "No.", b"date: d\r\n", b"server: s\r\n") == (
        b"HTTP/1.1 400 Bad Request\r\ndate: d\r\nserver: s\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"content-length: 4\r\nconnection: close\r\n\r\nNo.\n"
    )
    assert b"\r\nretry-after: 1\r\n" in refusal_bytes(503, "Busy.", b"", b"")
    assert refusal_bytes(400, "No.", b"", b"", body=False).endswith(b"\r\n\r\n")
