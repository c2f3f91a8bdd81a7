"""One request and its response as an ASGI conversation. Knows no parser and no socket: bytes go to a ``Link``.

    WAITING    http.response.start     STARTED      (the head is held back, as ASGI asks, until the first body message)
    STARTED    http.response.body      STREAMING, TRAILERS or COMPLETE
    STREAMING  http.response.body      STREAMING, TRAILERS or COMPLETE
    TRAILERS   http.response.trailers  TRAILERS or COMPLETE
    WAITING, STARTED                   application error: COMPLETE, with a 500
    STREAMING, TRAILERS                application error: ABORTED, cut so that the client can tell
    any but the last three             client gone: DISCONNECTED

Rules: what an application sends cannot corrupt the connection (a body of the wrong length, a header that would split
the response, a message out of turn raise and end it); nothing is sent after the end; ``receive`` says
``http.disconnect`` when the response is complete or the client is gone, each time it is asked, and never before.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from .errors import ClientDisconnected, MisusedByApplication, is_departure
from .flow import BodyBuffer, Waiters, wait, wake
from .response import STATUS_LINES as _STATUS_LINES
from .response import Field, declared_length, encode_fields, status_line

if TYPE_CHECKING:
    import asyncio

    from .asgi import Message
    from .base import ConnectionContext
    from .policy import HttpPolicy

__all__ = ["Link", "Phase", "RequestCycle"]

log = logging.getLogger("asgi_arbiter.worker")


class Phase(Enum):
    """Where the conversation stands; see the head of the module."""

    WAITING = "waiting for http.response.start"
    STARTED = "response started, no body yet"
    STREAMING = "body under way"
    TRAILERS = "body complete, trailers due"
    COMPLETE = "response complete"
    DISCONNECTED = "client gone"
    ABORTED = "response cut off"


# As names of the module: looking a member up in its class costs more than everything else in a comparison.
WAITING, STARTED, STREAMING, TRAILERS = Phase.WAITING, Phase.STARTED, Phase.STREAMING, Phase.TRAILERS
COMPLETE, DISCONNECTED, ABORTED = Phase.COMPLETE, Phase.DISCONNECTED, Phase.ABORTED
_LIVE: Final = (WAITING, STARTED, STREAMING, TRAILERS)
_NOT_SENT: Final = (WAITING, STARTED)

# What `_left` holds when it is not the number of bytes still owed of a declared length.
_CHUNKED: Final = -1
_UNTIL_CLOSE: Final = -2
_NO_BODY: Final = -3

# What becomes of trailers.
_NO_TRAILERS: Final = 0
_DROP_TRAILERS: Final = 1
_SEND_TRAILERS: Final = 2

_CONTENT_LENGTH: Final = int(Field.CONTENT_LENGTH)
_DATE: Final = int(Field.DATE)
_SERVER: Final = int(Field.SERVER)
_CLOSE: Final = int(Field.CLOSE)
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


class RequestCycle:
    """The conversation about one request. ``receive`` and ``send`` are what the application is given."""

    __slots__ = (
        "_flags",
        "_left",
        "_link",
        "_parts",
        "_trailers",
        "_undelivered",
        "_waiters",
        "began_at",
        "body",
        "keep_alive",
        "modern",
        "phase",
        "response_headers",
        "scope",
        "sent",
        "sent_after",
        "status",
        "target",
        "task",
        "timed_out",
    )

    began_at: float
    """Monotonic; set when there is an access log."""
    response_headers: Any
    """As the application sent them; not set before it has."""
    target: bytes
    """The request target; set when there is an access log."""

    def __init__(
        self, link: Link, scope: dict[str, Any], body: BodyBuffer | None, modern: bool, keep_alive: bool
    ) -> None:
        self._link = link
        self.scope = scope
        self.body = body
        """What has arrived of the request body; None when the request has none."""
        self.modern = modern
        self.keep_alive = keep_alive
        """Whether the connection may go on after this response."""
        self.phase = WAITING
        self.status = 0
        self.sent = 0
        """Bytes of response body written, for the access log."""
        self.task: asyncio.Task[Any] | None = None
        self.sent_after = 0
        """Bytes of request body thrown away after the response."""
        self.timed_out = False
        self._undelivered = True
        self._waiters: Waiters | None = None

    # ------------------------------------------------------------------------------------------------- receiving

    async def receive(self) -> Message:
        """The next message of the request: its body as it came, then ``http.disconnect`` when there is a reason."""
        if self.phase in _LIVE:
            if self._undelivered:
                body = self.body
                if body is None:
                    self._undelivered = False
                    return {"type": "http.request", "body": b"", "more_body": False}
                if not body.size and not body.complete:
                    await self._more_body(body)
                if self.phase in _LIVE and (body.size or body.complete):
                    return self._deliver(body)
                return {"type": "http.disconnect"}
            while self.phase in _LIVE and not self._link.half_closed:
                await self._wait()
        return {"type": "http.disconnect"}

    def _deliver(self, body: BodyBuffer) -> Message:
        data = body.take()
        more = not body.complete
        self._undelivered = more
        self._link.body_taken()
        return {"type": "http.request", "body": data, "more_body": more}

    async def _more_body(self, body: BodyBuffer) -> None:
        while not body.size and not body.complete and self.phase in _LIVE:
            self._link.body_wanted(self)
            await self._wait()

    async def _wait(self) -> None:
        if self._waiters is None:
            self._waiters = []
        await wait(self._waiters, self._link.context.loop)

    @property
    def is_over(self) -> bool:
        """Whether nothing of the response is still to come."""
        return self.phase not in _LIVE

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the response body, as in HTTP/1.0."""
        return self.phase is not WAITING and self.phase is not STARTED and self._left == _UNTIL_CLOSE

    @property
    def is_receiving(self) -> bool:
        """Whether the application waits in ``receive``."""
        return bool(self._waiters)

    @property
    def has_read(self) -> bool:
        """Whether the application has taken, or waits for, any part of the request body."""
        body = self.body
        return body is None or body.taken or self.is_receiving

    def wake(self) -> None:
        """Something changed that ``receive`` may wait for: body bytes, the end, the client's leaving."""
        if self._waiters:
            wake(self._waiters)

    # --------------------------------------------------------------------------------------------------- sending

    async def send(self, message: Message) -> None:
        """Take one message of the response. Raises ``ClientDisconnected`` (an ``OSError``) when nobody listens,
        ``MisusedByApplication`` (a ``RuntimeError``) for a message out of turn or out of shape."""
        kind = message["type"]
        phase = self.phase
        if kind == "http.response.body" and (phase is STARTED or phase is STREAMING):
            if self._link.write_paused:
                await self._writable()
            self._send_body(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start" and phase is WAITING:
            self.status = status = message["status"]
            parts = [_STATUS_LINES.get(status) or status_line(status)]
            self.response_headers = headers = message.get("headers", ())
            self._flags = encode_fields(headers, parts)
            self._parts = parts
            self._trailers = self._trailers_wanted() if message.get("trailers", False) else _NO_TRAILERS
            self.phase = STARTED
        else:
            await self._send_rest(kind, message)

    def _send_body(self, body: bytes, more: bool) -> None:
        if type(body) is not bytes:
            body = _as_bytes(body)
        if self.phase is STARTED:
            self._open(body, more)
        elif self.phase is STREAMING:
            self._continue(body, more)
        else:  # the client left while send waited
            raise ClientDisconnected("the client has disconnected")
        if not more:
            if self._trailers:
                self.phase = TRAILERS
            else:
                self._complete()

    def _open(self, body: bytes, more: bool) -> None:
        """Write the head and the first piece of body, in one call where that is cheaper."""
        parts = self._parts
        flags = self._flags
        link = self._link
        if self.status == 204 or self.status == 304 or self.scope["method"] == "HEAD":
            self._frame_bodiless(body, more)
            body = b""
        else:
            self._frame(len(body), more)
        if not flags & _DATE:
            parts.append(link.context.date_header)
        if not flags & _SERVER:
            parts.append(link.policy.server_line)
        if link.policy.default_fields:
            self._add_defaults(parts)
        if (
            flags & _CLOSE
            or not self.keep_alive
            or ((link.context.draining or self.body is not None) and link.must_close(self))
        ):
            self.keep_alive = False
            parts.append(b"connection: close\r\n")
        elif not self.modern:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        self._parts = []
        self.phase = STREAMING
        self.sent = size = len(body)
        if self._left == _CHUNKED:
            body_parts = _chunk(body, self._is_last(more))
        else:
            body_parts = (body,)
        if size < _JOIN_LIMIT:
            parts += body_parts
            link.transport.write(b"".join(parts))
        else:
            link.transport.writelines((b"".join(parts), *body_parts))

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
        elif not more and self._trailers != _SEND_TRAILERS:
            self._left = 0
            parts.append(b"content-length: %d\r\n" % size)
        # 3. Any other body is chunked, and in HTTP/1.0 ended by the end of the connection.
        elif self.modern:
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
        write = self._link.transport.write
        if left == _CHUNKED:
            pieces = _chunk(body, self._is_last(more))
            if size < _JOIN_LIMIT:
                write(b"".join(pieces))
            else:
                self._link.transport.writelines(pieces)
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
        return not more and self._trailers != _SEND_TRAILERS

    def _trailers_wanted(self) -> int:
        """What to do with the trailers that the application announces: the client must have said that it takes them."""
        return _SEND_TRAILERS if "http.response.trailers" in self.scope["extensions"] else _DROP_TRAILERS

    def _drop_trailers(self) -> None:
        """Only a chunked body can have trailers (RFC 9112 section 7.1.2)."""
        if self._trailers:
            self._trailers = _DROP_TRAILERS

    def _cut(self, complaint: str) -> None:
        """The response cannot be finished correctly: better an obvious end than a wrong one."""
        self.phase = ABORTED
        self._link.cut(self)
        raise MisusedByApplication(complaint)

    def _complete(self) -> None:
        self.phase = COMPLETE
        if self._waiters:
            wake(self._waiters)
        self._link.response_over(self)

    async def _writable(self) -> None:
        """Wait while the transport's buffer is too full (a client that reads slowly)."""
        link = self._link
        while link.write_paused and self.phase in _LIVE:
            await wait(link.write_waiters, link.context.loop)
        if self.phase not in _LIVE:
            raise ClientDisconnected("the client has disconnected")

    def _add_defaults(self, parts: list[bytes]) -> None:
        """The operator's default headers, but for those that the application has set itself."""
        names = {parts[index][:-2].lower() for index in range(1, len(parts) - 1) if parts[index].endswith(b": ")}
        parts += [line for name, line in self._link.policy.default_fields if name not in names]

    # ------------------------------------------------------------------------------- extensions and what is wrong

    async def _send_rest(self, kind: str, message: Message) -> None:
        phase = self.phase
        if phase is DISCONNECTED:
            raise ClientDisconnected("the client has disconnected")
        if kind == "http.response.trailers" and phase is TRAILERS:
            self._send_trailers(message)
        elif kind == "http.response.early_hint" and phase in _NOT_SENT and self.modern:
            self._send_early_hint(message)
        else:
            raise MisusedByApplication(f"the message {kind!r} is not allowed in the phase {phase.name}: {phase.value}")

    def _send_trailers(self, message: Message) -> None:
        """The extension ``http.response.trailers``; RFC 9112 section 7.1.2."""
        parts: list[bytes] = []
        encode_fields(message.get("headers", ()), parts)
        self._parts = [*self._parts, *parts]
        if message.get("more_trailers", False):
            return
        if self._trailers == _SEND_TRAILERS:
            self._link.transport.write(b"0\r\n" + b"".join(self._parts) + b"\r\n")
        self._complete()

    def _send_early_hint(self, message: Message) -> None:
        """The extension ``http.response.early_hint``; RFC 8297."""
        parts = [b"HTTP/1.1 103 Early Hints\r\n"]
        encode_fields([(b"link", link) for link in message["links"]], parts)
        parts.append(b"\r\n")
        self._link.transport.write(b"".join(parts))

    # --------------------------------------------------------------------------------------------------- the end

    def disconnect(self) -> None:
        """The client is gone. Whoever waits is told."""
        if self.phase in _LIVE:
            self.phase = DISCONNECTED
            self.wake()

    def expire(self) -> None:
        """The request took longer than ``request_timeout``: cancel its application."""
        if self.task is not None and not self.timed_out:
            self.timed_out = True
            self.task.cancel()

    def ended(self, task: asyncio.Task[Any]) -> None:
        """The done callback of the application's task."""
        self._link.context.tasks.discard(task)
        if task.cancelled():
            self._link.settle(self, CancelledError())
        else:
            self._link.settle(self, task.exception())

    def returned(self) -> None:
        """The application has returned. It should have answered by now."""
        phase = self.phase
        if phase is COMPLETE or phase is DISCONNECTED or phase is ABORTED:
            return
        if self._link.half_closed:
            self._leave()
        elif phase is WAITING:
            self._complain("the application returned without sending a response")
            self.answer_error()
        elif phase is STARTED:
            self._complain("the application returned without a body for its response")
            self.answer_error()
        else:
            self._complain("the application returned before its response was complete; the connection is cut")
            self.phase = ABORTED
            self._link.cut(self)

    def failed(self, error: BaseException) -> None:
        """The application raised: tell the operator, and the client if that is still possible."""
        phase = self.phase
        if phase is DISCONNECTED and (isinstance(error, CancelledError) or is_departure(error)):
            self._leave()
            return
        if phase in _LIVE and self._link.half_closed and is_departure(error):
            self._leave()
            return
        if isinstance(error, CancelledError):
            if phase in _LIVE:
                self._complain(
                    "the application took longer than request_timeout and was cancelled"
                    if self.timed_out
                    else "the application was cancelled before its response was complete"
                )
        else:
            log.error(
                "exception in the application: %s %s",
                self.scope["method"],
                self.scope["path"],
                exc_info=error,
                extra={"event": "application_error"},
            )
        if phase in _NOT_SENT:
            self.answer_error()
        elif phase in _LIVE:
            self.phase = ABORTED
            self._link.cut(self)

    def _leave(self) -> None:
        """The application was told that the client is gone, and left without an answer: nobody's mistake."""
        log.debug("the application left after the disconnect", extra={"event": "application_left"})
        if self.phase in _LIVE:
            self._link.cut(self)  # which asks how far the response has come
            self.phase = ABORTED

    def answer_error(self) -> None:
        """A 500 in place of the response that did not come, or a 504 if it took too long."""
        self.status = status = 504 if self.timed_out else 500
        self._parts = [status_line(status), b"content-type: ", b"text/plain; charset=utf-8", b"\r\n"]
        self._flags = 0
        self._trailers = _NO_TRAILERS
        self.phase = STARTED
        self._send_body(b"Gateway Timeout" if self.timed_out else b"Internal Server Error", False)

    def _complain(self, sentence: str) -> None:
        log.error(
            "%s: %s %s",
            sentence,
            self.scope["method"],
            self.scope["path"],
            extra={"event": "application_misbehaved"},
        )


def _chunk(body: bytes, last: bool) -> tuple[bytes, ...]:
    """A chunk and, at the end, the last chunk. An empty body makes no chunk: a chunk of size 0 would be the end."""
    if not body:
        return (b"0\r\n\r\n",) if last else ()
    return (b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n" if last else b"\r\n")


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise MisusedByApplication(f"the body of a response must be bytes, found {type(body).__name__}")


def _remove_content_length(parts: list[bytes]) -> None:
    for index in range(1, len(parts), 3):
        if parts[index].lower() == b"content-length: ":
            del parts[index : index + 3]
            return
