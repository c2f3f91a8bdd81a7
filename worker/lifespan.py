"""The ASGI lifespan conversation (lifespan protocol 2.0) as a table of phases.

The hard part is to tell an application that *does not know* lifespan from one that *failed to start*, since the
specification lets both raise. Rules:

* raising or returning before the startup event was received, or sending a message of another protocol, means
  "unsupported": with ``auto`` the server goes on, with ``on`` it does not;
* raising after the startup event was received, ``lifespan.startup.failed`` and taking too long mean "failed", in both
  modes: whoever took the event has begun to start, and serving a half-started application helps nobody;
* the reason of either is never hidden: one line says what happened, the traceback is kept;
* shutdown runs under its own limit and its failures are logged, not raised.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.errors import LifespanFailed

if TYPE_CHECKING:
    from types import TracebackType

    from asgi_arbiter.config import Config
    from asgi_arbiter.protocols.asgi import ASGIApplication, Message

__all__ = ["Lifespan", "LifespanEvent", "LifespanPhase"]

log = logging.getLogger("asgi_arbiter.worker")

_LAST_WORDS = 1.0
"""Seconds that the lifespan task gets to end by itself once it has said its last message, and after a cancellation."""


class LifespanPhase(Enum):
    """Where the conversation stands."""

    NEW = auto()
    OFFERED = auto()
    """The application was called and has not asked for an event yet."""
    STARTING = auto()
    """It has received ``lifespan.startup``."""
    RUNNING = auto()
    STOPPING = auto()
    CLOSED = auto()
    UNSUPPORTED = auto()
    FAILED = auto()


class LifespanEvent(Enum):
    """What moves it on: messages of the application, its end, and ours."""

    CALL = auto()
    RECEIVED = auto()
    STARTUP_COMPLETE = auto()
    STARTUP_FAILED = auto()
    SHUTDOWN = auto()
    SHUTDOWN_COMPLETE = auto()
    SHUTDOWN_FAILED = auto()
    FOREIGN_MESSAGE = auto()
    RETURNED = auto()
    RAISED = auto()
    TIMED_OUT = auto()


_P, _E = LifespanPhase, LifespanEvent

TABLE: dict[tuple[LifespanPhase, LifespanEvent], LifespanPhase] = {
    (_P.NEW, _E.CALL): _P.OFFERED,
    (_P.OFFERED, _E.RECEIVED): _P.STARTING,
    (_P.OFFERED, _E.STARTUP_COMPLETE): _P.RUNNING,
    (_P.OFFERED, _E.STARTUP_FAILED): _P.FAILED,
    (_P.OFFERED, _E.FOREIGN_MESSAGE): _P.UNSUPPORTED,
    (_P.OFFERED, _E.RETURNED): _P.UNSUPPORTED,
    (_P.OFFERED, _E.RAISED): _P.UNSUPPORTED,
    (_P.OFFERED, _E.TIMED_OUT): _P.FAILED,
    (_P.STARTING, _E.STARTUP_COMPLETE): _P.RUNNING,
    (_P.STARTING, _E.STARTUP_FAILED): _P.FAILED,
    (_P.STARTING, _E.FOREIGN_MESSAGE): _P.UNSUPPORTED,
    (_P.STARTING, _E.RETURNED): _P.UNSUPPORTED,
    (_P.STARTING, _E.RAISED): _P.FAILED,
    (_P.STARTING, _E.TIMED_OUT): _P.FAILED,
    (_P.RUNNING, _E.SHUTDOWN): _P.STOPPING,
    (_P.RUNNING, _E.RETURNED): _P.CLOSED,
    (_P.RUNNING, _E.RAISED): _P.CLOSED,
    (_P.STOPPING, _E.SHUTDOWN_COMPLETE): _P.CLOSED,
    (_P.STOPPING, _E.SHUTDOWN_FAILED): _P.CLOSED,
    (_P.STOPPING, _E.RETURNED): _P.CLOSED,
    (_P.STOPPING, _E.RAISED): _P.CLOSED,
    (_P.STOPPING, _E.TIMED_OUT): _P.CLOSED,
}
"""A pair that is not here: for a message of the application it is a misuse, which ``send`` raises into it; for the end
of its task it has no meaning any more."""

_MESSAGES = {
    "lifespan.startup.complete": _E.STARTUP_COMPLETE,
    "lifespan.startup.failed": _E.STARTUP_FAILED,
    "lifespan.shutdown.complete": _E.SHUTDOWN_COMPLETE,
    "lifespan.shutdown.failed": _E.SHUTDOWN_FAILED,
}
_BEFORE_RUNNING = frozenset({_P.NEW, _P.OFFERED, _P.STARTING})


class Lifespan:
    """One application's lifespan: ``startup``, then serving, then ``shutdown``."""

    def __init__(self, app: ASGIApplication, config: Config, *, announce: bool = True) -> None:
        self.state: dict[str, Any] = {}
        """What the application left for its requests (ASGI lifespan 2.0, "Lifespan State")."""
        self.phase = LifespanPhase.NEW
        self._app = app
        self._mode = config.lifespan
        self._announce = announce
        self._startup_timeout = config.lifespan_startup_timeout or None
        self._shutdown_timeout = config.lifespan_shutdown_timeout or None
        self._limit: asyncio.Timeout | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._leave = asyncio.Event()
        self._why = ""
        self._error: BaseException | None = None
        self._traceback = ""

    async def startup(self) -> None:
        """Start the application; return when it is complete, or when it turns out not to know lifespan.

        Raises:
            LifespanFailed: it failed, took longer than ``lifespan_startup_timeout``, or lifespan is ``on`` and the
                application does not support it. The user's traceback is in ``traceback_text``.
        """
        if self._mode == "off":
            return
        self._advance(_E.CALL)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="asgi-arbiter lifespan")
        try:
            await self._wait_while(_BEFORE_RUNNING, self._startup_timeout)
        finally:
            # Still before running: it took too long, or this call was cancelled.
            self._advance(_E.TIMED_OUT, f"it did not complete within {self._startup_timeout or 0:g} s")
            if self.phase is not _P.RUNNING:
                await self._end_task()
        if self.phase is _P.FAILED:
            raise LifespanFailed(f"the application's startup failed: {self._why}", traceback_text=self._traceback)
        if self.phase is _P.UNSUPPORTED:
            self._tell_unsupported()

    async def shutdown(self) -> None:
        """Tell the application to stop and wait for it, at most ``lifespan_shutdown_timeout``. Never raises."""
        if self.phase is not _P.RUNNING:
            return
        self._advance(_E.SHUTDOWN)
        self._leave.set()
        try:
            await self._wait_while({_P.STOPPING}, self._shutdown_timeout)
        finally:
            if self._advance(_E.TIMED_OUT):  # still stopping
                log.error(
                    "the application's shutdown did not complete within %g s (lifespan_shutdown_timeout)",
                    self._shutdown_timeout or 0,
                    extra={"event": "lifespan_shutdown_timeout"},
                )
            await self._end_task()

    def hurry(self, timeout: float) -> None:
        """Give the shutdown, under way or still to come, only ``timeout`` seconds from now or from its beginning."""
        self._shutdown_timeout = min(timeout, self._shutdown_timeout or timeout)
        if self.phase is _P.STOPPING and self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + timeout)

    # The application's side

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 -- the application call
            # SystemExit too: out of a task it would tear down the loop, and nobody could say why.
            self._raised(error)
        else:
            self._returned()

    async def _receive(self) -> Message:
        if self.phase is _P.OFFERED:
            self._advance(_E.RECEIVED)
            return {"type": "lifespan.startup"}
        await self._leave.wait()
        if self.phase is _P.STOPPING:
            return {"type": "lifespan.shutdown"}
        await asyncio.get_running_loop().create_future()  # nothing more will ever come
        raise AssertionError("a future that nobody completes was completed")

    async def _send(self, message: Message) -> None:
        kind = str(message.get("type"))
        event = _MESSAGES.get(kind, _E.FOREIGN_MESSAGE)
        before = self.phase
        text = str(message.get("message") or "")
        if event is _E.STARTUP_FAILED and before in _BEFORE_RUNNING:
            self._why, self._traceback = _split_failure(text)
        moved = self._advance(event, f"it sent {kind!r}" if event is _E.FOREIGN_MESSAGE else "")
        if event is _E.FOREIGN_MESSAGE or not moved:
            raise RuntimeError(f"unexpected ASGI message {kind!r} in the lifespan phase {before.name}")
        if event is _E.SHUTDOWN_FAILED:
            log.error("the application's shutdown failed: %s", text or "it gave no reason", extra=_SHUTDOWN_FAILED)

    def _returned(self) -> None:
        before = self.phase
        if before is _P.RUNNING:
            log.error("the application's lifespan ended while serving; there will be no shutdown", extra=_ENDED)
        self._advance(_E.RETURNED, "it returned without a word")

    def _raised(self, error: BaseException) -> None:
        before = self.phase
        self._error = error
        frames = _users_frames(error.__traceback__)
        if before in _BEFORE_RUNNING:
            self._traceback = "".join(traceback.format_exception(type(error), error, frames))
        elif before is _P.RUNNING:
            log.error(
                "the application's lifespan raised while serving; there will be no shutdown: %s",
                _summary(error),
                exc_info=(type(error), error, frames),
                extra=_ENDED,
            )
        elif before is _P.STOPPING:
            log.error(
                "the application's shutdown raised %s",
                _summary(error),
                exc_info=(type(error), error, frames),
                extra=_SHUTDOWN_FAILED,
            )
        self._advance(_E.RAISED, f"it raised {_summary(error)}")

    # Our side

    def _advance(self, event: LifespanEvent, why: str = "") -> bool:
        """Whether the table has a way from here by ``event``."""
        target = TABLE.get((self.phase, event))
        if target is None:
            return False
        self.phase = target
        self._why = why or self._why
        self._moved.set()
        return True

    async def _wait_while(self, phases: frozenset[LifespanPhase] | set[LifespanPhase], timeout: float | None) -> None:
        """Return when the phase has left ``phases`` or after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout) as self._limit:
                while self.phase in phases:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass

    async def _end_task(self) -> None:
        """Let the task end by itself for a moment, then cancel it, then leave it to the loop's own cleaning."""
        task = self._task
        if task is None or task.done():
            return
        if self.phase in (_P.CLOSED, _P.UNSUPPORTED):
            await asyncio.wait({task}, timeout=_LAST_WORDS)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_LAST_WORDS)

    def _tell_unsupported(self) -> None:
        if self._mode == "on":
            raise LifespanFailed(
                f"the application does not support lifespan, but lifespan is 'on': {self._why}",
                traceback_text=self._traceback,
            )
        level = logging.INFO if self._announce else logging.DEBUG
        log.log(
            level, "the application does not support lifespan: %s", self._why, extra={"event": "lifespan_unsupported"}
        )
        if self._traceback:
            log.debug("%s", self._traceback.rstrip(), extra={"event": "lifespan_unsupported"})


_ENDED = {"event": "lifespan_ended"}
_SHUTDOWN_FAILED = {"event": "lifespan_shutdown_failed"}


def _users_frames(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the user's first frame on; all of it if there is none (a call with wrong arguments)."""
    first = frames
    while first is not None and first.tb_frame.f_code.co_filename == __file__:
        first = first.tb_next
    return first or frames


def _summary(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def _split_failure(text: str) -> tuple[str, str]:
    """``(one line, traceback)``: Starlette and others put a whole traceback into the message of the failure."""
    lines = text.strip().splitlines()
    if not lines:
        return "it gave no reason", ""
    if len(lines) > 1:
        return lines[-1].strip(), text.strip() + "\n"
    return lines[0], ""
