"""``asgi_arbiter.Server``: one server in this process, for programs. uvicorn's interface over the worker's core.

``run()`` makes an event loop; ``await serve()`` runs in one that is there. Both may run in any thread, and several
servers in one process. The parts of a life can be overridden as in uvicorn, each calling ``super()``:

* ``startup(sockets)`` returns when connections are accepted, ``main_loop()`` when it is time to leave, and
  ``shutdown(sockets)`` when everything has ended; a program may also call the three itself;
* ``on_tick(counter)`` is asked ten times a second if a subclass has one; true ends the server;
* ``handle_exit(sig, frame)`` hears SIGINT and SIGTERM; ``install_signal_handlers()`` decides whether it does;
* ``capture_signals()`` is the context manager around it all.

What is not as there: a failed start is an exception of ``serve`` and never a ``SystemExit`` in somebody else's loop;
the drain ends after ``graceful_timeout``; orders are obeyed at once and not at the next tenth of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from types import FrameType
from typing import TYPE_CHECKING

from asgi_arbiter.config import ArbiterError
from asgi_arbiter.config.records import replace
from asgi_arbiter.worker import Listener, loops
from asgi_arbiter.worker import Server as Core

from . import public_signals, public_sockets
from .public_handle import LAST_WORDS, Handle
from .public_sockets import BoundServer

if TYPE_CHECKING:
    from asgi_arbiter.config import Config as Settings
    from asgi_arbiter.worker.phases import ServerSnapshot

    from .public_config import Config

__all__ = ["STARTUP_FAILURE", "Server", "tell"]

log = logging.getLogger("asgi_arbiter.worker")

STARTUP_FAILURE = 3
"""Exit code of ``run`` when the server could not start, whatever the reason; uvicorn's."""
_TICK = 0.1
_TICKS = 864000
"""The counter of ``on_tick`` starts again after a day, as in uvicorn."""


class Server(Handle):
    """Serves ``config.app``. ``Server(Config("main:app", port=5000)).run()``."""

    def run(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve in an event loop of its own until told to leave. Not inside a running loop; there use ``serve``.

        On the main thread Ctrl-C ends it and then raises ``KeyboardInterrupt``, and SIGTERM ends it and then the
        process, unless the program has handlers of its own for them.

        Raises:
            SystemExit: the server could not start; the code is 3 and the reason is in the log.
        """
        _refuse_inside_a_loop(f"{type(self).__name__}.run()")
        try:
            self.config.load()  # before there is a loop, as in a worker, and while Ctrl-C still interrupts the import
            with self.capture_signals():
                loops.run(lambda: self.serve(sockets), self.config.settings.loop)
        except ArbiterError as error:
            self._fail(error)
            tell(error)
            sys.exit(STARTUP_FAILURE)

    async def serve(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve in the running loop until told to leave. When the task is cancelled, the server leaves within
        ``quick_timeout``. ``sockets`` replace the configured addresses and are closed at the end.

        Raises:
            ArbiterError: ``AppImportError``, ``BindError`` or ``LifespanFailed``: the server could not start.
        """
        with self.capture_signals():
            await self._serve(sockets)

    async def _serve(self, sockets: Sequence[socket.socket] | None) -> None:
        try:
            await self.startup(sockets=sockets)
            if self.started and not self._should_exit:
                await self.main_loop()
            if self.started:
                await self.shutdown(sockets=sockets)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            await self._end()

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Load the application, open the sockets, run the lifespan startup; return when connections are accepted, or
        when the server was told to leave meanwhile (``started`` is false then). Raises as ``serve`` does."""
        self._prepare()
        self.config.load()
        settings = _for_one(self.config)
        listeners = public_sockets.opened(sockets, settings)
        ready = asyncio.Event()
        core = self._core = Core(
            self.config.loaded_app, settings, beat=self._beat, retire=self._retire, tls=self.config.ssl
        )
        self.lifespan = core.lifespan
        self._task = asyncio.create_task(self._live(core, listeners, ready), name="asgi-arbiter server")
        if self._should_exit:
            core.begin_drain("shutdown")
        waiter = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({self._task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        if self._task.done():
            self._task.result()

    async def main_loop(self) -> None:
        """Return when it is time to leave."""
        if type(self).on_tick is Server.on_tick and "on_tick" not in vars(self):
            await self._wait_told(None)
            return
        counter = 0
        while not await self.on_tick(counter) and not self._has_ended():
            counter = (counter + 1) % _TICKS
            await self._wait_told(_TICK)

    async def on_tick(self, counter: int) -> bool:
        """Whether to leave; called ten times a second if overridden."""
        return self._should_exit

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Accept no more, finish what is under way, run the lifespan shutdown; return when everything has ended."""
        if self._core is None or self._task is None:
            return
        if not self._task.done():
            log.info("shutting down", extra={"event": "shutting_down"})
        self._should_exit = True
        self._core.begin_drain("shutdown", timeout=self._patience())
        if self._force_exit:
            self._heed()
        await asyncio.wait({self._task})
        self._task.result()

    # Signals

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear SIGINT and SIGTERM within the block, on the main thread only; afterwards the program's handlers are
        back, and the signals that came are raised again."""
        with public_signals.catching(self):
            self.install_signal_handlers()
            yield

    def install_signal_handlers(self) -> None:
        """Have ``handle_exit`` hear the signals. Override it with nothing to leave signals to the program."""
        public_signals.install()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM leaves within ``graceful_timeout``, SIGINT within ``quick_timeout``, a second SIGINT at once."""
        self._captured_signals.append(sig)
        if sig == signal.SIGINT:
            self._is_quick = True
            self._force_exit = self._force_exit or self._should_exit
        self.should_exit = True

    def take_caught(self) -> list[int]:
        """The signals to be raised again, once."""
        caught, self._captured_signals = self._captured_signals, []
        return caught

    # Inside

    def _prepare(self) -> None:
        """A server may serve again after it has ended, if ``should_exit`` was set back."""
        if self._task is not None and not self._task.done():
            raise RuntimeError("this server is running already; make another one")
        if self._outcome.done():
            self._outcome = Future()
        self.started = False
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        for warning in self.config.checked.warnings:
            log.warning(warning, extra={"event": "setting_warning"})
        if ignored := self.config.for_arbiter:
            log.warning(
                "Server serves in this one process: %s has no effect here; use run()",
                ", ".join(ignored),
                extra={"event": "setting_warning"},
            )

    async def _live(self, core: Core, listeners: list[Listener], ready: asyncio.Event) -> None:
        """The core's whole life, in a task of its own."""

        def accepting() -> None:
            self.servers = [BoundServer(listener) for listener in listeners]
            self.addresses = public_sockets.urls(listeners, encrypted=self.config.is_ssl)
            self.started = True
            ready.set()
            self._say_where()
            if self.config.callback_notify is not None:
                self._notifier = asyncio.create_task(self._notify())
            if not self._outcome.done():
                self._outcome.set_result(None)

        try:
            await core.serve(listeners, on_ready=accepting)
        finally:
            for listener in listeners:
                listener.close()
            self._told.set()

    def _say_where(self) -> None:
        from asgi_arbiter import __version__

        where = ", ".join(self.addresses)
        facts = {"event": "started", "version": __version__, "addresses": list(self.addresses)}
        log.info("asgi-arbiter %s serves on %s", __version__, where, extra=facts)

    async def _notify(self) -> None:
        """Call ``callback_notify`` every ``timeout_notify`` seconds. What it raises is logged."""
        while True:
            try:
                await self.config.callback_notify()
            except Exception:  # the program's own function
                log.exception("callback_notify failed", extra={"event": "hook_failed"})
            await asyncio.sleep(self.config.timeout_notify)

    def _beat(self, _snapshot: ServerSnapshot) -> None:
        from asgi_arbiter.config import logs

        logs.flush()

    def _retire(self, reason: str) -> None:
        log.info("the limit of %s is reached", reason, extra={"event": "retiring", "reason": reason})
        self.should_exit = True

    async def _wait_told(self, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._told.wait()
        except TimeoutError:
            pass

    def _has_ended(self) -> bool:
        return self._task is None or self._task.done()

    def _patience(self) -> float | None:
        settings = self.config.settings
        return min(settings.quick_timeout, settings.graceful_timeout) if self._is_quick else None

    def _fail(self, error: BaseException) -> None:
        if not self._outcome.done():
            ours = isinstance(error, (ArbiterError, RuntimeError))
            self._outcome.set_exception(error if ours else RuntimeError(f"the server did not start: {error!r}"))

    async def _end(self) -> None:
        """However the life was left, nothing of it stays: leave quickly; if cancelled once more, at once."""
        if self._notifier is not None:
            self._notifier.cancel()
        self._is_quick = True
        while self._core is not None and self._task is not None and not self._task.done():
            self._core.begin_drain("shutdown", timeout=self._patience())
            try:
                await asyncio.wait({self._task})
            except asyncio.CancelledError:
                self._core.abort()
                self._core.lifespan.hurry(LAST_WORDS)
        self._fail(RuntimeError("the server was told to leave before it had started"))
        from asgi_arbiter.config import logs

        logs.flush()


def tell(error: ArbiterError) -> None:
    """Log why the server could not start, with the user's own traceback where user code was running."""
    trace = f"\n{error.traceback_text.rstrip()}" if error.traceback_text else ""
    log.critical("cannot start: %s%s", error, trace, extra={"event": "start_failed"})


def _refuse_inside_a_loop(what: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{what} cannot be called while an event loop runs in this thread; await Server(...).serve()")


def _for_one(config: Config) -> Settings:
    """The settings of a lone server. Nobody takes over its idle connections, and programs that stop it wait for it: they
    are closed at once, as uvicorn closes them, unless ``drain_linger`` was given."""
    from asgi_arbiter.config.layers import Origin

    given = config.checked.sources["drain_linger"].origin is not Origin.DEFAULT
    return config.settings if given else replace(config.settings, drain_linger=0.0)
