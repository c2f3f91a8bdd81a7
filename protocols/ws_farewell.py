"""How a WebSocket ends, and the time that is kept for it: the half of the connection that says farewell.

Whatever happens, the peer is told before the end: with a close frame once the WebSocket is open, with a response
before. The connection is cut only where the peer does not listen, or where half a response is already out.

Deadlines are tick numbers, looked at by ``age`` once a second: there is no timer per connection. Three things can tell
that nobody is there: a ping without an answer, a peer that takes nothing of what waits for it (``write_timeout``, as over
HTTP), a close frame without an answer. With the settings as they come the ping is first; a peer that we ourselves do not
read cannot have answered one, and is judged by what it takes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from typing import TYPE_CHECKING, Final

from .policy import ticks
from .progress import Taking, reset, taking
from .ws_core import CoreFactory
from .ws_frames import close_payload, frame_head
from .ws_reader import FrameReader
from .ws_session import Phase, leaving_code

if TYPE_CHECKING:
    from .base import ConnectionContext

__all__ = ["CLOSE_TIMEOUT", "LEAVING_PER_SECOND", "LINGER", "Farewell"]

log = logging.getLogger("asgi_arbiter.worker")

CLOSE_TIMEOUT: Final = 10
"""Seconds for the peer to answer a close frame, and for the transport to get rid of its last bytes."""
LINGER: Final = 2
"""Seconds that a peer which broke the protocol is still read, lest a reset overtakes the close frame that tells why."""
LEAVING_PER_SECOND: Final = 200
"""How many WebSockets of a leaving worker are told so in one second: their clients all come back at once."""
_OPEN = Phase.OPEN


class Farewell(FrameReader):
    """A connection as far as its end is concerned. What is sent before is the subclass's."""

    __slots__ = (
        "_awaited_pong",
        "_close_by",
        "_is_lost",
        "_leave_at",
        "_ping_at",
        "_pong_by",
        "_taking",
        "context",
        "is_blocked",
        "transport",
    )
    transport: asyncio.Transport

    def __init__(self, context: ConnectionContext, make_core: CoreFactory) -> None:
        super().__init__(make_core, context.config.ws_max_size)
        self.context = context
        self.is_blocked = False
        """The transport's buffer is full: the peer does not read."""
        self._is_lost = False
        self._close_by = self._leave_at = self._ping_at = self._pong_by = 0
        self._awaited_pong = b""
        self._taking: Taking | None = None

    # The session's calls (``Wire``)

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

    def take_pong(self, payload: bytes) -> None:
        """The peer lives, if it answers the ping under way; other pongs mean nothing (section 5.5.3)."""
        if self._pong_by and payload == self._awaited_pong:
            self._pong_by = 0

    # The worker's calls (``Connection``)

    def age(self, tick: int) -> None:
        """See ``Connection``: a peer that takes nothing or does not close, the spread of leaving, pings and answers."""
        if self.is_blocked and self._has_stalled(tick):
            log.info("a client takes nothing: %s", self.describe(), extra={"event": "client_stalled"})
            reset(self.transport)
        elif self._close_by:
            if tick >= self._close_by:
                self._close_late(tick)
        elif self.session.phase is not _OPEN:
            return
        elif self._leave_at and tick >= self._leave_at:
            self.session.leave(leaving_code(self.context.draining))
        elif self._pong_by:
            self._await_pong(tick)
        elif self._ping_at and tick >= self._ping_at:
            self._ping(tick)

    def _has_stalled(self, tick: int) -> bool:
        limit = ticks(self.context.config.write_timeout)
        return 0 < limit <= self._unmoved_for(tick)

    def _unmoved_for(self, tick: int) -> int:
        """For how many ticks the peer has been seen to take nothing."""
        self._taking = taking(self._taking, self.transport, tick)
        return tick - self._taking[0]

    def _close_late(self, tick: int) -> None:
        """The peer has not answered our close frame; perhaps because it is behind much that it still takes."""
        if self.session.phase is Phase.CLOSING and self.is_blocked and not self._unmoved_for(tick):
            self._close_by = tick + 1
        else:
            self.transport.abort()

    def _await_pong(self, tick: int) -> None:
        if self._is_held:  # nobody reads, so no pong can have been seen
            self._pong_by = max(self._pong_by, tick + 1)
        elif tick >= self._pong_by:
            self._write_close(close_payload(1011, "keepalive ping timeout"))
            self.session.end(1006, "keepalive ping timeout")
            self._shut()
            self._close_by = tick + LINGER

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
        raise NotImplementedError

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
