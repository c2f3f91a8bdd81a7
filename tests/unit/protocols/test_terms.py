"""What fields mean together, and limits of what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.protocols import terms as module
from asgi_arbiter.protocols.fields import FieldCollector
from asgi_arbiter.protocols.request_line import parse_request_line
from asgi_arbiter.protocols.terms import CHUNKED, inspect

GET = parse_request_line(b"GET / HTTP/1.1")
OLD = parse_request_line(b"GET / HTTP/1.0")


def collected(*fields: tuple[bytes, bytes]) -> FieldCollector:
    collector = FieldCollector()
    for name, value in [(b"Host", b"a"), *fields]:
        collector.on_header(name, value)
    return collector


def test_hosts_are_remembered_within_bounds() -> None:
    for number in range(3000):
        lone = FieldCollector()
        lone.on_header(b"Host", b"h%d" % number)
        inspect(GET, lone)
    assert len(module._hosts) <= 256


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], {}),
        ([(b"Content-Length", b"5")], {"length": 5}),
        ([(b"Transfer-Encoding", b"chunked")], {"length": CHUNKED}),
        ([(b"Connection", b"close")], {"keep_alive": False}),
        ([(b"Expect", b"100-Continue"), (b"Content-Length", b"5")], {"length": 5, "expects": True}),
        ([(b"Expect", b"100-continue")], {}),
        ([(b"X-Forwarded-For", b"1.2.3.4")], {"forwarded": True}),
        ([(b"TE", b"gzip, Trailers")], {"trailers": True}),
        ([(b"A_B", b"")], {"underscored": True}),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"WebSocket")], {"upgrade": True}),
        ([(b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), (b"Content-Length", b"1")], {"length": 1}),
    ],
)
def test_the_terms_of_a_head(fields: list[tuple[bytes, bytes]], expected: dict[str, Any]) -> None:
    terms = inspect(GET, collected(*fields))
    usual = {
        "length": 0,
        "keep_alive": True,
        "expects": False,
        "upgrade": False,
        "forwarded": False,
        "trailers": False,
        "underscored": False,
    }
    assert {name: getattr(terms, name) for name in usual} == usual | expected


def test_http_1_0_is_kept_only_when_asked() -> None:
    assert not inspect(OLD, collected()).keep_alive
    assert inspect(OLD, collected((b"Connection", b"keep-alive"))).keep_alive
