"""The ASGI side of a WebSocket: which message may come when, and what it does. Knows no frames and no transport.

=============  ===============================  ==============================================================
phase          message of the application       then
=============  ===============================  ==============================================================
CONNECTING     websocket.accept                 OPEN, the 101 goes out
CONNECTING     websocket.close                  CLOSED, 403
CONNECTING     websocket.http.response.start    DENYING
DENYING        websocket.http.response.body     DENYING, or CLOSED after the last
OPEN           websocket.send                   OPEN
OPEN           websocket.close                  CLOSING, a close frame goes out
CLOSING        any                              ``ClientDisconnected`` is raised
CLOSED         any                              ``ClientDisconnected`` is raised
elsewhere      any                              ``MisusedByApplication`` is raised
=============  ===============================  ==============================================================

The table is ``_TABLE`` below. CLOSING waits for the peer's close frame; every phase goes to CLOSED when the connection
is lost. If the application's task ends first, ``_conclude`` says what the peer is told: it is always told something.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from . import first_step
from .errors import ClientDisconnected, MisusedByApplication, is_departure
from .ws_denial import Denial
from .ws_frames import NORMAL, is_sendable

if TYPE_CHECKING:
    from .asgi import Message, Scope
    from .base import ConnectionContext

__all__ = ["Phase", "Session", "Wire", "leaving_code"]

log = logging.getLogger("asgi_arbiter.worker")

_NO_VARIABLES = contextvars.Context()
QUEUED_BYTES = 1 << 20
"""The queue is full with this many bytes too, so that ``ws_max_queue`` messages of ``ws_max_size`` never lie there."""


class Phase(Enum):
    """Where the conversation stands."""

    CONNECTING = "connecting"
    DENYING = "denying"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Wire(Protocol):
    """What a session asks of its connection. Nothing here waits but ``writable``."""

    is_blocked: bool
    """The peer reads too slowly: wait for ``writable`` before sending more."""

    def accept(self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Sends the 101. Raises ``MisusedByApplication`` if the application's choices are not allowed."""

    def refuse(self, status: int, reason: str) -> None:
        """Sends a response of the server's own instead of the 101, and closes."""

    def start_denial(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> Denial:
        """Raises ``MisusedByApplication`` for a bad status or header."""

    def write_denial(self, data: bytes, denial: Denial) -> None:
        """Some bytes of ``denial``; closes when it is complete."""

    def send_message(self, message: Message) -> None:
        """The application's ``websocket.send``. Raises ``MisusedByApplication`` if there is nothing in it."""

    def start_close(self, code: int, reason: str) -> None:
        """Sends a close frame and waits for the peer's, within a limit."""

    def cut(self) -> None:
        """Ends the connection without a word, where nothing that could be said would be understood."""

    def has_room(self) -> None:
        """The session's queue has room again after ``deliver`` said that it was full."""

    def application_ended(self) -> None:
        """The application's task is over."""

    async def writable(self) -> None:
        """Returns when the peer has read enough, or the connection is lost."""


class Session:
    """One WebSocket as a conversation with the application."""

    __slots__ = (
        "_denial",
        "_farewell",
        "_parting",
        "_queue",
        "_queued_bytes",
        "_stalled",
        "_waiter",
        "_wire",
        "close_code",
        "context",
        "is_over",
        "messages_in",
        "messages_out",
        "phase",
        "scope",
        "task",
    )

    def __init__(self, context: ConnectionContext, scope: Scope, wire: Wire) -> None:
        self.context = context
        self.scope = scope
        self.phase = Phase.CONNECTING
        self.messages_in = 0
        self.messages_out = 0
        self.close_code: int | None = None
        """The code that ended it: the peer's or ours, whichever was first; 1006 if there was none."""
        self.task: asyncio.Task[Any] | None = None
        self.is_over = True
        """Whether the application is not running."""
        self._wire = wire
        self._queue: list[Message] | tuple[()] = [{"type": "websocket.connect"}]
        self._queued_bytes = 0
        self._stalled = False
        self._waiter: asyncio.Future[Message] | None = None
        self._farewell: Message | None = None
        self._parting = 0
        self._denial: Denial | None = None

    # The application's side

    def start(self) -> None:
        """Calls the application."""
        self.is_over = False
        context = contextvars.Context() if self.context.config.reset_contextvars else None
        try:
            coroutine = self.context.app(self.scope, self.receive, self.send)
            task = first_step.start(self.context.loop, coroutine, context)  # type: ignore[arg-type]
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  the application's border
            self._conclude(error)
        else:
            if task is None:
                self._conclude(None)
            else:
                self.task = task
                self.context.tasks.add(task)
                task.add_done_callback(self._ended, context=_NO_VARIABLES)

    async def receive(self) -> Message:
        """The ASGI ``receive``. After ``websocket.disconnect`` it gives the same again."""
        while True:
            if self._queue:
                return self._take()
            if self._farewell is not None:
                await asyncio.sleep(0)  # an application that ignores the farewell must not hold the loop
                return dict(self._farewell)
            if self._waiter is not None:
                await asyncio.wait((self._waiter,))  # another task of the application is in receive()
                continue
            # What loop.create_future() does, with one call less.
            waiter: asyncio.Future[Message] = asyncio.Future(loop=self.context.loop)
            self._waiter = waiter
            try:
                return await waiter
            except asyncio.CancelledError:
                if waiter is self._waiter:
                    self._waiter = None
                elif not waiter.cancelled():  # delivered, and cancelled before it woke: it is for the next receiver
                    self._return(waiter.result())
                raise

    def _take(self) -> Message:
        queue = self._queue
        assert queue, "looked at before"
        message = queue.pop(0)
        if not queue:
            self._queue = ()  # most connections have nothing to queue for most of their life
        if self._stalled:
            self._queued_bytes -= _size(message)
            if len(queue) <= self.context.config.ws_max_queue // 2 and self._queued_bytes <= QUEUED_BYTES // 2:
                self._stalled = False
                self._wire.has_room()
        elif self._queued_bytes:
            self._queued_bytes = max(0, self._queued_bytes - _size(message))
        return message

    async def send(self, message: Message) -> None:
        """The ASGI ``send``. Waits while the peer reads too slowly.

        Raises ``ClientDisconnected`` or ``MisusedByApplication``.
        """
        wire = self._wire
        if self.phase is _OPEN and message["type"] == "websocket.send":
            wire.send_message(message)  # the table's row, without looking it up
            self.messages_out += 1
        else:
            self._act(message)
        if wire.is_blocked:
            await wire.writable()

    def _act(self, message: Message) -> None:
        kind = str(message.get("type"))
        row = _TABLE.get((self.phase, kind))
        if row is not None:
            row(self, message)
        elif self.phase in _OVER:
            raise ClientDisconnected(f"{kind} was sent although the WebSocket is {self.phase.value}")
        else:
            expected = " or ".join(repr(name) for phase, name in _TABLE if phase is self.phase)
            raise MisusedByApplication(
                f"{kind!r} was sent while the WebSocket is {self.phase.value}: expected {expected}"
            )

    def _accept(self, message: Message) -> None:
        self._wire.accept(message.get("subprotocol"), message.get("headers") or ())
        self.phase = Phase.OPEN
        if self._parting:
            self.leave(self._parting)
        else:
            self._wire.has_room()

    def _reject(self, _message: Message) -> None:
        self.phase = Phase.CLOSED
        self._wire.refuse(403, "")
        self._say_farewell(1006, "")

    def _deny(self, message: Message) -> None:
        self._denial = self._wire.start_denial(message["status"], message.get("headers") or ())
        self.phase = Phase.DENYING

    def _deny_body(self, message: Message) -> None:
        assert self._denial is not None, "the phase DENYING begins with a denial"
        data = self._denial.body(message.get("body", b""), more=bool(message.get("more_body", False)))
        self._wire.write_denial(data, self._denial)
        if self._denial.is_complete:
            self.phase = Phase.CLOSED
            self._say_farewell(1006, "")

    def _send_message(self, message: Message) -> None:
        self._wire.send_message(message)
        self.messages_out += 1

    def _close(self, message: Message) -> None:
        code = message.get("code", NORMAL)
        code = NORMAL if code is None else int(code)
        if not is_sendable(code) and code != 1005:
            raise MisusedByApplication(f"websocket.close: {code} is not a close code that may be sent")
        self._part(code, message.get("reason") or "")

    # The connection's side

    def deliver(self, message: Message) -> bool:
        """A message of the peer. True if the queue is full: deliver no more before ``Wire.has_room``."""
        self.messages_in += 1
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(message)
                return False
        if self._queue:
            self._queue.append(message)
        else:
            self._queue = [message]
        self._queued_bytes += _size(message)
        self._stalled = len(self._queue) >= self.context.config.ws_max_queue or self._queued_bytes >= QUEUED_BYTES
        return self._stalled

    def _return(self, message: Message) -> None:
        """Before all others in the queue, unless somebody waits for it."""
        if not self._answer(message):
            self._queue = [message, *self._queue]
            self._queued_bytes += _size(message)

    def _answer(self, message: Message) -> bool:
        """To the receiver that waits, if there is one."""
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return False
        waiter.set_result(message)
        return True

    def end(self, code: int, reason: str = "") -> None:
        """The peer closed, broke the protocol or is gone: the application is told once, and may send no more."""
        self.phase = Phase.CLOSED
        self._say_farewell(code, reason)

    def leave(self, code: int) -> None:
        """The worker leaves: close with ``code``. A handshake still open is left to the application's answer."""
        if self.phase is Phase.OPEN:
            self._part(code, "")
        elif self.phase is Phase.CONNECTING:
            self._parting = code

    def cancel(self) -> None:
        """Cancels the application's task."""
        if self.task is not None:
            self.task.cancel()

    def _part(self, code: int, reason: str) -> None:
        self.phase = Phase.CLOSING
        self._say_farewell(code, reason)
        self._wire.start_close(code, reason)

    def _say_farewell(self, code: int, reason: str) -> None:
        if self._farewell is not None:
            return
        self.close_code = code
        self._farewell = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._answer(dict(self._farewell))

    # The end of the application

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.context.tasks.discard(task)
        self._conclude(asyncio.CancelledError() if task.cancelled() else task.exception())

    def _conclude(self, error: BaseException | None) -> None:
        cancelled = isinstance(error, asyncio.CancelledError)
        failed = error is not None and not cancelled and not self._is_departure(error)
        if failed:
            log.error(
                "exception in the application: WEBSOCKET %s",
                self.scope["path"],
                exc_info=error,
                extra={"event": "application_error"},
            )
        if self.phase is Phase.CONNECTING or (self._denial is not None and not self._denial.is_begun):
            if error is None:
                log.error(
                    "the application returned without accepting or closing: WEBSOCKET %s",
                    self.scope["path"],
                    extra={"event": "application_misbehaved"},
                )
            self.phase = Phase.CLOSED
            self._wire.refuse(
                503 if cancelled else 500, "Service Unavailable" if cancelled else "Internal Server Error"
            )
            self._say_farewell(1006, "")
        elif self.phase is Phase.DENYING:
            self.phase = Phase.CLOSED
            self._wire.cut()  # a response that was begun cannot be taken back, and must not look complete
        elif self.phase is Phase.OPEN:
            self._part(1011 if failed else self._leaving_code() if error is not None else NORMAL, "")
        self.task = None
        self.is_over = True
        self._wire.application_ended()

    def _is_departure(self, error: BaseException) -> bool:
        """Whether the error says nothing but that the peer is gone, in its framework's words once that is so."""
        if self._farewell is not None:
            return is_departure(error)
        if isinstance(error, BaseExceptionGroup):
            return error.split(ClientDisconnected)[1] is None
        return isinstance(error, ClientDisconnected)

    def _leaving_code(self) -> int:
        """For a task that was cancelled: by a drain, or by the application itself."""
        return leaving_code(self.context.draining) if self.context.draining else 1011


def leaving_code(reason: str) -> int:
    """What a worker that leaves says: 1001 if nobody comes after it, 1012 at a restart (the registry of close codes)."""
    return 1001 if reason in ("shutdown", "orphaned") else 1012


def _size(message: Message) -> int:
    return len(message.get("text") or message.get("bytes") or ())


_OPEN = Phase.OPEN
_OVER = frozenset((Phase.CLOSING, Phase.CLOSED))
_TABLE: dict[tuple[Phase, str], Callable[[Session, Message], None]] = {
    (Phase.CONNECTING, "websocket.accept"): Session._accept,
    (Phase.CONNECTING, "websocket.close"): Session._reject,
    (Phase.CONNECTING, "websocket.http.response.start"): Session._deny,
    (Phase.DENYING, "websocket.http.response.body"): Session._deny_body,
    (Phase.OPEN, "websocket.send"): Session._send_message,
    (Phase.OPEN, "websocket.close"): Session._close,
}
