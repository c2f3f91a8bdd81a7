"""One application, one event loop, some listening sockets: serves until told to leave.

``Server`` is the core of all three hosts: the arbiter's worker (``process.py``), gunicorn's worker class, and programs
that embed it. That is possible because of what it does not do: it never touches signals, the configuration of logging,
the process, or ``sys.exit``; its pulse is a callable, and failures are exceptions.

Phases::

    NEW -> STARTING -> SERVING -> DRAINING -> CLOSING -> CLOSED
              |  `--------------------------------^        told to leave while starting
              `-> FAILED                                   startup failed
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from asgi_arbiter.config.address import Address

from .acceptor import Acceptor, choose
from .connection_setup import ConnectionSetup
from .drain import Drain, DrainReport
from .evidence import tasks_and_requests
from .leave import leave
from .lifespan import Lifespan
from .limits import Limits, memory_in_use
from .listener import Listener
from .phases import TRANSITIONS, ServerPhase, ServerSnapshot
from .ticker import Ticker

if TYPE_CHECKING:
    import ssl

    from asgi_arbiter.config import Config
    from asgi_arbiter.protocols.asgi import ASGIApplication
    from asgi_arbiter.protocols.base import AccessWriter, ConnectionContext

    from .pulse import PulseBoard

__all__ = ["Server", "ServerPhase", "ServerSnapshot"]

log = logging.getLogger("asgi_arbiter.worker")

_LAST_LEAVER = frozenset({"shutdown", "orphaned"})
"""Reasons for which no sibling will take what is in the accept queue."""

Beat = Callable[[ServerSnapshot], None]


class Server:
    """Serves ``app`` (ASGI 3) as ``config`` says. Use once: ``report = await Server(app, config).serve()``.

    ``beat`` is called about once a second from the event loop with a ``ServerSnapshot``.
    ``retire`` is called once with a reason when a limit of ``config`` (``max_requests``, lifetime, memory) is reached;
    without it the server drains by itself.
    ``rivals`` is ``(board, slot)`` when other workers accept from the same sockets, or may come to do so:
    ``rivals_expected`` tells which.
    ``tls`` replaces the TLS context that ``config`` describes, for hosts that must read the key before dropping rights.
    ``access_log`` takes the access records of hosts that write them in their own way; ``config.access_log`` is then
    not asked.
    ``announce`` is false in all but one of several servers alike: what each would say in the same words is said once.
    """

    def __init__(
        self,
        app: ASGIApplication,
        config: Config,
        *,
        beat: Beat | None = None,
        retire: Callable[[str], None] | None = None,
        rivals: tuple[PulseBoard, int] | None = None,
        rivals_expected: bool = True,
        tls: ssl.SSLContext | None = None,
        access_log: AccessWriter | None = None,
        announce: bool = True,
    ) -> None:
        self.config = config
        self.phase = ServerPhase.NEW
        self.lifespan = Lifespan(app, config, announce=announce)
        self.listeners: Sequence[Listener] = ()
        self._app = app
        self._beat = beat
        self._retire = retire or self.begin_drain
        self._has_retired = False
        self._rivals = rivals
        self._rivals_expected = rivals_expected
        self._tls = tls
        self._access_log = access_log
        self._drain = Drain()
        self._wake = asyncio.Event()
        self._limits = Limits.draw(config, _random)
        self._began_at = 0.0
        self._lag = 0.0
        self._context: ConnectionContext | None = None
        self._acceptor: Acceptor | None = None
        self._setup: ConnectionSetup | None = None
        self._ticker: Ticker | None = None
        self._report: DrainReport | None = None

    async def serve(
        self, listeners: Sequence[Listener] | None = None, on_ready: Callable[[], None] | None = None
    ) -> DrainReport:
        """Start the application, serve, and return when ``begin_drain`` was called and everything has ended.

        ``listeners`` default to those of ``config.bind``; either way they are closed at the end.
        ``on_ready`` is called when connections are accepted.

        Raises:
            BindError: a socket could not be opened.
            LifespanFailed: the application did not start.
        """
        self._enter(ServerPhase.STARTING)
        own = [] if listeners is not None else self._bind()
        self.listeners = own if listeners is None else listeners
        try:
            await self._start(on_ready)
            if self.phase is ServerPhase.SERVING:
                await self._serve_until_told()
            return await self._close()
        finally:
            self._stop_at_once()
            for listener in own:
                listener.close()
            if self.phase is not ServerPhase.CLOSED:
                self.phase = ServerPhase.FAILED

    def begin_drain(self, reason: str = "shutdown", *, timeout: float | None = None) -> None:
        """Leave: accept no more, finish what is under way within ``timeout`` seconds (default: ``graceful_timeout``),
        run the lifespan shutdown. Repeating it is harmless and can only shorten the time. Call it in the loop's thread.

        With the reasons ``shutdown`` and ``orphaned`` the accept queue is emptied first, since nobody else will;
        with others it is left to the sibling workers.
        """
        limit = self.config.graceful_timeout if timeout is None else timeout
        if self._drain.begin(time.monotonic(), reason, limit):
            self._wake.set()

    def abort(self) -> None:
        """Leave now: cut all connections and cancel all tasks; the lifespan shutdown still runs."""
        self.begin_drain("shutdown", timeout=0)
        self._drain.abort()

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Present other certificates to the connections to come; those that are there go on as they are."""
        self._tls = context
        if self._setup is not None:
            self._setup.use_tls(context)

    def snapshot(self) -> ServerSnapshot:
        """The server at this moment."""
        context, acceptor = self._context, self._acceptor
        if context is None:
            return ServerSnapshot(self.phase)
        pending = acceptor.pending if acceptor is not None else 0
        return ServerSnapshot(
            self.phase, len(context.connections) + pending, context.in_flight, context.completed, self._lag
        )

    @property
    def context(self) -> ConnectionContext | None:
        """What the connections share; ``None`` until the application has started."""
        return self._context

    def under_way(self) -> list[str]:
        """What the connections that are not idle are doing, a line for each."""
        connections = () if self._context is None else tuple(self._context.connections)
        return [connection.describe() for connection in connections if not connection.is_idle()]

    def describe(self) -> str:
        """Requests under way and tasks with their stacks, as lines for the log. Allowed in a signal handler."""
        loop = self._context.loop if self._context is not None else asyncio.get_running_loop()
        return tasks_and_requests(loop, self.under_way())

    # Starting

    def _bind(self) -> list[Listener]:
        opened: list[Listener] = []
        try:
            for text in self.config.bind:
                opened.append(Listener.bind(Address.parse(text), self.config))
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        return opened

    async def _start(self, on_ready: Callable[[], None] | None) -> None:
        if not await self._start_application():
            return
        context = self._context = self._make_context()
        self._acceptor = self._make_acceptor(context)
        self._began_at = time.monotonic()
        self._enter(ServerPhase.SERVING)
        self._ticker = Ticker(context, self._tick)
        self._ticker.start()
        await self._acceptor.start(self.listeners)
        if on_ready is not None:
            on_ready()

    async def _start_application(self) -> bool:
        """Run the lifespan startup; give it up when told to leave meanwhile. Whether to go on."""
        startup = asyncio.get_running_loop().create_task(self.lifespan.startup())
        told = asyncio.get_running_loop().create_task(self._wake.wait())
        try:
            await asyncio.wait({startup, told}, return_when=asyncio.FIRST_COMPLETED)
            if startup.done():
                startup.result()
            return startup.done() and not self._wake.is_set()
        finally:
            told.cancel()
            if not startup.done():
                startup.cancel()
                await asyncio.wait({startup})

    def _make_context(self) -> ConnectionContext:
        from asgi_arbiter.protocols import resolve_websocket
        from asgi_arbiter.protocols.base import ConnectionContext

        context = ConnectionContext(
            self._app,
            self.config,
            asyncio.get_running_loop(),
            access_log=self._access_log or _access_log(self.config),
            websocket_protocol=resolve_websocket(self.config.ws),
        )
        context.state = self.lifespan.state
        if self._limits.requests:
            context.request_limit = self._limits.requests
            context.on_request_limit = self._check_limits
        return context

    def _make_acceptor(self, context: ConnectionContext) -> Acceptor:
        from asgi_arbiter.config.tls import server_context
        from asgi_arbiter.protocols import resolve_http

        factory = partial(resolve_http(self.config.http), context)
        setup = self._setup = ConnectionSetup(context, factory, self._tls or server_context(self.config))
        return choose(setup, factory, self._rivals, expected=self._rivals_expected)

    # Serving

    def _tick(self, lag: float) -> None:
        self._lag = lag
        if self._acceptor is not None:
            self._acceptor.refresh(time.monotonic())
        if self._beat is not None:
            self._beat(self.snapshot())
        if not self._has_retired:
            self._check_limits()

    def _check_limits(self) -> None:
        if self._has_retired or self._context is None:
            return
        most = self._limits.memory
        memory = memory_in_use(most, shares=self.config.preload_app) if most else 0
        age = time.monotonic() - self._began_at
        reason = self._limits.exceeded(served=self._context.completed, age=age, memory=memory)
        if reason:
            self._has_retired = True
            self._retire(reason)

    # Leaving

    async def _serve_until_told(self) -> None:
        await self._wake.wait()
        assert self._context is not None
        assert self._acceptor is not None
        self._context.draining = self._drain.reason
        self._enter(ServerPhase.DRAINING)
        if self._beat is not None:
            self._beat(self.snapshot())
        self._acceptor.stop(empty_queue=self._drain.reason in _LAST_LEAVER)
        self._report = await leave(self._drain, self._context, self._acceptor, describe=self.describe)

    async def _close(self) -> DrainReport:
        self._enter(ServerPhase.CLOSING)
        if self._beat is not None:
            self._beat(self.snapshot())
        # Under its own limit, also when the drain used up all of its time.
        await self.lifespan.shutdown()
        self._enter(ServerPhase.CLOSED)
        return self._report or DrainReport(self._drain.reason, time.monotonic() - self._drain.began_at)

    def _stop_at_once(self) -> None:
        """What remains to be undone however ``serve`` ends."""
        if self._ticker is not None:
            self._ticker.stop()
        if self._acceptor is not None:
            self._acceptor.stop(empty_queue=False)
            self._acceptor.abort()
        if self._context is not None:
            for connection in tuple(self._context.connections):
                connection.abort()

    def _enter(self, phase: ServerPhase) -> None:
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"the server cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase


def _access_log(config: Config) -> AccessWriter | None:
    from asgi_arbiter.config.access import AccessLog

    log = AccessLog(config)
    return log if log.enabled else None


def _random() -> float:
    """``random.random``. Most workers have no limits and need not load the module."""
    import random

    return random.random()
