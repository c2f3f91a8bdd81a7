"""What a program may ask of a server under uvicorn's names."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from asgi_arbiter.arbiter.public_config import Config
from asgi_arbiter.arbiter.public_state import ServerState


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application of a program."""


def state_of(context: Any, **keywords: Any) -> ServerState:
    return ServerState(Config(app, log_config=None, **keywords), lambda: context)


def test_before_the_start_there_is_nothing() -> None:
    state = state_of(None, server_header=False)
    assert (state.total_requests, len(state.connections), len(state.tasks)) == (0, 0, 0)
    assert state.default_headers == []


def test_what_is_under_way_counts_as_a_request() -> None:
    assert state_of(SimpleNamespace(completed=3, in_flight=2)).total_requests == 5


def test_connections_and_tasks_are_the_server_s_own() -> None:
    context = SimpleNamespace(connections={object()}, tasks=set[asyncio.Task[object]]())
    state = state_of(context)
    assert state.connections is context.connections
    assert state.tasks is context.tasks


def test_the_headers_of_each_response_are_told() -> None:
    context = SimpleNamespace(date_header=b"date: Sun, 22 Nov 2026 10:00:00 GMT\r\n")
    date = (b"date", b"Sun, 22 Nov 2026 10:00:00 GMT")
    assert state_of(context).default_headers == [date, (b"server", b"asgi-arbiter")]
    context.date_header = b""
    assert state_of(context, headers=[("X-One", "1")], server_header=False).default_headers == [(b"x-one", b"1")]
