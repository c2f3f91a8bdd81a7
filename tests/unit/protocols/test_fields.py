"""Header fields: what the collector tells, what the grammar refuses, limits of what is remembered."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols import fields as module
from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.fields import FieldCollector, strict_fields


def collected(*fields: tuple[bytes, bytes]) -> FieldCollector:
    collector = FieldCollector()
    for name, value in [(b"Host", b"a"), *fields]:
        collector.on_header(name, value)
    return collector


def test_names_are_remembered_within_bounds() -> None:
    for number in range(3000):
        collected((b"X-%d" % number, b"v"), (b"x" * 100 + b"%d" % number, b"v"))
    assert len(module._ordinary) <= 1024
    assert max(map(len, module._ordinary)) < 64


def test_ordinary_fields_are_told_at_once() -> None:
    name = b"X-Ordinary"
    collected((name, b"v"))
    collector = collected((name, b"v"), (b"Connection", b"keep-alive"))
    assert not collector.special
    assert collector.fields == [(b"host", b"a"), (b"x-ordinary", b"v"), (b"connection", b"keep-alive")]


@pytest.mark.parametrize(
    "name", [b"Connection", b"Content-Length", b"TE", b"Transfer-Encoding", b"Upgrade", b"X_Y", b"HOST"]
)
def test_special_fields_are_never_taken_for_ordinary(name: bytes) -> None:
    for _ in range(2):
        assert collected((name, b"close")).special


def test_a_collector_forgets_the_last_head() -> None:
    collector = collected((b"Content-Length", b"5"))
    assert collector.framed
    collector.restart()
    assert (collector.fields, collector.host, collector.special, collector.framed) == ([], None, False, False)


def test_the_grammar_gives_names_as_they_are_spelt() -> None:
    assert strict_fields(b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n") == [(b"Host", b"a"), (b"X", b"")]


@pytest.mark.parametrize("line", [b"GET /\r HTTP/1.1", b"GET /\n HTTP/1.1"])
def test_the_grammar_refuses_line_ends_within_the_request_line(line: bytes) -> None:
    with pytest.raises(Refusal):
        strict_fields(line + b"\r\nHost: a\r\n\r\n")
