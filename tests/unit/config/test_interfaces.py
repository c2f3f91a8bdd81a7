"""ASGI 2 and WSGI applications as ASGI 3 applications."""

from __future__ import annotations

import asyncio
import builtins
import functools
import sys
from collections.abc import Callable
from typing import Any

import pytest

from asgi_arbiter.config import AppImportError, MissingExtra
from asgi_arbiter.config.interfaces import adapt, is_coroutine_callable, takes

HTTP = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/a",
    "raw_path": b"/a",
    "query_string": b"x=1",
    "root_path": "",
    "headers": [(b"content-length", b"5")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 2),
}


async def converse(app: Callable[..., Any], scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    incoming = list(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


class OldStyle:
    """An ASGI 2 application."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send({"type": "seen", "version": self.scope["asgi"]["version"], "first": await receive()})


class Awaited:
    """An ASGI 3 application, one instance per connection (Starlette's endpoints)."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    def __await__(self) -> Any:
        yield


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class OldInstance:
    def __call__(self, scope: Any) -> Any: ...


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("201 Created", [("X-Path", environ["PATH_INFO"])])
    return [b"got ", body]


async def asgi3(scope: Any, receive: Any, send: Any) -> None: ...


def wrapper(scope: Any, receive: Any, send: Any) -> Any:
    return asgi3(scope, receive, send)


@pytest.mark.parametrize(
    "app", [asgi3, wrapper, Awaited, Instance(), functools.partial(asgi3), lambda *args: asgi3(*args), min]
)
def test_asgi_3_is_recognised_and_left_alone(app: Callable[..., Any]) -> None:
    assert adapt(app, "auto") is app


@pytest.mark.parametrize("app", [OldStyle, OldInstance(), lambda scope: None])
def test_asgi_2_is_recognised(app: Callable[..., Any]) -> None:
    assert adapt(app, "auto") is not app


@pytest.mark.parametrize("interface", ["wsgi", "asgi2"])
def test_an_asynchronous_application_is_of_no_older_interface(interface: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        """An application."""

    with pytest.raises(AppImportError, match=f"m:a is asynchronous, .*; leave out --interface {interface}"):
        adapt(app, interface, name="m:a")


def test_an_asgi_2_application_gets_its_scope_first_and_its_version() -> None:
    (seen,) = asyncio.run(converse(adapt(OldStyle, "asgi2"), HTTP, {"type": "http.request"}))
    assert seen == {"type": "seen", "version": "2.0", "first": {"type": "http.request"}}
    assert HTTP["asgi"] == {"version": "3.0", "spec_version": "2.5"}


def test_wsgi_is_not_guessed_but_named() -> None:
    with pytest.raises(AppImportError, match=r'"main:app" takes two arguments.*--interface wsgi'):
        adapt(wsgi, "auto", name='"main:app"')


def test_what_takes_other_arguments_is_no_application() -> None:
    with pytest.raises(AppImportError, match="is not an ASGI application"):
        adapt(lambda a, b, c, d: None, "auto")


def test_an_interface_that_was_asked_for_is_not_questioned() -> None:
    assert adapt(wsgi, "asgi3") is wsgi


def test_a_wsgi_application_answers_requests() -> None:
    sent = asyncio.run(
        converse(adapt(wsgi, "wsgi"), HTTP, {"type": "http.request", "body": b"hello", "more_body": False})
    )
    assert sent[0]["status"] == 201
    assert (b"x-path", b"/a") in sent[0]["headers"]
    assert b"".join(message.get("body", b"") for message in sent[1:]) == b"got hello"


def test_a_wsgi_application_refuses_websockets() -> None:
    sent = asyncio.run(converse(adapt(wsgi, "wsgi"), {"type": "websocket"}, {"type": "websocket.connect"}))
    assert sent == [{"type": "websocket.close", "code": 1000}]


def test_a_wsgi_application_has_a_lifespan() -> None:
    sent = asyncio.run(
        converse(adapt(wsgi, "wsgi"), {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    )
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_missing_a2wsgi_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "a2wsgi":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "a2wsgi", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'asgi-arbiter\[wsgi\]'"):
        adapt(wsgi, "wsgi")


def test_coroutine_callables_are_told_from_others() -> None:
    assert is_coroutine_callable(asgi3)
    assert is_coroutine_callable(functools.partial(functools.partial(asgi3)))
    assert is_coroutine_callable(Instance())
    assert not is_coroutine_callable(Instance)
    assert not is_coroutine_callable(wsgi)
    assert not is_coroutine_callable(5)


def test_what_a_callable_takes_is_unknown_where_it_has_no_signature() -> None:
    assert takes(min, 3) is None
    assert takes(wsgi, 2) is True
    assert takes(wsgi, 3) is False
