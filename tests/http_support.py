"""A client for HTTP connections without a network: bytes in, bytes out, over a transport that lives in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from asgi_arbiter.config import Config
from asgi_arbiter.protocols import resolve_http
from asgi_arbiter.protocols.base import ConnectionContext

PARSERS = ("httptools", "h11", *(["h1c"] if find_spec("gunicorn_h1c") else []))
"""The parsers that are installed."""
DATE = b"date: Sun, 22 Nov 2026 07:00:00 GMT\r\n"

Application = Callable[[Any, Any, Any], Awaitable[None]]


class MemoryTransport(asyncio.Transport):
    """What asyncio's socket transport does, with a list in place of a socket. ``full`` stands for a slow reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop, extra: dict[str, Any]) -> None:
        super().__init__(extra)
        self.loop = loop
        self.sent = bytearray()
        self.protocol: Any = None
        self.is_reading_paused = False
        self.closing = False
        self.aborted = False
        self.has_sent_eof = False
        self.lost = False
        self.writes = 0
        self.unflushed = 0

    def write(self, data: Any) -> None:
        assert not self.has_sent_eof, "wrote after the end of file"
        if not self.closing:
            self.writes += 1
            self.sent += data

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.lose)

    def abort(self) -> None:
        self.aborted = True
        self.closing = True
        self.loop.call_soon(self.lose)

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone, for whatever reason."""
        if not self.lost:
            self.lost = self.closing = True
            self.protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return self.get_extra_info("sslcontext") is None

    def write_eof(self) -> None:
        self.has_sent_eof = True

    def pause_reading(self) -> None:
        assert not self.closing
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        assert not self.closing
        self.is_reading_paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]

    def get_write_buffer_size(self) -> int:
        return self.unflushed


@dataclass
class Answer:
    """One response, taken apart."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    version: bytes = b"HTTP/1.1"
    chunked: bool = False
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def get(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class Client:
    """One client with its connection. Use inside a running loop."""

    def __init__(
        self,
        app: Application,
        parser: str = "httptools",
        *,
        access_log: Any = None,
        extra: dict[str, Any] | None = None,
        context: ConnectionContext | None = None,
        websocket_protocol: Any = None,
        **settings: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.context = context or ConnectionContext(
            app, Config(**settings), loop, access_log=access_log, websocket_protocol=websocket_protocol
        )
        self.context.date_header = DATE
        info: dict[str, Any] = {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8000)}
        self.transport = MemoryTransport(loop, info | (extra or {}))
        self.connection: Any = resolve_http(parser)(self.context)
        self.transport.protocol = self.connection
        self.frozen: bytes | None = None
        self.connection.connection_made(self.transport)

    async def say(self, *pieces: bytes) -> None:
        """Send bytes and let the server work until it is quiet."""
        for piece in pieces:
            if not self.transport.closing and not self.transport.is_reading_paused:
                await self.call(self.transport.protocol.data_received, piece)
            await self.quiet()

    async def call(self, method: Callable[..., Any], *arguments: Any) -> None:
        """Call the protocol as a loop does: from a callback, not from within a task."""
        asyncio.get_running_loop().call_soon(method, *arguments)
        await asyncio.sleep(0)

    async def quiet(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    async def half_close(self) -> None:
        await self.call(lambda: self.transport.protocol.eof_received() or self.transport.close())
        await self.quiet()

    async def leave(self) -> None:
        self.transport.lose()
        await self.quiet()

    async def pass_time(self, ticks: int) -> None:
        for _ in range(ticks):
            self.context.tick += 1
            for connection in tuple(self.context.connections):
                await self.call(connection.age, self.context.tick)
            await self.quiet()

    @property
    def heard(self) -> bytes:
        return bytes(self.transport.sent) if self.frozen is None else self.frozen

    def freeze(self) -> None:
        """Hear nothing further: what is still running is about to be cancelled with the loop."""
        self.frozen = bytes(self.transport.sent)

    @property
    def is_finished(self) -> bool:
        """The server has said its last word: the connection is closed, or closed for writing."""
        return self.transport.closing or self.transport.has_sent_eof

    def answers(self, *methods: str) -> list[Answer]:
        return parse_answers(self.heard, methods, finished=self.is_finished)


def run(story: Coroutine[Any, Any, Any]) -> Any:
    """Run one story to its end; tasks that it leaves behind are cancelled."""
    return asyncio.run(story)


def talk(parser: str, app: Any, *pieces: bytes, ticks: int = 0, **settings: Any) -> Client:
    """Say ``pieces`` one after the other, and give the client with what it heard."""

    async def story() -> Client:
        client = Client(app, parser, **settings)
        await client.say(*pieces)
        await client.pass_time(ticks)
        client.freeze()
        return client

    return run(story())  # type: ignore[no-any-return]


def parse_answers(data: bytes, methods: tuple[str, ...] = (), *, finished: bool = True) -> list[Answer]:
    """Take a stream of responses apart, strictly. ``methods`` are those of the requests, GET where it ends."""
    answers: list[Answer] = []
    while data:
        head, found, data = data.partition(b"\r\n\r\n")
        assert found, f"a head without an end: {head!r}"
        line, *fields = head.split(b"\r\n")
        version, status, _ = line.split(b" ", 2)
        headers = [tuple(text.split(b": ", 1)) for text in fields]
        assert all(len(pair) == 2 for pair in headers), headers
        answer = Answer(int(status), [(name.lower(), value) for name, value in headers], b"", version)
        answers.append(answer)
        final = sum(1 for each in answers if each.status >= 200)
        method = methods[final - 1] if 0 < final <= len(methods) else "GET"
        if answer.status < 200 or answer.status in (204, 304) or method == "HEAD":
            continue
        data = _take_body(answer, data, finished)
    return answers


def _take_body(answer: Answer, data: bytes, finished: bool) -> bytes:
    length = answer.get(b"content-length")
    if answer.get(b"transfer-encoding") == b"chunked":
        assert length is None
        answer.chunked = True
        while True:
            size, found, data = data.partition(b"\r\n")
            assert found, "a chunked body without an end"
            if not int(size, 16):
                break
            answer.body += data[: int(size, 16)]
            assert data[int(size, 16) :][:2] == b"\r\n"
            data = data[int(size, 16) + 2 :]
        while not data.startswith(b"\r\n"):
            line, found, data = data.partition(b"\r\n")
            assert found, "trailers without an end"
            name, _, value = line.partition(b": ")
            answer.trailers.append((name, value))
        return data[2:]
    if length is not None:
        assert len(data) >= int(length), f"a body that is too short: {data!r}"
        answer.body = data[: int(length)]
        return data[int(length) :]
    assert finished, "a body without an end"
    answer.body = data
    return b""


# Applications for tests


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers without reading."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def read_body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("the client left while its body was read")
        body += message["body"]
        if not message["more_body"]:
            return body


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the request's body."""
    body = await read_body(receive)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Recorder:
    """Keeps what it was asked, and echoes."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = await read_body(receive)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def request(
    target: str = "/", method: str = "GET", *fields: str, body: bytes = b"", version: str = "HTTP/1.1", host: str = "a"
) -> bytes:
    """A request as bytes; a body gets its content-length."""
    lines = [f"{method} {target} {version}", f"Host: {host}", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


START = {"type": "http.response.start", "status": 200, "headers": []}


def respond(*messages: dict[str, Any], data: bytes = request(), **settings: Any) -> tuple[Client, list[BaseException]]:
    """Let an application send ``messages``; give the client, and what ``send`` raised."""
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            try:
                await send(message)
            except Exception as error:
                raised.append(error)
                raise

    async def story() -> Client:
        client = Client(app, **settings)
        await client.say(data)
        client.freeze()
        return client

    return run(story()), raised


def body(data: Any, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def start(status: int = 200, *headers: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}
