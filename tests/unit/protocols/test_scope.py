"""Scopes as ASGI 2.5 has them."""

from __future__ import annotations

from typing import Any

from asgi_arbiter.protocols.request_line import parse_request_line
from asgi_arbiter.protocols.scope import make_scope, websocket_scope

GET = parse_request_line(b"GET / HTTP/1.1")


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
