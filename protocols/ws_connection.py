"""The WebSocket connection: the ``asyncio.Protocol`` that both libraries share. It owns the transport.

The reading half is in ``ws_reader``, the conversation with the application in ``ws_session``; here is what goes out,
and what ends. Deadlines are tick numbers, looked at by ``age`` once a second: there is no timer per connection.

Whatever happens, the peer is told before the end: with a close frame once the WebSocket is open, with a response
before. The connection is cut only where the peer does not listen, or where half a response is already out.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from .response import Field, encode_fields
from .ws_core import CoreFactory
from .ws_deflate import COMPRESS_FROM
from .ws_denial import Denial, plain
from .ws_frames import close_payload, frame_head
from .ws_handshake import Handshake, HandshakeRefused, check, response
from .ws_reader import FrameReader
from .ws_session import Phase, Session, leaving_code

if TYPE_CHECKING:
    from .base import ConnectionContext, Upgrade

__all__ = ["WebSocketConnection"]

CLOSE_TIMEOUT: Final = 10
"""Seconds for the peer to answer a close frame, and for the transport to get rid of its last bytes."""
LINGER: Final = 2
"""Seconds that a peer which broke the protocol is still read, lest a reset overtakes the close frame that tells why."""
LEAVING_PER_SECOND: Final = 200
"""How many WebSockets of a leaving worker are told so in one second: their clients all come back at once."""
_JOIN_BELOW: Final = 1 << 14
_SHORT_HEADS: Final = {first: [bytes((first, size)) for size in range(126)] for first in (0x81, 0x82)}
_OPEN = Phase.OPEN


class WebSocketConnection(FrameReader):
    """One WebSocket, from the checked request head to the end of its transport. A ``Connection`` of ``base``."""

    __slots__ = (
        "_awaited_pong",
        "_bytes_sent",
        "_close_by",
        "_handshake",
        "_is_lost",
        "_leave_at",
        "_owed_pong",
        "_ping_at",
        "_pong_by",
        "_status",
        "_waiters",
        "context",
        "is_blocked",
        "session",
        "transport",
        "upgrade",
    )

    def __init__(self, context: ConnectionContext, upgrade: Upgrade, make_core: CoreFactory) -> None:
        super().__init__(make_core, context.config.ws_max_size)
        self.context = context
        self.upgrade = upgrade
        self.session = Session(context, upgrade.scope, self)
        self.transport: asyncio.Transport = upgrade.transport
        self.is_blocked = False
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._handshake: Handshake | None = None
        self._status = 0
        self._bytes_sent = 0
        self._is_lost = False
        self._close_by = self._leave_at = self._ping_at = self._pong_by = 0
        self._awaited_pong = b""
        self._owed_pong: bytes | None = None

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The HTTP connection hands over: judge the handshake and call the application."""
        self.transport = cast(asyncio.Transport, transport)
        context = self.context
        context.connections.add(self)
        context.in_flight += 1
        upgrade = self.upgrade
        compress = context.config.ws_per_message_deflate
        try:
            self._handshake = check(upgrade.method, upgrade.http_version, upgrade.scope["headers"], compress=compress)
        except HandshakeRefused as refusal:
            self.session.phase = Phase.CLOSED
            self._answer(refusal.status, refusal.reason, refusal.headers)
            return
        upgrade.scope["subprotocols"] = list(self._handshake.subprotocols)
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

    def send_message(self, first: int, payload: bytes) -> None:
        """See ``Wire``."""
        size = len(payload)
        self._bytes_sent += size
        if self.deflate is not None and size >= COMPRESS_FROM:
            self.transport.write(self.core.compress(first & 0x0F, payload))
        elif size < 126:
            self.transport.write(_SHORT_HEADS[first][size] + payload)
        elif size < _JOIN_BELOW:
            self.transport.write(frame_head(first, size) + payload)
        else:
            self.transport.writelines((frame_head(first, size), bytes(payload)))

    def start_close(self, code: int, reason: str) -> None:
        """See ``Wire``."""
        self._write_close(close_payload(code, reason))
        self._close_by = self.context.tick + CLOSE_TIMEOUT + 1
        self.has_room()

    def cut(self) -> None:
        """See ``Wire``."""
        self.transport.abort()

    def application_ended(self) -> None:
        """See ``Wire``."""
        if self._is_lost:
            self._settle()

    # The reader's calls

    def fail(self, code: int, reason: str) -> None:
        """RFC 6455 section 7.1.7, one turn of the loop later: the application may answer what came before."""
        self._is_held = True
        self.context.loop.call_soon(self._fail_now, code, reason)

    def _fail_now(self, code: int, reason: str) -> None:
        """The peer may be in the middle of sending: closing now would answer that with a reset, which overtakes our
        close frame. So our side is closed, and the rest is read and forgotten."""
        self._is_held = False
        if self._is_lost:
            return
        if self.session.phase is not _OPEN:
            self._shut()
            return
        self._write_close(close_payload(code, reason))
        self.session.end(code, reason)
        self._close_by = self.context.tick + LINGER
        if self.transport.can_write_eof():
            try:
                self.transport.write_eof()
            except OSError:  # reset in the meantime: asyncio shuts the socket down at once
                self.transport.abort()

    def peer_closed(self, payload: bytes, code: int, reason: str) -> None:
        """RFC 6455 section 5.5.1: answer with the same code, unless this is the answer; then the server ends (7.1.1)."""
        if self.session.phase is _OPEN:
            self._write_close(payload[:2])
        self.session.end(code, reason)
        self._shut()

    def answer_ping(self, payload: bytes) -> None:
        """RFC 6455 section 5.5.3. To a peer that does not read, only the latest ping is answered, as that allows."""
        if self.is_blocked:
            self._owed_pong = payload
        elif self.session.phase is _OPEN:
            self.transport.write(frame_head(0x8A, len(payload)) + payload)

    def take_pong(self, payload: bytes) -> None:
        """The peer lives, if it answers the ping under way; other pongs mean nothing (section 5.5.3)."""
        if self._pong_by and payload == self._awaited_pong:
            self._pong_by = 0

    def pause_reading(self) -> None:
        """See ``FrameReader``."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """See ``FrameReader``."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    # The worker's calls (``Connection``)

    def age(self, tick: int) -> None:
        """See ``Connection``: pings, their answers, the spread of leaving, and the patience with a peer that closes."""
        if self._close_by:
            if tick >= self._close_by:
                self.transport.abort()
        elif self.session.phase is not _OPEN:
            return
        elif self._leave_at and tick >= self._leave_at:
            self.session.leave(leaving_code(self.context.draining))
        elif self._pong_by:
            if self._is_held:  # nobody reads, so no pong can have been seen
                self._pong_by = max(self._pong_by, tick + 1)
            elif tick >= self._pong_by:
                self._write_close(close_payload(1011, "keepalive ping timeout"))
                self.session.end(1006, "keepalive ping timeout")
                self._shut()
                self._close_by = tick + LINGER
        elif self._ping_at and tick >= self._ping_at:
            self._ping(tick)

    def _ping(self, tick: int) -> None:
        config = self.context.config
        self._awaited_pong = random.getrandbits(32).to_bytes(4, "big")
        self._ping_at = tick + math.ceil(config.ws_ping_interval)
        if config.ws_ping_timeout:
            # One more than the whole seconds: the tick under way has partly passed.
            self._pong_by = tick + math.ceil(config.ws_ping_timeout) + 1
        self.transport.write(b"\x89\x04" + self._awaited_pong)

    def drain(self, reason: str) -> None:
        """See ``Connection``. With many WebSockets the farewells are spread over up to half of ``graceful_timeout``."""
        window = min(self.context.config.graceful_timeout / 2, len(self.context.connections) / LEAVING_PER_SECOND)
        delay = int(random.uniform(0, window))
        if delay and self.session.phase is _OPEN:
            self._leave_at = self.context.tick + delay
        else:
            self.session.leave(leaving_code(reason))

    def abort(self) -> None:
        """See ``Connection``. A peer that reads still gets a close frame."""
        self.session.cancel()
        if self.session.phase is _OPEN and not self.transport.get_write_buffer_size():
            code = leaving_code(self.context.draining or "shutdown")
            self._write_close(close_payload(code))
            self.session.end(code)
            self._shut()
        else:
            self.transport.abort()

    def is_idle(self) -> bool:
        """See ``Connection``."""
        return False

    def describe(self) -> str:
        """See ``Connection``."""
        session = self.session
        client = self.upgrade.scope.get("client")
        age = self.context.loop.time() - self.upgrade.started
        return (
            f"WebSocket {self.upgrade.scope.get('path')} of {client[0] if client else 'an unnamed peer'}, "
            f"{session.phase.value}, {age:.1f} s, {session.messages_in} messages in, {session.messages_out} out"
        )

    # Endings

    def _write_close(self, payload: bytes) -> None:
        self.transport.write(frame_head(0x88, len(payload)) + payload)

    def _shut(self) -> None:
        """Close when everything is written, or when ``CLOSE_TIMEOUT`` has passed."""
        self._close_by = self.context.tick + CLOSE_TIMEOUT + 1
        self.transport.close()

    def _settle(self) -> None:
        """Transport and application are both over."""
        context = self.context
        context.in_flight -= 1
        context.completed += 1
        if context.completed == context.request_limit:
            context.on_request_limit()

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

        upgrade, session = self.upgrade, self.session
        self.context.access_log(
            AccessRecord(
                kind="websocket",
                client=upgrade.scope.get("client"),
                scheme=upgrade.scope.get("scheme", "ws"),
                method=upgrade.method,
                target=upgrade.target,
                http_version=upgrade.http_version,
                status=self._status or 499,
                bytes_sent=self._bytes_sent,
                duration=self.context.loop.time() - upgrade.started,
                request_headers=upgrade.scope["headers"],
                response_headers=None,
                close_code=session.close_code if self._status == 101 else None,
                messages_in=session.messages_in,
                messages_out=session.messages_out,
            )
        )
