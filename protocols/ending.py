"""How a connection ends: by a deadline, by a client that is too slow, after its last response, with its worker.

No timers: a deadline is a tick number, looked at by ``age`` once a second; what it means follows from what is read. So
is everything else that takes time counted, and none of it costs a request anything.

The last response must reach the client: what it still sends is read for a while, since closing a socket with unread
bytes destroys the response on its way (RFC 9112 section 9.6), and as long as it takes what we wrote, it may.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from .errors import Refusal
from .pace import Pace
from .progress import Taking, reset, taking, undelivered
from .reading import BODY, CLOSED, DISCARD, HEAD, RequestReader

if TYPE_CHECKING:
    from .base import ConnectionContext, HeadParser

__all__ = ["LINGER_TICKS", "EndingReader"]

log = logging.getLogger("asgi_arbiter.worker")

LINGER_LIMIT: Final = 1 << 20
"""Bytes that are read and thrown away after our last response."""
LINGER_TICKS: Final = 3


class EndingReader(RequestReader):
    """A reader that knows when to stop, and how."""

    __slots__ = ("_body_pace", "_since", "_taking", "_write_pace", "half_closed")

    _since: int
    """The tick at which the current request began."""

    def __init__(self, context: ConnectionContext, parser_type: type[HeadParser]) -> None:
        super().__init__(context, parser_type)
        self.half_closed = False
        """The client has sent its end of file; it may still read."""
        self._taking: Taking | None = None
        self._body_pace: Pace | None = None
        self._write_pace: Pace | None = None

    def describe(self) -> str:
        """For a log line: peer, what is under way, and since when."""
        raise NotImplementedError

    # Closing

    def _finish(self, *, linger: bool) -> None:
        """Close after what has been written. With ``linger`` the client's bytes are read for a while."""
        self.cycle = None
        self._held = b""
        if self._cork is not None:
            self._uncork()
        self._deadline = self.context.tick + LINGER_TICKS
        if linger and not self.half_closed and self._reading is not CLOSED:
            self._reading = DISCARD
            self._left = LINGER_LIMIT
            self._unpause()
            if self.transport.can_write_eof():
                try:
                    self.transport.write_eof()
                except OSError:  # reset in the meantime: asyncio shuts the socket down at once
                    self.transport.abort()
        else:
            self._reading = CLOSED
            self.transport.close()

    def drain(self, reason: str) -> None:
        """The worker is leaving; ``must_close`` sees to busy connections."""
        if self._reading is HEAD and not self._held:
            deadline = self.context.tick + self.policy.drain_ticks
            if not self.policy.drain_ticks:
                self._finish(linger=False)
            elif not self._deadline or deadline < self._deadline:
                self._deadline = deadline

    def abort(self) -> None:
        """Cut the connection and cancel its application task."""
        cycle = self.cycle
        self.transport.abort()
        if cycle is not None and cycle.task is not None:
            cycle.task.cancel()

    # Time

    def age(self, tick: int) -> None:
        """Compare the deadline with ``tick``, and the client with its own pace."""
        cycle = self.cycle
        if self.write_paused and self._takes_too_little(tick):
            log.info(
                "a client takes too little of its response: %s", self.describe(), extra={"event": "client_stalled"}
            )
            reset(self.transport)
        elif 0 < self._deadline <= tick:
            self._deadline = 0
            self._expire(tick)
        elif cycle is not None:
            if self._reading is BODY and cycle.is_receiving and self._body_comes_too_slowly():
                self._deadline = 0
                self._refuse(Refusal(408, "The body of the request comes too slowly."))
            elif 0 < self.policy.request_ticks <= tick - self._since:
                cycle.expire()

    def _expire(self, tick: int) -> None:
        """The deadline is over; what with follows from what is read."""
        reading = self._reading
        if reading is HEAD:
            if self.write_paused:
                self._deadline = tick + 1  # it is we who wait, for the client to take its answers
            elif self._held:
                self._refuse(Refusal(408, "The head of the request took too long."), self._held)
            else:
                self._finish(linger=False)
        elif reading is BODY:
            if self.cycle is not None and self.cycle.is_over:
                self._finish(linger=True)
            else:
                self._refuse(Refusal(408, "The body of the request took too long."))
        elif reading is DISCARD and not self.transport.can_write_eof():
            # TLS knows one end for both ways, so the client is told (close_notify) when it has had time to say the rest.
            self._reading = CLOSED
            self._deadline = tick + LINGER_TICKS
            self.transport.close()
        elif reading in (DISCARD, CLOSED):
            # Closing, but the client does not take what we wrote: as long as it moves, it may go on.
            if undelivered(self.transport) and not self._unmoved_for(tick):
                self._reading = CLOSED
                self._deadline = tick + (self.policy.write_ticks or LINGER_TICKS)
            else:
                self.transport.abort()

    def _body_comes_too_slowly(self) -> bool:
        """The setting ``body_min_rate``, for a body that the application waits for."""
        policy = self.policy
        if not policy.body_least:
            return False
        received = -self._left  # grows with each byte, whatever the coding
        pace = self._body_pace
        if pace is None or pace.since != self._since:
            pace = self._body_pace = Pace(policy.body_ticks, policy.body_least, received, self._since)
        return pace.is_too_slow(received)

    def _takes_too_little(self, tick: int) -> bool:
        """The settings ``write_timeout`` and ``write_min_rate``, for a response that waits for its client."""
        policy = self.policy
        if not policy.write_ticks:
            return False
        if self._unmoved_for(tick) >= policy.write_ticks:
            return True
        assert self._taking is not None
        acknowledged = self._taking[1][1]
        if not acknowledged or not policy.write_least:
            return False
        if self._write_pace is None:
            self._write_pace = Pace(policy.write_ticks, policy.write_least, acknowledged)
        return self._write_pace.is_too_slow(acknowledged)

    def _unmoved_for(self, tick: int) -> int:
        """For how many ticks the client has been seen to take nothing."""
        self._taking = taking(self._taking, self.transport, tick)
        return tick - self._taking[0]
