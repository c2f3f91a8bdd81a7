"""Taking connections from the listening sockets.

Two ways. For a worker that is alone, on uvloop, the loop's native accept: 20 to 45 microseconds cheaper per connection.
Otherwise our own accept callback, which can do what the native one cannot: leave a connection to a less loaded sibling
(``fairness``), count what is accepted but not set up yet, stop at ``worker_connections``, and pause when descriptors run
out. Rules:

* at most ``BATCH`` accepts per wake, so that a burst is shared and the loop goes on turning;
* out of descriptors: the listeners rest for a second, with one log line, instead of a loop at full speed;
* stopping closes this process's copy of the sockets only; the accept queue is left to the siblings, unless this is the
  last of them (``empty_queue``): then everything the kernel has accepted is taken first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from .fairness import Fairness
from .loop_acceptor import LoopAcceptor, descriptors

if TYPE_CHECKING:
    import socket

    from .connection_setup import ConnectionSetup, ProtocolFactory
    from .listener import Listener
    from .pulse import PulseBoard

__all__ = ["Acceptor", "AcceptorPhase", "OwnAcceptor", "choose"]

log = logging.getLogger("asgi_arbiter.worker")

BATCH = 4
"""Accepts per wake while siblings compete for the same connections."""
BIG_BATCH = 32
"""Accepts per wake where there is nothing to share."""
_REST = 1.0
_FULL_POLL = 0.005


class Acceptor(Protocol):
    """What the server asks of either way."""

    @property
    def pending(self) -> int:
        """Connections accepted and not yet handed to a protocol (TLS handshakes under way, mostly)."""

    async def start(self, listeners: Sequence[Listener]) -> None:
        """Begin to accept."""

    def stop(self, *, empty_queue: bool) -> None:
        """Accept no more and close this process's copies of the listeners. Harmless when repeated."""

    def abort(self) -> None:
        """Give up the connections that are not set up yet."""

    def refresh(self, now: float) -> None:
        """Once a second, with ``time.monotonic()``."""


class AcceptorPhase(Enum):
    """What our own accept callback is doing."""

    NEW = auto()
    ACCEPTING = auto()
    YIELDING = auto()
    """Lets less loaded siblings go first."""
    FULL = auto()
    """Holds ``worker_connections``."""
    RESTING = auto()
    """Out of descriptors."""
    STOPPED = auto()


def choose(
    setup: ConnectionSetup, factory: ProtocolFactory, rivals: tuple[PulseBoard, int] | None, *, expected: bool = True
) -> Acceptor:
    """The way that fits; ``rivals`` is the pulse board and one's own slot where others may accept from the same sockets.
    Unless they are ``expected``, the native accept serves as long as the board shows none."""
    config = setup.context.config
    fairness: Fairness | None = None
    own = OwnAcceptor(setup, most=config.worker_connections)
    if rivals is not None:
        board, slot = rivals
        fairness = Fairness(board, slot)
        own = OwnAcceptor(setup, most=config.worker_connections, fairness=fairness, tell=board.writer(slot).count)
        if expected:
            return own
    is_uvloop = type(setup.context.loop).__module__.startswith("uvloop")
    # What needs time (TLS, PROXY) needs our own accept so that the drain sees what is under way; few descriptors need it because libuv
    # accepts a whole backlog in one go.
    has_plenty = descriptors() > 4 * config.backlog
    if is_uvloop and has_plenty and not setup.needs_time and not config.worker_connections:
        return LoopAcceptor(setup, factory, own, most=descriptors() // 2, fairness=fairness)
    return own


class OwnAcceptor:
    """Our own accept callback."""

    def __init__(
        self,
        setup: ConnectionSetup,
        *,
        most: int = 0,
        fairness: Fairness | None = None,
        tell: Callable[[int], None] | None = None,
    ) -> None:
        self.phase = AcceptorPhase.NEW
        self._setup = setup
        self._context = setup.context
        self._fairness = fairness
        self._most = most
        self._tell = tell
        self.listeners: Sequence[Listener] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._has_yielded = False
        self._told_exhausted = False
        self._accepted_before = 0

    @property
    def pending(self) -> int:
        """Connections accepted and not yet handed to a protocol."""
        return self._setup.pending

    async def start(self, listeners: Sequence[Listener]) -> None:
        """Begin to accept."""
        self.begin(listeners)

    def begin(self, listeners: Sequence[Listener]) -> None:
        """The same without waiting for anything."""
        self.listeners = listeners
        self._listen()

    def pause(self) -> None:
        """Leave the listeners to another way of accepting, until ``begin`` is called again."""
        self._pause(AcceptorPhase.NEW)

    def stop(self, *, empty_queue: bool) -> None:
        """Accept no more and close this process's copies of the listeners."""
        if self.phase is AcceptorPhase.STOPPED:
            return
        self._pause(AcceptorPhase.STOPPED)
        if empty_queue:
            self._setup.empty(self.listeners)
        for listener in self.listeners:
            listener.close()

    def abort(self) -> None:
        """Give up the connections that are not set up yet."""
        self._setup.abort()

    def refresh(self, now: float) -> None:
        """Look at the siblings, once a second."""
        if self._fairness is not None:
            recently = self._setup.accepted - self._accepted_before
            self._accepted_before = self._setup.accepted
            self._fairness.refresh(now, accepted=recently, open_now=self._open())

    def _open(self) -> int:
        return len(self._context.connections) + self._setup.pending

    def _listen(self) -> None:
        self.phase = AcceptorPhase.ACCEPTING
        for listener in self.listeners:
            self._context.loop.add_reader(listener.fileno(), self._readable, listener.socket)

    def _pause(self, phase: AcceptorPhase, delay: float | None = None) -> None:
        """Look away from the sockets, which go on being readable, and come back after ``delay`` seconds."""
        if self.phase is AcceptorPhase.ACCEPTING:
            for listener in self.listeners:
                self._context.loop.remove_reader(listener.fileno())
        self.phase = phase
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay is None else self._context.loop.call_later(delay, self._resume)

    def _resume(self) -> None:
        if self.phase is AcceptorPhase.FULL and self._open() >= self._most:
            self._timer = self._context.loop.call_later(_FULL_POLL, self._resume)
            return
        self._has_yielded = self.phase is AcceptorPhase.YIELDING
        self._listen()

    def _readable(self, sock: socket.socket) -> None:
        if self.phase is not AcceptorPhase.ACCEPTING:
            return  # another listener's callback, earlier in this turn, has paused
        fairness = self._fairness
        if fairness is not None:
            fairness.look(time.monotonic())
        batch = BIG_BATCH if fairness is None or fairness.short_lived else BATCH
        try:
            for _ in range(batch):
                mine = self._open()
                if self._most and mine >= self._most:
                    self._pause(AcceptorPhase.FULL, _FULL_POLL)
                    break
                if fairness is not None and not self._has_yielded and (patience := fairness.patience(mine)):
                    self._pause(AcceptorPhase.YIELDING, patience)
                    break
                self._has_yielded = False  # patience buys one connection
                if not self._setup.take(sock):
                    self._told_exhausted = False  # the queue is empty: the next time is another one
                    break
        except OSError as error:
            self._rest(error)
        if self._tell is not None:
            self._tell(self._open())

    def _rest(self, error: OSError) -> None:
        self._pause(AcceptorPhase.RESTING, _REST)
        if not self._told_exhausted:
            self._told_exhausted = True
            log.error(
                "cannot accept connections: %s; trying again every %g s (%d connections are open)",
                error.strerror,
                _REST,
                self._open(),
                extra={"event": "accept_paused"},
            )
