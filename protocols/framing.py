"""The response half of a request cycle: heads, framing, bytes. Knows no parser and no socket: bytes go to the ``Link``.

Rules: nothing is written before the first body message, as ASGI asks, so the framing decision is made with the length
in hand wherever there is one; head and small body are one write; what an application sends cannot corrupt the
connection: a body of the wrong length raises, and ends it where bytes are out already.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from .errors import MisusedByApplication
from .response import Field, declared_length, encode_fields

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from .asgi import Message
    from .base import ConnectionContext
    from .cycle import RequestCycle
    from .flow import BodyBuffer, Waiters
    from .policy import HttpPolicy
    from .request_line import RequestLine

__all__ = ["FramedResponse", "Link", "Phase"]


class Phase(Enum):
    """Where the conversation stands; see the head of ``cycle``."""

    WAITING = "waiting for http.response.start"
    STARTED = "response started, no body yet"
    STREAMING = "body under way"
    SENDING = "a file under way"
    TRAILERS = "body complete, trailers due"
    COMPLETE = "response complete"
    DISCONNECTED = "client gone"
    ABORTED = "response cut off"


# As names of a module: looking a member up in its class costs more than everything else in a comparison.
WAITING, STARTED, STREAMING, TRAILERS = Phase.WAITING, Phase.STARTED, Phase.STREAMING, Phase.TRAILERS
SENDING = Phase.SENDING
COMPLETE, DISCONNECTED, ABORTED = Phase.COMPLETE, Phase.DISCONNECTED, Phase.ABORTED

# What `_left` holds when it is not the number of bytes still owed of a declared length.
_CHUNKED: Final = -1
_UNTIL_CLOSE: Final = -2
_NO_BODY: Final = -3

# What becomes of trailers.
NO_TRAILERS: Final = 0
DROP_TRAILERS: Final = 1
SEND_TRAILERS: Final = 2

_CONTENT_LENGTH: Final = int(Field.CONTENT_LENGTH)
_DATE: Final = int(Field.DATE)
_SERVER: Final = int(Field.SERVER)
_CLOSE: Final = int(Field.CLOSE)
_UNUSUAL: Final = _DATE | _SERVER | _CLOSE
_JOIN_LIMIT: Final = 16384
"""Below this, copying a body behind its head is cheaper than a second buffer in the transport (measured)."""


class Link(Protocol):
    """What a cycle asks of its connection."""

    context: ConnectionContext
    policy: HttpPolicy
    transport: asyncio.Transport
    write_paused: bool
    write_waiters: Waiters
    half_closed: bool
    write: Callable[[bytes], Any]

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Write large pieces without joining them."""

    def uncork(self) -> None:
        """Write what has been kept back to leave together."""

    def pause_writing(self) -> None:
        """The client takes nothing more at the moment."""

    def resume_writing(self) -> None:
        """It does."""

    def must_close(self, cycle: RequestCycle) -> bool:
        """Whether the response that is about to start must be the last one here."""

    def response_over(self, cycle: RequestCycle) -> None:
        """The last byte of the response has been written."""

    def body_wanted(self, cycle: RequestCycle) -> None:
        """The application waits for body bytes that have not arrived."""

    def body_taken(self) -> None:
        """The application has taken the buffered body."""

    def settle(self, cycle: RequestCycle, error: BaseException | None) -> None:
        """The application has returned or raised."""

    def cut(self, cycle: RequestCycle) -> None:
        """End the connection at once, so that the client sees that the response is incomplete."""


class FramedResponse:
    """One response on its way out."""

    __slots__ = (
        "_flags",
        "_left",
        "_link",
        "_parts",
        "_trailers",
        "body",
        "keep_alive",
        "line",
        "phase",
        "scope",
        "sent",
        "status",
    )

    _link: Link
    _flags: int
    """``Field`` flags of the application's headers."""
    _left: int
    _parts: list[bytes]
    """The head while it is held back, later the trailers."""
    _trailers: int
    body: BodyBuffer | None
    keep_alive: bool
    line: RequestLine
    phase: Phase
    scope: dict[str, Any]
    sent: int
    status: int

    def _open(self, body: bytes, more: bool) -> None:
        """Write the head and the first piece of body, in one call where that is cheaper."""
        parts = self._parts
        link = self._link
        status = self.status
        if status == 204 or status == 304 or self.line.is_head:
            self._frame_bodiless(body, more)
            body = b""
        else:
            self._frame(len(body), more)
        date_line = link.context.date_header
        policy = link.policy
        if (
            not self._flags & _UNUSUAL
            and self.keep_alive
            and self.line.modern
            and (self.body is None or self.body.complete)
            and not policy.default_fields
            and not link.context.draining
        ):
            parts.append(policy.tail if policy.tail_date is date_line else policy.renew_tail(date_line))
        else:
            self._end_head(parts, date_line)
        self._parts = []
        self.phase = STREAMING
        self.sent = size = len(body)
        if self._left == _CHUNKED:
            pieces = _chunk(body, self._is_last(more))
            if size < _JOIN_LIMIT:
                parts += pieces
                link.write(b"".join(parts))
            else:
                link.writelines((b"".join(parts), *pieces))
        elif size < _JOIN_LIMIT:
            parts.append(body)
            link.write(b"".join(parts))
        else:
            link.writelines((b"".join(parts), body))

    def _end_head(self, parts: list[bytes], date_line: bytes) -> None:
        """The server's own fields, where something is out of the ordinary."""
        flags = self._flags
        link = self._link
        if not flags & _DATE:
            parts.append(date_line)
        if not flags & _SERVER:
            parts.append(link.policy.server_line)
        if link.policy.default_fields:
            names = {line.partition(b":")[0].lower() for line in parts}
            parts += [line for name, line in link.policy.default_fields if name not in names]
        if flags & _CLOSE or not self.keep_alive or link.must_close(self):  # type: ignore[arg-type]
            self.keep_alive = False
            parts.append(b"connection: close\r\n")
        elif not self.line.modern:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")

    def _frame(self, size: int, more: bool) -> None:
        """The framing decision (RFC 9112 section 6.3, RFC 9110 section 8.6) for a response with a body, whose first
        piece has ``size`` bytes."""
        parts = self._parts
        # 1. A length that the application declares. Nothing is out yet, so a wrong one can still become a 500.
        if self._flags & _CONTENT_LENGTH:
            left = declared_length(self._flags) - size
            if left < 0 or (left and not more):
                raise MisusedByApplication(f"the body has {size} bytes, its content-length says {left + size}")
            self._left = left
            self._drop_trailers()
        # 2. A body that is complete with its first message.
        elif not more and self._trailers != SEND_TRAILERS:
            self._left = 0
            parts.append(b"content-length: %d\r\n" % size)
        # 3. Any other body is chunked, and in HTTP/1.0 ended by the end of the connection.
        elif self.line.modern:
            self._left = _CHUNKED
            parts.append(b"transfer-encoding: chunked\r\n")
        else:
            self._left = _UNTIL_CLOSE
            self.keep_alive = False
            self._drop_trailers()

    def _frame_bodiless(self, body: bytes, more: bool) -> None:
        """HEAD, 204 and 304: only a HEAD or 304 may tell the length that a GET would have had."""
        parts = self._parts
        self._left = _NO_BODY
        self._drop_trailers()
        if self._flags & _CONTENT_LENGTH:
            if self.status == 204:  # RFC 9110 section 8.6: must not
                _remove_content_length(parts)
        elif body and not more and self.status != 204:
            parts.append(b"content-length: %d\r\n" % len(body))

    def _continue(self, body: bytes, more: bool) -> None:
        """Write a further piece of body."""
        left = self._left
        size = len(body)
        write = self._link.write
        if left == _CHUNKED:
            pieces = _chunk(body, self._is_last(more))
            if size < _JOIN_LIMIT:
                write(b"".join(pieces))
            else:
                self._link.writelines(pieces)
        elif left >= 0:
            if size > left or (size < left and not more):
                self._cut("the body is longer than its content-length" if size > left else "the body is too short")
            self._left = left - size
            if size:
                write(body)
        elif left == _UNTIL_CLOSE and size:
            write(body)
        if left != _NO_BODY:
            self.sent += size

    def _is_last(self, more: bool) -> bool:
        """Whether the last chunk ends the message; with trailers to come it does not."""
        return not more and self._trailers != SEND_TRAILERS

    def _drop_trailers(self) -> None:
        """Only a chunked body can have trailers (RFC 9112 section 7.1.2)."""
        if self._trailers:
            self._trailers = DROP_TRAILERS

    def _cut(self, complaint: str) -> None:
        """The response cannot be finished correctly: better an obvious end than a wrong one."""
        self.phase = ABORTED
        self._link.cut(self)  # type: ignore[arg-type]
        raise MisusedByApplication(complaint)

    def _send_trailers(self, message: Message) -> bool:
        """The extension ``http.response.trailers`` (RFC 9112 section 7.1.2). Whether these were the last."""
        parts: list[bytes] = []
        encode_fields(message.get("headers", ()), parts)
        self._parts = [*self._parts, *parts]
        if message.get("more_trailers", False):
            return False
        if self._trailers == SEND_TRAILERS:
            self._link.write(b"0\r\n" + b"".join(self._parts) + b"\r\n")
        return True

    def _send_early_hint(self, message: Message) -> None:
        """The extension ``http.response.early_hint``; RFC 8297."""
        parts = [b"HTTP/1.1 103 Early Hints\r\n"]
        encode_fields([(b"link", link) for link in message["links"]], parts)
        parts.append(b"\r\n")
        self._link.write(b"".join(parts))

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the response body, as in HTTP/1.0."""
        return self.phase is not WAITING and self.phase is not STARTED and self._left == _UNTIL_CLOSE


def _chunk(body: bytes, last: bool) -> tuple[bytes, ...]:
    """A chunk and, at the end, the last chunk. An empty body makes no chunk: a chunk of size 0 would be the end."""
    if not body:
        return (b"0\r\n\r\n",) if last else ()
    return (b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n" if last else b"\r\n")


def _remove_content_length(parts: list[bytes]) -> None:
    parts[:] = [line for line in parts if not line.lower().startswith(b"content-length:")]
