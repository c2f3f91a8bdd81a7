"""The WebSocket connection: the ``asyncio.Protocol`` that both libraries share. It owns the transport.

The reading half is in ``ws_reader``, the conversation with the application in ``ws_session``, the end and its deadlines
in ``ws_farewell``; here is how it begins, and what goes out.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from .errors import MisusedByApplication
from .response import Field, encode_fields
from .ws_core import CoreFactory
from .ws_deflate import COMPRESS_FROM, Wishes
from .ws_denial import Denial, plain
from .ws_farewell import Farewell
from .ws_frames import frame_head
from .ws_handshake import Handshake, HandshakeRefused, check, response, share
from .ws_session import Phase, Session, leaving_code

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

    from .asgi import Message
    from .base import ConnectionContext, Upgrade

__all__ = ["WebSocketConnection"]

_JOIN_BELOW: Final = 1 << 14
_TEXT_HEADS, _BINARY_HEADS = ([bytes((first, size)) for size in range(126)] for first in (0x81, 0x82))
_OPEN = Phase.OPEN


class WebSocketConnection(Farewell):
    """One WebSocket, from the checked request head to the end of its transport. A ``Connection`` of ``base``."""

    __slots__ = (
        "_bytes_sent",
        "_handshake",
        "_method",
        "_owed_pong",
        "_plain_below",
        "_started",
        "_status",
        "_target",
        "_upgrade",
        "_waiters",
        "session",
    )

    def __init__(self, context: ConnectionContext, upgrade: Upgrade, make_core: CoreFactory) -> None:
        super().__init__(context, make_core)
        self.transport = upgrade.transport
        self.session = Session(context, upgrade.scope, self)
        self._upgrade: Upgrade | None = upgrade
        self._method = upgrade.method
        self._target = upgrade.target
        self._started = upgrade.started
        self._handshake: Handshake | None = None
        self._plain_below = len(_TEXT_HEADS)
        """Messages of fewer bytes go out as they are, behind a head of two bytes."""
        self._status = 0
        self._bytes_sent = 0
        self._owed_pong: bytes | None = None
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The HTTP connection hands over: judge the handshake and call the application."""
        self.transport = cast(asyncio.Transport, transport)
        context = self.context
        context.connections.add(self)
        context.in_flight += 1
        upgrade, self._upgrade = self._upgrade, None
        assert upgrade is not None, "a connection is made once"
        scope = upgrade.scope
        try:
            self._handshake = check(upgrade.method, upgrade.http_version, scope["headers"], _wishes(context.config))
        except HandshakeRefused as refusal:
            self.session.phase = Phase.CLOSED
            self._answer(refusal.status, refusal.reason, refusal.headers)
            return
        share(scope["headers"], context.tick)
        scope["subprotocols"] = list(self._handshake.subprotocols)
        if context.draining:
            self.session.leave(leaving_code(context.draining))
        self.session.start()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._is_lost = True
        self.context.connections.discard(self)
        self.session.end(1006)
        self._core = None
        self._rest = b""
        self.resume_writing()
        self._log_access()
        if self.session.is_over:
            self._settle()

    def eof_received(self) -> None:
        """The transport closes itself: nothing can be said any more to a peer that only half listens."""

    def pause_writing(self) -> None:
        """From the transport: its buffer is over the high-water mark."""
        self.is_blocked = True
        self._taking = None

    def resume_writing(self) -> None:
        """From the transport: its buffer is below the low-water mark."""
        self.is_blocked = False
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._owed_pong is not None and not self._is_lost:
            payload, self._owed_pong = self._owed_pong, None
            self.answer_ping(payload)

    async def writable(self) -> None:
        """See ``Wire``. A future for each waiter: a cancelled one must not take the others along."""
        while self.is_blocked:
            waiter = self.context.loop.create_future()
            self._waiters += (waiter,)
            await waiter

    # The session's calls (``Wire``)

    def accept(self, subprotocol: str | None, headers: Iterable[Any]) -> None:
        """See ``Wire``."""
        handshake = self._handshake
        assert handshake is not None, "only a checked handshake starts the application, and it is accepted once"
        lines = list(headers)
        head = response(handshake, subprotocol=subprotocol, headers=lines, common=self._common(lines))
        self.transport.write(head)
        self.deflate, self._handshake = handshake.deflate, None
        if self.deflate is not None:
            self._plain_below = COMPRESS_FROM
        self._status = 101
        if self.context.config.ws_ping_interval:
            self._ping_at = self.context.tick + math.ceil(self.context.config.ws_ping_interval)

    def refuse(self, status: int, reason: str) -> None:
        """See ``Wire``."""
        self._answer(status, reason, ())

    def _answer(self, status: int, reason: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._bytes_sent = len(reason) + bool(reason)
        self.transport.write(plain(status, reason, headers, self._common(())))
        self._shut()

    def start_denial(self, status: int, headers: Iterable[Any]) -> Denial:
        """See ``Wire``."""
        lines = list(headers)
        denial = Denial(status, lines, self._common(lines))
        self._status = status
        return denial

    def write_denial(self, data: bytes, denial: Denial) -> None:
        """See ``Wire``."""
        self._bytes_sent = denial.bytes_sent
        if data:
            self.transport.write(data)
        if denial.is_complete:
            self._shut()

    def send_message(self, message: Message) -> None:
        """See ``Wire``."""
        payload = message.get("bytes")
        if payload is not None:
            first, heads = 0x82, _BINARY_HEADS
        else:
            text = message.get("text")
            if text is None:
                raise MisusedByApplication("websocket.send: neither 'text' nor 'bytes' is given")
            payload = text.encode()
            first, heads = 0x81, _TEXT_HEADS
        size = len(payload)
        self._bytes_sent += size
        if size < self._plain_below:
            self.transport.write(heads[size] + payload)
        elif self.deflate is not None and size >= COMPRESS_FROM:
            self.transport.write(self.core.compress(first & 0x0F, payload))
        elif size < _JOIN_BELOW:
            self.transport.write(frame_head(first, size) + payload)
        else:
            self.transport.writelines((frame_head(first, size), bytes(payload)))

    # The reader's calls

    def answer_ping(self, payload: bytes) -> None:
        """RFC 6455 section 5.5.3. To a peer that does not read, only the latest ping is answered, as that allows."""
        if self.is_blocked:
            self._owed_pong = payload
        elif self.session.phase is _OPEN:
            self.transport.write(frame_head(0x8A, len(payload)) + payload)

    def pause_reading(self) -> None:
        """See ``FrameReader``."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """See ``FrameReader``."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def describe(self) -> str:
        """See ``Connection``."""
        session = self.session
        client = session.scope.get("client")
        age = self.context.loop.time() - self._started
        return (
            f"WebSocket {session.scope.get('path')} of {client[0] if client else 'an unnamed peer'}, "
            f"{session.phase.value}, {age:.1f} s, {session.messages_in} messages in, {session.messages_out} out"
        )

    def _common(self, headers: Iterable[Any]) -> bytes:
        """The server's own header lines, but for those that the application sent itself."""
        flags = encode_fields(headers, [])
        config = self.context.config
        parts: list[bytes] = []
        if not flags & Field.DATE:
            parts.append(self.context.date_header)
        if config.server_header and not flags & Field.SERVER:
            parts.append(b"server: asgi-arbiter\r\n")
        for line in config.headers:
            name, _, value = line.partition(":")
            parts.append(f"{name.strip()}: {value.strip()}\r\n".encode("latin-1"))
        return b"".join(parts)

    def _log_access(self) -> None:
        if self.context.access_log is None:
            return
        from asgi_arbiter.config.access import AccessRecord

        session = self.session
        scope = session.scope
        self.context.access_log(
            AccessRecord(
                kind="websocket",
                client=scope.get("client"),
                scheme=scope.get("scheme", "ws"),
                method=self._method,
                target=self._target,
                http_version=scope["http_version"],
                status=self._status or 499,
                bytes_sent=self._bytes_sent,
                duration=self.context.loop.time() - self._started,
                request_headers=scope["headers"],
                response_headers=None,
                close_code=session.close_code if self._status == 101 else None,
                messages_in=session.messages_in,
                messages_out=session.messages_out,
            )
        )


def _wishes(config: Config) -> Wishes | None:
    if not config.ws_per_message_deflate:
        return None
    return Wishes(config.ws_deflate_window_bits, config.ws_deflate_context_takeover)
