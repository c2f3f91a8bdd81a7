"""A protocol small enough to be obviously right, and servers that speak it, on both loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from asgi_arbiter import protocols
from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.base import ConnectionContext
from asgi_arbiter.worker import DrainReport, Listener, Server, loops


class LineProtocol(asyncio.Protocol):
    """One line is one request; the answer is what the application sends. ``quit`` closes. No pipelining."""

    def __init__(self, context: ConnectionContext) -> None:
        self.context = context
        self.ticks: list[int] = []
        self.drained = ""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self.context.connections.add(self)
        if self.context.draining:
            self.drain(self.context.draining)

    def connection_lost(self, exc: Exception | None) -> None:
        self.context.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.busy = True
        self.context.in_flight += 1
        task = self.context.loop.create_task(self._answer(data))
        self.context.tasks.add(task)
        task.add_done_callback(self.context.tasks.discard)

    async def _answer(self, data: bytes) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data}

        async def send(message: Any) -> None:
            self.transport.write(message.get("body", b""))

        try:
            await self.context.app({"type": "http", "state": self.context.state.copy()}, receive, send)
        finally:
            self.busy = False
            context = self.context
            context.in_flight -= 1
            context.completed += 1
            if context.completed == context.request_limit:
                context.on_request_limit()
            if context.draining:
                self.transport.close()

    def age(self, tick: int) -> None:
        self.ticks.append(tick)

    def drain(self, reason: str) -> None:
        self.drained = reason
        if not self.busy:
            # A linger, as the real protocols have: what the client has sent already must not be reset.
            self.context.loop.call_later(0.05, self.close_if_idle)

    def close_if_idle(self) -> None:
        if not self.busy:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def is_idle(self) -> bool:
        return not self.busy

    def describe(self) -> str:
        return "a line"


@pytest.fixture
def line_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of this test speak lines."""
    monkeypatch.setattr(protocols, "resolve_http", lambda name: LineProtocol, raising=False)
    monkeypatch.setattr(protocols, "resolve_websocket", lambda name: None, raising=False)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_name(request: pytest.FixtureRequest) -> str:
    """Each loop in turn."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture
def run(loop_name: str) -> Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]:
    """Runs a coroutine function on each loop."""
    return lambda main: loops.run(main, loop_name)


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A directory with a short name, since the path of a Unix socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="aa") as path:
        yield Path(path)


@pytest.fixture
def bind(socket_dir: Path) -> Callable[..., Listener]:
    """Opens a listener on a new Unix socket."""
    from asgi_arbiter.config.address import Address

    def open_one(name: str = "s", **settings: Any) -> Listener:
        return Listener.bind(Address.unix(str(socket_dir / name)), Config(**settings))

    return open_one


class Serving:
    """A server that runs beside the test's own coroutine."""

    def __init__(self, server: Server, path: str, task: asyncio.Task[DrainReport]) -> None:
        self.server = server
        self.path = path
        self.task = task

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.path)

    async def ask(self, line: bytes = b"hello\n") -> bytes:
        reader, writer = await self.connect()
        writer.write(line)
        answer = await reader.read(100)
        writer.close()
        return answer

    async def end(self, reason: str = "shutdown") -> DrainReport:
        self.server.begin_drain(reason)
        return await self.task


@contextlib.asynccontextmanager
async def serving(server: Server, listener: Listener) -> AsyncIterator[Serving]:
    """``server`` on ``listener`` from ready on; drained at the end if it was not before."""
    ready = asyncio.Event()
    path = str(listener.socket.getsockname())
    task = asyncio.create_task(server.serve([listener], on_ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield Serving(server, path, task)
    finally:
        server.abort()
        await asyncio.wait({task})
        listener.close()


@pytest.fixture
def serve() -> Callable[[Server, Listener], contextlib.AbstractAsyncContextManager[Serving]]:
    """Runs a server beside the test."""
    return serving


@pytest.fixture
def echo() -> Callable[..., Coroutine[Any, Any, None]]:
    """An application that answers with what it was sent and knows no lifespan."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    return application


@pytest.fixture
def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the functions ``record`` and ``fail`` of the module ``user_hooks`` were called with."""
    found: list[tuple[Any, ...]] = []
    module: Any = ModuleType("user_hooks")
    module.record = lambda *arguments: found.append(arguments)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("the hook is broken")

    module.fail = fail
    monkeypatch.setitem(sys.modules, "user_hooks", module)
    return found
