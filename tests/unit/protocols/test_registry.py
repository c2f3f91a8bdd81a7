"""The registry: names of settings to protocols, and what the access log is told."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from asgi_arbiter.config import Config, MissingExtra
from asgi_arbiter.protocols import resolve_http, resolve_websocket
from asgi_arbiter.protocols.connection import HttpConnection
from tests.http_support import PARSERS, Client, hello, request, run

CLASSES = {"h1c": "H1CParser", "httptools": "HttptoolsParser", "h11": "H11Parser"}
MODULES = {name: f"asgi_arbiter.protocols.{name}_parser" for name in CLASSES}


@pytest.mark.parametrize("name", PARSERS)
def test_each_name_gives_the_same_connection_with_its_parser(name: str) -> None:
    async def story() -> None:
        client = Client(hello, name)
        assert isinstance(client.connection, HttpConnection)
        assert type(client.context.http_policy.parser).__name__ == CLASSES[name]  # type: ignore[union-attr]

    run(story())


def test_a_protocol_from_elsewhere_is_imported_by_module_and_name() -> None:
    assert resolve_http("asgi_arbiter.protocols.connection:HttpConnection") is HttpConnection
    assert resolve_websocket("asgi_arbiter.protocols.base:Upgrade") is not None


def chosen(name: str) -> str:
    made: Any = resolve_http(name)
    found: str = made.keywords["parser_type"].__name__
    return found


def test_auto_is_the_first_parser_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen("auto") == "HttptoolsParser"
    monkeypatch.setitem(sys.modules, MODULES["httptools"], None)
    assert chosen("auto") == ("H1CParser" if "h1c" in PARSERS else "H11Parser")
    monkeypatch.setitem(sys.modules, MODULES["h1c"], None)
    assert chosen("auto") == "H11Parser"


@pytest.mark.parametrize(
    ("name", "command"), [("h1c", r"pip install 'asgi-arbiter\[h1c\]'"), ("httptools", "pip install httptools")]
)
def test_a_parser_that_is_missing_is_an_error_with_the_command(
    name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, MODULES[name], None)
    with pytest.raises(MissingExtra, match=command):
        resolve_http(name)


def test_without_a_library_auto_serves_no_websockets_and_a_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_websocket("auto") is not None
    monkeypatch.setattr("asgi_arbiter.protocols.find_spec", lambda name: None)
    assert resolve_websocket("auto") is None
    with pytest.raises(MissingExtra, match="pip install websockets"):
        resolve_websocket("websockets")


def test_none_is_no_websocket() -> None:
    assert resolve_websocket("none") is None


def test_connections_of_a_worker_share_one_policy() -> None:
    async def story() -> None:
        first = Client(hello)
        second = Client(hello, context=first.context)
        assert first.connection.policy is second.connection.policy
        await first.say(request())

    run(story())
    assert Config().http == "auto"
