"""Taking connections from the listening sockets.

Two ways. With one worker on uvloop, the loop's native accept: 20 to 45 microseconds cheaper per connection. Otherwise
our own accept callback, which can do what the native one cannot: leave a connection to a less loaded sibling
(``fairness``), count what is accepted but not set up yet, stop at ``worker_connections``, and pause when descriptors run
out. Rules:

* at most ``BATCH`` accepts per wake, so that a burst is shared and the loop goes on turning;
* out of descriptors: the listeners rest for a second, with one log line, instead of a loop at full speed;
* stopping closes this process's copy of the sockets only; the accept queue is left to the siblings, unless this is the
  last of them (``empty_queue``): then everything the kernel has accepted is taken first.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .fairness import PATIENCE, Fairness

if TYPE_CHECKING:
    import socket

    from asgi_arbiter.protocols.base import ConnectionContext

    from .listener import Listener

__all__ = ["Acceptor", "AcceptorPhase", "ConnectionSetup", "LoopAcceptor", "OwnAcceptor"]

log = logging.getLogger("asgi_arbiter.worker")

BATCH = 4
"""Accepts per wake while siblings compete for the same connections."""
BIG_BATCH = 32
"""Accepts per wake where there is nothing to share."""
_EMPTYING = 65_536
"""Connections taken at most when the queue is emptied, in case somebody keeps filling it."""
_REST = 1.0
_FULL_POLL = 0.005
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""accept(2): no descriptors or no memory. Everything else concerns the one connection, which is gone."""

ProtocolFactory = Callable[[], asyncio.Protocol]


class Acceptor(Protocol):
    """What the server asks of either way."""

    @property
    def pending(self) -> int:
        """Connections accepted and not yet handed to a protocol (TLS handshakes under way, mostly)."""

    @property
    def accepted(self) -> int:
        """Connections accepted so far, as far as this way can know."""

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


class ConnectionSetup:
    """Turns accepted sockets into connections; shared by both ways."""

    def __init__(
        self, context: ConnectionContext, factory: ProtocolFactory, tls: ssl.SSLContext | None, handshake_timeout: float
    ) -> None:
        self.context = context
        self.accepted = 0
        # The loop holds tasks weakly; until its transport exists nothing else holds one of these.
        self._tasks: set[asyncio.Task[None]] = set()
        self._connect: Callable[[socket.socket], Coroutine[Any, Any, Any]]
        self._connect = partial(context.loop.connect_accepted_socket, factory)
        if tls is not None:
            self._connect = partial(self._connect, ssl=tls, ssl_handshake_timeout=handshake_timeout or None)

    def take(self, sock: socket.socket) -> bool:
        """Accept one connection; ``False`` if there is none. Raises ``OSError`` when descriptors run out."""
        try:
            connection, _ = sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            return error.errno != errno.EBADF  # the client gave up in the queue (ECONNABORTED and the like)
        connection.setblocking(False)
        self.accepted += 1
        task = self.context.loop.create_task(self._set_up(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def abort(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    async def _set_up(self, connection: socket.socket) -> None:
        try:
            await self._connect(connection)
        except OSError as error:  # includes ssl.SSLError: a failed handshake is the client's affair
            log.debug("a connection could not be set up: %s", error, extra={"event": "connection_setup_failed"})

    def empty(self, listeners: Sequence[Listener]) -> None:
        """Take everything from the accept queues."""
        for listener in listeners:
            listener.refuse_new()
            try:
                for _ in range(_EMPTYING):
                    if listener.fileno() < 0 or not self.take(listener.socket):
                        break
            except OSError as error:
                log.error(
                    "cannot accept what is left in the queue: %s", error.strerror, extra={"event": "accept_failed"}
                )


class LoopAcceptor:
    """The loop's native accept. It has no way to pause, to count, or to yield."""

    def __init__(self, setup: ConnectionSetup, factory: ProtocolFactory, backlog: int) -> None:
        self._setup = setup
        self._factory = factory
        self._backlog = backlog
        self._listeners: Sequence[Listener] = ()
        self._servers: list[asyncio.Server] = []

    @property
    def pending(self) -> int:
        return self._setup.pending

    @property
    def accepted(self) -> int:
        return self._setup.accepted

    async def start(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        loop = self._setup.context.loop
        for listener in listeners:
            # ``create_server`` for Unix sockets too: ``create_unix_server`` would unlink the file at its end.
            server = await loop.create_server(self._factory, sock=listener.socket, backlog=self._backlog)
            self._servers.append(server)

    def stop(self, *, empty_queue: bool) -> None:
        if empty_queue and self._servers:
            self._setup.empty(self._listeners)
        for server in self._servers:
            server.close()
        self._servers.clear()
        for listener in self._listeners:
            listener.release()

    def abort(self) -> None:
        self._setup.abort()

    def refresh(self, now: float) -> None:
        """Nothing to watch."""


class OwnAcceptor:
    """Our own accept callback."""

    def __init__(
        self, setup: ConnectionSetup, *, fairness: Fairness | None, most: int, tell: Callable[[int], None] | None
    ) -> None:
        self.phase = AcceptorPhase.NEW
        self._setup = setup
        self._context = setup.context
        self._fairness = fairness
        self._most = most
        self._tell = tell
        self._listeners: Sequence[Listener] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._has_yielded = False
        self._told_exhausted = False
        self._accepted_before = 0

    @property
    def pending(self) -> int:
        return self._setup.pending

    @property
    def accepted(self) -> int:
        return self._setup.accepted

    async def start(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        self._listen()

    def stop(self, *, empty_queue: bool) -> None:
        if self.phase is AcceptorPhase.STOPPED:
            return
        self._pause(AcceptorPhase.STOPPED)
        if empty_queue:
            self._setup.empty(self._listeners)
        for listener in self._listeners:
            listener.release()

    def abort(self) -> None:
        self._setup.abort()

    def refresh(self, now: float) -> None:
        if self._fairness is not None:
            recently = self._setup.accepted - self._accepted_before
            self._accepted_before = self._setup.accepted
            self._fairness.refresh(now, accepted=recently, open_now=self._open())

    def _open(self) -> int:
        return len(self._context.connections) + self._setup.pending

    def _listen(self) -> None:
        self.phase = AcceptorPhase.ACCEPTING
        for listener in self._listeners:
            self._context.loop.add_reader(listener.fileno(), self._readable, listener.socket)

    def _pause(self, phase: AcceptorPhase, delay: float | None = None) -> None:
        """Look away from the sockets, which go on being readable, and come back after ``delay`` seconds."""
        if self.phase is AcceptorPhase.ACCEPTING:
            for listener in self._listeners:
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
        fairness = self._fairness
        may_yield = fairness is not None and not self._has_yielded
        self._has_yielded = False
        batch = BIG_BATCH if fairness is None or fairness.short_lived else BATCH
        try:
            for _ in range(batch):
                mine = self._open()
                if self._most and mine >= self._most:
                    self._pause(AcceptorPhase.FULL, _FULL_POLL)
                    break
                if may_yield and fairness is not None and fairness.is_ahead(mine):
                    self._pause(AcceptorPhase.YIELDING, PATIENCE)
                    break
                if not self._setup.take(sock):
                    break
                self._told_exhausted = False
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
