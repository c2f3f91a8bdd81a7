"""The reading half of an HTTP connection: where each message ends (RFC 9112 section 6), and what waits meanwhile.

What it reads is one of:

    HEAD     the next head, or nothing yet              -> BODY, ANSWER, DISCARD, CLOSED (upgrade)
    BODY     the body of the current request            -> ANSWER, HEAD, DISCARD
    ANSWER   nothing: the request is complete, its response is not; what arrives is held back
             -> HEAD, DISCARD, CLOSED
    DISCARD  what arrives after our last response, so that the client gets to read it (RFC 9112 section 9.6)
    CLOSED   nothing any more

A ``HeadParser`` only reads whole heads; framing is decided here, so every parser gives the same answer to the same
bytes. One request at a time is with the application; pipelined ones stay bytes until their turn, and above
``HIGH_WATER`` the connection is not read. Requests are begun in a loop, never from within each other, and at most
``INLINE_REQUESTS`` per turn of the event loop, so that a client that pipelines starves nobody.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from .chunked import ChunkedDecoder
from .errors import Refusal
from .flow import HIGH_WATER, BodyBuffer
from .policy import policy_of
from .request_line import parse_request_line
from .terms import CHUNKED

if TYPE_CHECKING:
    from collections.abc import Callable

    from .base import ConnectionContext, HeadParser
    from .cycle import RequestCycle
    from .terms import Terms

__all__ = ["DISCARD_LIMIT", "INLINE_REQUESTS", "Reading", "RequestReader"]

INLINE_REQUESTS: Final = 16
"""Requests of one connection that are begun in one turn of the loop."""
DISCARD_LIMIT: Final = 65536
"""Bytes of a body nobody wanted that are read to keep the connection; above, closing it is cheaper."""


class Reading(Enum):
    """What the connection is reading; see the head of the module."""

    HEAD = "the next head"
    BODY = "a body"
    ANSWER = "nothing before the answer"
    DISCARD = "bytes to be thrown away"
    CLOSED = "nothing any more"


HEAD, BODY, ANSWER = Reading.HEAD, Reading.BODY, Reading.ANSWER
DISCARD, CLOSED = Reading.DISCARD, Reading.CLOSED


class RequestReader(asyncio.Protocol):
    """Cuts what arrives into requests. A subclass begins and answers them."""

    __slots__ = (
        "_cork",
        "_deadline",
        "_decoder",
        "_dropped",
        "_expects",
        "_held",
        "_in_head",
        "_left",
        "_paused",
        "_reading",
        "context",
        "cycle",
        "policy",
        "transport",
        "write",
        "write_paused",
    )

    transport: asyncio.Transport
    write: Callable[[bytes], Any]
    """The transport's, or that of the cork: answers to pipelined requests leave together."""

    def __init__(self, context: ConnectionContext, parser_type: type[HeadParser]) -> None:
        self.context = context
        self.policy = policy_of(context, parser_type)
        self.cycle: RequestCycle | None = None
        """The request that is with the application, or whose body is still being read."""
        self.write_paused = False
        """The transport's buffer is full: the client does not read."""
        self._reading = HEAD
        self._cork: list[bytes] | None = None
        self._deadline = 0
        """The tick at which patience ends; what with follows from ``_reading``. 0 is never."""
        self._held = b""
        """An incomplete head, or requests that wait for their turn."""
        self._in_head = False
        """The deadline is the one for heads."""
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._expects = False
        """The client waits for ``100 Continue``."""
        self._paused = False

    # What the subclass does

    def _begin(self, block: bytes, data: bytes, position: int) -> RequestCycle | None:
        """Judge a head and make the cycle of its request; None after an upgrade. Raises ``Refusal``."""
        raise NotImplementedError

    def _start(self, cycle: RequestCycle) -> None:
        """Call the application."""
        raise NotImplementedError

    def _refuse(self, refusal: Refusal, head: bytes = b"") -> None:
        """Answer for the application, then close. ``head`` is what has come of the request."""
        raise NotImplementedError

    def _next(self) -> None:
        """The connection is free for its next request."""
        raise NotImplementedError

    def _finish(self, *, linger: bool) -> None:
        """Close after what has been written."""
        raise NotImplementedError

    def _resumed(self) -> None:
        """What was held back has been read."""
        raise NotImplementedError

    # Reading

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self._held:
            if self._reading is ANSWER:
                self._hold(data)
                return
            data = self._held + data
            self._held = b""
        elif (
            self._reading is HEAD
            and 0 < data.find(b"\r\n\r\n") == len(data) - 4
            and not self.write_paused
            and data[0] != 13
        ):
            self._read_one(data)
            return
        self._read(data)

    def _read_one(self, head: bytes) -> None:
        """What most reads are: one whole head and nothing else, when it is the connection's turn."""
        try:
            cycle = self._begin(head, head, len(head))
            if cycle is not None:
                self._start(cycle)
        except Refusal as refusal:
            self._refuse(refusal, head)

    def _read(self, data: bytes) -> None:
        """Everything in ``data``, message after message. The loop that replaces recursion."""
        position, size, begun = 0, len(data), 0
        try:
            while position < size:
                reading = self._reading
                if reading is HEAD:
                    if begun == INLINE_REQUESTS or self.write_paused:
                        self._hold(data[position:])
                        self._resume_soon()
                        return
                    begun += 1
                    position = self._read_head(data, position)
                elif reading is BODY:
                    position = self._read_body(data, position)
                elif reading is ANSWER:
                    self._hold(data[position:])
                    return
                else:
                    self._discard(size - position)
                    return
        except Refusal as refusal:
            self._refuse(refusal, data[position:] if position else data)
        finally:
            if self._cork is not None:
                self._uncork()

    def _uncork(self) -> None:
        """Write what the pipelined requests of this turn were answered with."""
        cork, self._cork = self._cork, None
        self.write = self.transport.write
        if cork and not self.transport.is_closing():
            self.transport.write(b"".join(cork))

    def _read_head(self, data: bytes, position: int) -> int:
        """The head at ``position`` and, in the same go, what is there of its body; then the application is called."""
        end = data.find(b"\r\n\r\n", position)
        if end < 0 or data[position] == 13:
            return self._read_partial(data, position)
        end += 4
        size = len(data)
        cycle = self._begin(data if end == size and not position else data[position:end], data, end)
        if cycle is None:  # upgraded
            return size
        if end < size:
            if self._reading is BODY:
                end = self._read_body(data, end)
            if self.context.draining and end < size:
                self._hold(data[end:])  # must_close has to know that more requests wait
                end = size
            if end < size and self._cork is None:
                self._cork = []
                self.write = self._cork.append
        self._start(cycle)
        return end

    def _expect_body(self, terms: Terms) -> BodyBuffer:
        policy = self.policy
        length = terms.length
        if length > policy.body_limit:
            raise Refusal(413, "The body of the request is too large.")
        self._decoder = ChunkedDecoder(policy.head_limit) if length == CHUNKED else None
        # For a chunked body, what may still come; for a declared length, what must still come.
        self._left = length
        self._dropped = 0
        self._expects = terms.expects
        self._reading = BODY
        return BodyBuffer()

    def _read_partial(self, data: bytes, position: int) -> int:
        """A head that is not complete, or that follows an empty line (RFC 9112 section 2.2 allows one or more)."""
        if data[position] == 13 and position + 1 < len(data):
            start = position
            while data.startswith(b"\r\n", position):
                position += 2
            if position == start:
                raise Refusal(400, "The request line is malformed.")
            return position
        rest = data[position:]
        self._check_partial(rest)
        if not self._in_head:
            # The header deadline begins with the first byte, and a slow client does not move it.
            self._in_head = True
            self._deadline = self.context.tick + self.policy.header_ticks if self.policy.header_ticks else 0
        self._held = rest
        return len(data)

    def _check_partial(self, head: bytes) -> None:
        """What is wrong with an incomplete head already. Raises ``Refusal``."""
        policy = self.policy
        line_end = head.find(b"\r\n")
        if (line_end if line_end >= 0 else len(head)) > policy.line_limit:
            raise Refusal(414, "The request line is too long.")
        if len(head) > policy.head_limit:
            raise Refusal(431, "The head of the request is too large.")
        if line_end >= 0:
            parse_request_line(head[:line_end])
        line_feeds = head.count(b"\n")
        if line_feeds != head.count(b"\r\n") or (head[0] <= 32 and head != b"\r"):
            raise Refusal(400, "A line of the head does not end with CR LF.")

    def _read_body(self, data: bytes, position: int) -> int:
        """Body bytes, to the application or, if it has answered without wanting them, to nobody."""
        cycle = self.cycle
        assert cycle is not None
        body = cycle.body
        assert body is not None
        start = position
        if self._decoder is None:
            piece = data[position : position + self._left] if position or len(data) > self._left else data
            position += len(piece)
            self._left -= len(piece)
            body.put(piece)
            over = not self._left
        else:
            pieces, position = self._decoder.feed(data, position)
            for piece in pieces:
                body.put(piece)
            over = self._decoder.over
            self._left -= sum(map(len, pieces))
            if -self._left > self.policy.body_limit + 1:
                raise Refusal(413, "The body of the request is too large.")
        self._expects = False
        if over:
            body.complete = True
            self._decoder = None
            self._reading = ANSWER
        if cycle.is_over:
            self._drop_body(body, position - start, over)  # its deadline stays: nobody waits for it but we
        else:
            self._deadline = 0
            cycle.wake()
            if body.size > HIGH_WATER:
                self._pause()
        return position

    def _drop_body(self, body: BodyBuffer, size: int, over: bool) -> None:
        """The response is complete, the body of its request is not wanted any more."""
        body.clear()
        self._dropped += size
        if over:
            self._next()
        elif self._dropped > DISCARD_LIMIT:
            self._finish(linger=True)

    def _hold(self, data: bytes) -> None:
        """Keep bytes for later; not more of them than a client may make us keep."""
        self._held = self._held + data if self._held else data
        if len(self._held) > HIGH_WATER:
            self._pause()

    def _resume_soon(self) -> None:
        if self._held and not self.write_paused and self._reading is HEAD:
            self.context.loop.call_soon(self._resume)

    def _resume(self) -> None:
        """Go on with what was held back."""
        data = self._held
        if data and self._reading is HEAD:
            self._held = b""
            self._unpause()
            self._read(data)
            self._resumed()

    def _discard(self, size: int) -> None:
        if self._reading is DISCARD:
            self._left -= size
            if self._left < 0:
                self.transport.abort()

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():  # uvloop raises where asyncio does nothing
            self._paused = True
            self.transport.pause_reading()

    def _unpause(self) -> None:
        if self._paused:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
