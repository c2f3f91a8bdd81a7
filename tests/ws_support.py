"""What the tests of WebSockets share: a context, an in-memory transport, frames of a client, and a tiny HTTP front.

The front reads one request head, as strictly as a test needs it, and hands over as the HTTP connection does: it lets
the WebSocket protocols be tried, and measured, without the rest of the server.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.base import ConnectionContext, Upgrade
from asgi_arbiter.protocols.websocket import WebsocketsProtocol
from asgi_arbiter.protocols.ws_connection import WebSocketConnection
from asgi_arbiter.protocols.ws_frames import apply_mask, frame_head

Application = Callable[[Any, Any, Any], Awaitable[None]]

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455 section 1.3; ``ACCEPT`` is its answer there."""
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x11\x22\x33\x44"

HANDSHAKE = (
    (b"host", b"example.org"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
)


def client_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = MASK) -> bytes:
    """A frame as a client sends it."""
    head = frame_head((0x80 if fin else 0) | rsv << 4 | opcode, len(payload))
    return bytes((head[0], head[1] | 0x80)) + head[2:] + mask + apply_mask(payload, mask)


def make_upgrade(
    transport: Any,
    *,
    headers: tuple[tuple[bytes, bytes], ...] = HANDSHAKE,
    method: str = "GET",
    http_version: str = "1.1",
    target: bytes = b"/chat?x=1",
    leftover: bytes = b"",
    started: float = 0.0,
) -> Upgrade:
    """An upgrade as the HTTP connection makes it."""
    path, _, query = target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": http_version,
        "scheme": "ws",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": ("192.0.2.1", 5000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    return Upgrade(
        scope=scope,
        method=method,
        target=target,
        http_version=http_version,
        transport=transport,
        leftover=leftover,
        started=started,
    )


class MemoryTransport(asyncio.Transport):
    """Keeps what is written. ``lose()`` is the peer's going."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_reading_paused = False
        self.is_closed = False
        self.is_aborted = False
        self.has_eof = False
        self.buffered = 0

    def write(self, data: Any) -> None:
        assert not self.is_closed, "a write to a closed transport"
        self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def take(self) -> bytes:
        """What was written since the last call."""
        written, self.written = self.written, b""
        return written

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False

    def get_write_buffer_size(self) -> int:
        return self.buffered


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Story:
    """``async with Story(app) as story``: a connection made, its transport, and a way to let time pass."""

    def __init__(
        self,
        app: Application = echo,
        protocol: Any = WebsocketsProtocol,
        *,
        settings: dict[str, Any] | None = None,
        draining: str = "",
        access_log: Any = None,
        **upgrade: Any,
    ) -> None:
        self.app = app
        self.protocol = protocol
        self.settings = settings or {}
        self.draining = draining
        self.access_log = access_log
        self.upgrade = upgrade

    async def __aenter__(self) -> Story:
        loop = asyncio.get_running_loop()
        self.context = ConnectionContext(self.app, Config(**self.settings), loop, access_log=self.access_log)
        self.context.draining = self.draining
        self.context.date_header = b"date: now\r\n"
        self.transport = MemoryTransport()
        upgrade = make_upgrade(self.transport, started=loop.time(), **self.upgrade)
        self.connection: WebSocketConnection = self.protocol(self.context, upgrade)
        loop.call_soon(self.connection.connection_made, self.transport)
        await self.settle()
        self.head = self.transport.take()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self.connection in self.context.connections:
            self.connection.connection_lost(None)
        for task in tuple(self.context.tasks):
            task.cancel()
            await asyncio.wait([task])
        await self.settle()
        assert self.context.connections == set()
        assert self.context.in_flight == 0
        assert self.context.completed == 1

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    async def hear(self, data: bytes) -> bytes:
        """What the peer gets in answer to ``data``."""
        self.connection.data_received(data)
        await self.settle()
        return self.transport.take()

    def tick(self, count: int) -> None:
        for _ in range(count):
            self.context.tick += 1
            self.connection.age(self.context.tick)


def story(test: Callable[..., Awaitable[None]]) -> Any:
    """Runs an asynchronous test."""

    def run(**arguments: Any) -> None:
        asyncio.run(test(**arguments))  # type: ignore[arg-type]

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


class Front(asyncio.Protocol):
    """Reads one request head and hands the connection over."""

    def __init__(self, context: ConnectionContext, protocol: Callable[[ConnectionContext, Upgrade], Any]) -> None:
        self.context = context
        self.protocol = protocol
        self.seen = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, end, leftover = self.seen.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.split(b"\r\n")
        method, target, version = lines[0].split(b" ")
        headers = tuple(
            (name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:])
        )
        upgrade = make_upgrade(
            self.transport,
            headers=headers,
            method=method.decode(),
            http_version=version[5:].decode(),
            target=target,
            leftover=leftover,
            started=self.context.loop.time(),
        )
        successor = self.protocol(self.context, upgrade)
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        if leftover:
            successor.data_received(leftover)


class FrontServer:
    """``async with FrontServer(app, protocol) as server``: a real server on a port of loopback."""

    def __init__(self, app: Any, protocol: Callable[[ConnectionContext, Upgrade], Any], **settings: Any) -> None:
        self.app = app
        self.protocol = protocol
        self.config = Config(**settings)

    async def __aenter__(self) -> FrontServer:
        loop = asyncio.get_running_loop()
        self.context = ConnectionContext(self.app, self.config, loop)
        self.server = await loop.create_server(lambda: Front(self.context, self.protocol), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.ticker = loop.create_task(self._tick())
        return self

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.context.tick += 1
            for connection in tuple(self.context.connections):
                connection.age(self.context.tick)

    async def __aexit__(self, *exc: object) -> None:
        self.ticker.cancel()
        self.server.close()
        for connection in tuple(self.context.connections):
            connection.abort()
        for task in tuple(self.context.tasks):
            task.cancel()
        while self.context.connections or self.context.tasks:
            await asyncio.sleep(0.01)
