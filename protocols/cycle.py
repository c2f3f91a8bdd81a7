"""One request and its response as an ASGI conversation. The response's bytes are made in ``framing``.

    WAITING    http.response.start     STARTED      (the head is held back, as ASGI asks, until the first body message)
    STARTED    http.response.body      STREAMING, TRAILERS or COMPLETE
    STREAMING  http.response.body      STREAMING, TRAILERS or COMPLETE
    STARTED    http.response.pathsend  SENDING, then TRAILERS or COMPLETE
    STARTED, STREAMING  http.response.zerocopysend  SENDING, then as after a body
    TRAILERS   http.response.trailers  TRAILERS or COMPLETE
    WAITING, STARTED                   application error: COMPLETE, with a 500
    STREAMING, TRAILERS                application error: ABORTED, cut so that the client can tell
    any but those three                client gone: DISCONNECTED

Rules: what an application sends cannot corrupt the connection (a body of the wrong length, a header that would split
the response, a message out of turn raise and end it); nothing is sent after the end; ``receive`` says
``http.disconnect`` when the response is complete or the client is gone, each time it is asked, and never before.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, Final

from .errors import ClientDisconnected, MisusedByApplication, is_departure
from .flow import BodyBuffer, Waiters, wait, wake
from .framing import (
    ABORTED,
    COMPLETE,
    DISCONNECTED,
    DROP_TRAILERS,
    NO_TRAILERS,
    SEND_TRAILERS,
    SENDING,
    STARTED,
    STREAMING,
    TRAILERS,
    WAITING,
    FramedResponse,
    Link,
    Phase,
)
from .memo import LONGEST
from .response import STATUS_LINES, encode_fields, status_line

if TYPE_CHECKING:
    import asyncio

    from .asgi import Message
    from .request_line import RequestLine

__all__ = [
    "ABORTED",
    "COMPLETE",
    "DISCONNECTED",
    "STARTED",
    "STREAMING",
    "TRAILERS",
    "WAITING",
    "Phase",
    "RequestCycle",
]

log = logging.getLogger("asgi_arbiter.worker")

_LIVE: Final = (WAITING, STARTED, STREAMING, TRAILERS, SENDING)
_NOT_SENT: Final = (WAITING, STARTED)
_DEBUG: Final = {"event": "application_debug"}


class RequestCycle(FramedResponse):
    """The conversation about one request. ``receive`` and ``send`` are what the application is given."""

    __slots__ = ("_undelivered", "_waiters", "began_at", "response_headers", "task", "timed_out")

    began_at: float
    """Monotonic; set when there is an access log."""
    response_headers: Any
    """As the application sent them; not set before it has."""

    def __init__(
        self, link: Link, scope: dict[str, Any], line: RequestLine, body: BodyBuffer | None, keep_alive: bool
    ) -> None:
        self._link = link
        self.scope = scope
        self.line = line
        self.body = body
        """What has arrived of the request body; None when the request has none."""
        self.keep_alive = keep_alive
        """Whether the connection may go on after this response."""
        self.phase = WAITING
        self.status = 0
        self.sent = 0
        """Bytes of response body written, for the access log."""
        self.task: asyncio.Task[Any] | None = None
        self.timed_out = False
        self._undelivered = True
        self._waiters: Waiters | None = None

    # Receiving

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
                if self._undelivered:  # else somebody else was given the rest meanwhile
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

    # Sending

    async def send(self, message: Message) -> None:
        """Take one message of the response. Raises ``ClientDisconnected`` (an ``OSError``) when nobody listens,
        ``MisusedByApplication`` (a ``RuntimeError``) for a message out of turn or out of shape."""
        kind = message["type"]
        phase = self.phase
        if kind == "http.response.body" and (phase is STARTED or phase is STREAMING):
            if self._link.write_paused:
                await self._writable()
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = _as_bytes(body)
            more = message.get("more_body", False)
            if phase is STARTED:
                self._open(body, more)
            else:
                self._continue(body, more)
            if not more:
                self._end_body()
        elif kind == "http.response.start" and phase is WAITING:
            self.status = status = message["status"]
            self.response_headers = headers = message.get("headers", ())
            try:
                known = self._link.policy.response_heads.get((status, *headers)) if type(headers) is list else None
            except TypeError:  # pairs that are lists cannot be looked up
                known = None
            if known is None:
                known = self._encode_head(status, headers)
            self._flags, parts = known
            self._parts = parts.copy()
            self._trailers = self._trailers_wanted() if message.get("trailers", False) else NO_TRAILERS
            self.phase = STARTED
        else:
            await self._send_rest(kind, message)

    def _encode_head(self, status: int, headers: Any) -> tuple[int, list[bytes]]:
        """Flags and lines of a head, remembered where it is likely to come again."""
        parts = [STATUS_LINES.get(status) or status_line(status)]
        flags = encode_fields(headers, parts)
        if type(headers) is list and sum(map(len, parts)) <= LONGEST and _is_plain(headers):
            link = self._link
            link.policy.response_heads.keep((status, *headers), (flags, parts), link.context.tick)
        return flags, parts

    def _end_body(self) -> None:
        if self._trailers:
            self.phase = TRAILERS
        else:
            self._complete()

    def _trailers_wanted(self) -> int:
        """What to do with the trailers that the application announces: the client must have said that it takes them."""
        return SEND_TRAILERS if "http.response.trailers" in self.scope["extensions"] else DROP_TRAILERS

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

    async def _send_rest(self, kind: str, message: Message) -> None:
        """Extensions, and what is wrong."""
        phase = self.phase
        if phase is DISCONNECTED:
            raise ClientDisconnected("the client has disconnected")
        if kind == "http.response.trailers" and phase is TRAILERS:
            if self._send_trailers(message):
                self._complete()
        elif kind == "http.response.early_hint" and phase in _NOT_SENT and self.line.modern:
            self._send_early_hint(message)
        elif kind == "http.response.pathsend" and phase is STARTED:
            from .sending_files import send_path

            await send_path(self, message)
        elif kind == "http.response.zerocopysend" and (phase is STARTED or phase is STREAMING):
            from .sending_files import send_descriptor

            await send_descriptor(self, message)
        elif kind == "http.response.debug" and phase in _LIVE:
            log.debug("%s %s: %r", self.scope["method"], self.scope["path"], message.get("info"), extra=_DEBUG)
        else:
            raise MisusedByApplication(f"the message {kind!r} is not allowed in the phase {phase.name}: {phase.value}")

    # The end

    def disconnect(self) -> None:
        """The client is gone. Whoever waits is told."""
        if self.phase in _LIVE:
            self.phase = DISCONNECTED
            self.wake()

    def expire(self) -> None:
        """The request takes longer than ``request_timeout``: cancel its application. Asked again a second later, end the
        request without it: it has caught the cancellation and gone on."""
        if self.task is None or self.phase not in _LIVE:
            return
        if not self.timed_out:
            self.timed_out = True
            self._tell_what_it_awaits(self.task)
            self.task.cancel()
            return
        self._complain("the application went on after its cancellation; the request ends without it")
        if self.phase in _NOT_SENT:
            self.answer_error()
        else:
            self._abort()

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
            self._abort()

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
            if phase in _LIVE and not self.timed_out:
                self._complain("the application was cancelled before its response was complete")
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
            self._abort()

    def _abort(self) -> None:
        """End an incomplete response so that the client can tell."""
        self.phase = ABORTED
        self.wake()
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
        self._parts = [STATUS_LINES[status], b"content-type: text/plain; charset=utf-8\r\n"]
        self._flags = 0
        self._trailers = NO_TRAILERS
        self.response_headers = ()
        self._open(b"Gateway Timeout" if self.timed_out else b"Internal Server Error", False)
        self._complete()

    def _tell_what_it_awaits(self, task: asyncio.Task[Any]) -> None:
        from .awaiting import awaiting

        stack = "\n".join(awaiting(task.get_coro(), source=True))
        log.error(
            "a request took longer than request_timeout (%g s) and is cancelled, %s: %s %s\n%s",
            self._link.context.config.request_timeout,
            "before its response began" if self.phase in _NOT_SENT else "in the middle of its response",
            self.scope["method"],
            self.scope["path"],
            stack,
            extra={"event": "request_timeout"},
        )

    def _complain(self, sentence: str) -> None:
        log.error(
            "%s: %s %s",
            sentence,
            self.scope["method"],
            self.scope["path"],
            extra={"event": "application_misbehaved"},
        )


def _is_plain(headers: list[Any]) -> bool:
    """Whether no field can change behind our back, or be equal to another that is encoded differently."""
    return all(
        type(field) is tuple and type(field[0]) is bytes and type(field[1]) is bytes and len(field) == 2
        for field in headers
    )


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise MisusedByApplication(f"the body of a response must be bytes, found {type(body).__name__}")
