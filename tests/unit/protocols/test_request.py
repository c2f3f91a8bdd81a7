"""Request heads beyond the corpus: limits of what is remembered, terms, scopes."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.protocols import request as module
from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.request import (
    CHUNKED,
    FieldCollector,
    inspect,
    make_scope,
    parse_request_line,
    read_request_line,
    strict_fields,
    websocket_scope,
)


def collected(*fields: tuple[bytes, bytes]) -> FieldCollector:
    collector = FieldCollector()
    for name, value in [(b"Host", b"a"), *fields]:
        collector.on_header(name, value)
    return collector


GET = parse_request_line(b"GET / HTTP/1.1")
OLD = parse_request_line(b"GET / HTTP/1.0")


def test_short_lines_are_remembered_and_the_memory_is_bounded() -> None:
    first = read_request_line(b"GET /remembered HTTP/1.1")
    assert read_request_line(b"GET /remembered HTTP/1.1") is first
    for number in range(2000):
        read_request_line(b"GET /%d HTTP/1.1" % number)
        read_request_line(b"GET /" + b"x" * 300 + b"%d HTTP/1.1" % number)
    assert len(module._lines) <= 512
    assert max(map(len, module._lines)) <= 256


def test_hosts_and_names_are_remembered_within_bounds() -> None:
    for number in range(3000):
        inspect(GET, collected((b"X-%d" % number, b"v"), (b"x" * 100 + b"%d" % number, b"v")))
        lone = FieldCollector()
        lone.on_header(b"Host", b"h%d" % number)
        inspect(GET, lone)
    assert len(module._hosts) <= 256
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


def test_the_grammar_gives_names_as_they_are_spelt() -> None:
    assert strict_fields(b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n") == [(b"Host", b"a"), (b"X", b"")]


@pytest.mark.parametrize("line", [b"GET /\r HTTP/1.1", b"GET /\n HTTP/1.1"])
def test_the_grammar_refuses_line_ends_within_the_request_line(line: bytes) -> None:
    with pytest.raises(Refusal):
        strict_fields(line + b"\r\nHost: a\r\n\r\n")


def scope(line: bytes, root_path: str = "", **state: Any) -> dict[str, Any]:
    return make_scope(
        parse_request_line(line),
        [(b"host", b"a")],
        root_path,
        ("1.2.3.4", 5),
        ("::1", 80),
        "http",
        state,
        {"extension": {}},
    )


def test_the_scope_is_as_asgi_2_5_says() -> None:
    assert scope(b"GET /a%20b?c=%20 HTTP/1.1") == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "server": ("::1", 80),
        "client": ("1.2.3.4", 5),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=%20",
        "headers": [(b"host", b"a")],
        "state": {},
        "extensions": {"extension": {}},
    }


def test_the_path_includes_the_root_path() -> None:
    made = scope(b"GET /a%2Fb HTTP/1.1", "/root")
    assert (made["root_path"], made["path"], made["raw_path"]) == ("/root", "/root/a/b", b"/root/a%2Fb")
    assert scope(b"OPTIONS * HTTP/1.1", "/root")["path"] == "*"


def test_the_state_is_a_copy_of_one_level() -> None:
    shared: list[int] = []
    state = {"shared": shared}
    made = make_scope(GET, [], "", None, None, "http", state, {})
    made["state"]["own"] = 1
    assert state == {"shared": shared}
    assert made["state"]["shared"] is shared


def test_a_websocket_scope_has_no_method_and_its_own_scheme() -> None:
    made = websocket_scope(scope(b"GET /chat HTTP/1.1"))
    assert (made["type"], made["scheme"]) == ("websocket", "ws")
    assert "method" not in made
    assert made["extensions"] == {"websocket.http.response": {}}
