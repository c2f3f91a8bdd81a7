"""What a program tells its server and asks it, from any thread: ``should_exit``, ``addresses``, ``wait_started``...

The base of ``Server``, which has the life itself. Orders are obeyed in the loop's thread, soon; before there is a loop they
are remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from .public_state import ServerState

if TYPE_CHECKING:
    from asgi_arbiter.worker import Server as Core
    from asgi_arbiter.worker.phases import ServerSnapshot

    from .public_config import Config
    from .public_sockets import BoundServer

__all__ = ["LAST_WORDS", "Handle"]

_LIVE = frozenset({"lifespan", "server_state", "_loop", "_told", "_core", "_task", "_notifier", "_outcome"})
"""Attributes that no other process can have."""
LAST_WORDS = 1.0
"""Seconds for the lifespan shutdown when ``force_exit`` is set."""


class Handle:
    """A server as seen from outside its life: what it is told and what it is asked."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.started = False
        """Whether connections were accepted; stays true afterwards."""
        self.servers: list[BoundServer] = []
        self.addresses: tuple[str, ...] = ()
        """What is bound, as a client writes it: ``http://127.0.0.1:54321``, ``unix:/run/app.sock``. Empty before."""
        self._should_exit = False
        self._force_exit = False
        self._is_quick = False
        self._captured_signals: list[int] = []
        self._make_live()

    def _make_live(self) -> None:
        """What belongs to one process and one run."""
        self.lifespan: Any = None
        self.server_state = ServerState(self.config, lambda: self._core.context if self._core is not None else None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()
        self._core: Core | None = None
        self._task: asyncio.Task[Any] | None = None
        self._notifier: asyncio.Task[None] | None = None
        self._outcome: Future[None] = Future()
        """Done when started, or failed when that will not be."""

    def __getstate__(self) -> dict[str, Any]:
        """For ``multiprocessing.Process(target=server.run)`` where processes are spawned: the server before its start."""
        return {name: value for name, value in vars(self).items() if name not in _LIVE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_live()

    # Orders, from any thread

    @property
    def should_exit(self) -> bool:
        """Set it to leave: accept no more, finish what is under way, run the lifespan shutdown."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = bool(value)
        if value:
            self._call(self._heed)

    @property
    def force_exit(self) -> bool:
        """Whether leaving means to cut connections and cancel requests. Alone it does not make the server leave."""
        return self._force_exit

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._force_exit = bool(value)
        if value and self._should_exit:
            self._call(self._heed)

    def _call(self, order: Callable[[], None]) -> None:
        """Have the loop's thread do it, soon: from another thread, from a signal handler, from the loop itself."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(order)
            except RuntimeError:
                pass  # the loop is closed: everything has ended

    def _heed(self) -> None:
        self._told.set()
        core = self._core
        if core is None:
            return
        if not self.started:
            core.begin_drain("shutdown")
        elif self._force_exit:
            core.abort()
            core.lifespan.hurry(LAST_WORDS)

    def reload_certificates(self) -> None:
        """Read certificates and keys anew, from any thread: connections made from now on get them, and those that are
        there go on. ``ssl_context_factory`` is called again.

        Raises:
            ConfigError: something is wrong with them; the old ones stay in use.
        """
        fresh = self.config.read_certificates()
        self._call(lambda: self._core.use_tls(fresh) if self._core is not None else None)

    # Questions

    @property
    def port(self) -> int | None:
        """The port of the first TCP address, also when it was asked for as 0; ``None`` before and without one."""
        ports = [int(text.rpartition(":")[2]) for text in self.addresses if not text.startswith("unix:")]
        return ports[0] if ports else None

    @property
    def snapshot(self) -> ServerSnapshot | None:
        """Connections, requests under way, requests served and the loop's lag; ``None`` before the start."""
        return self._core.snapshot() if self._core is not None else None

    async def wait_started(self, timeout: float | None = None) -> None:
        """Return when the server accepts connections; it may run in another task, another loop or another thread.

        Raises:
            TimeoutError: not within ``timeout`` seconds.
            ArbiterError: the start failed; the same error as from ``serve``.
            RuntimeError: the server was told to leave before it had started.
        """
        async with asyncio.timeout(timeout):
            await asyncio.shield(asyncio.wrap_future(self._outcome))

    def block_until_started(self, timeout: float | None = None) -> None:
        """The same for a thread in which no loop runs; the server runs in another. Raises what ``wait_started`` does."""
        self._outcome.result(timeout)
