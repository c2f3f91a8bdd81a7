"""The worker class for ``gunicorn -k asgi_arbiter.gunicorn.ArbiterWorker``, for gunicorn 20.1 to 27.

gunicorn's master keeps its job: addresses, processes, files, hooks. The worker is our ``Server`` in gunicorn's
``Worker``, and the only module of the package that imports gunicorn. Rules:

* a worker always returns or raises ``SystemExit``; it never dies by a signal, so that ``worker_exit`` runs;
* the heartbeat is a timer of the event loop, from the moment the worker serves to the end of its lifespan shutdown:
  a worker that drains is alive, one whose loop is blocked is not. Before, gunicorn 22 and later judge nobody, which
  leaves a blocking startup its time; older ones judge from the fork, so there it beats while starting too;
* a signal that cannot wait for the loop is handled in Python's signal handler, everything else in the loop;
* ``alive``, which hooks and the reloader may clear, is looked at with each heartbeat, as is the parent's pid.

=====  ==========================================================================================================
TERM   drain within ``graceful_timeout``, then cancel, run the lifespan shutdown, exit 0; while booting: exit 0 at once
INT    ``worker_int``, then half a second for what is under way; exit 0. At once while booting or with a blocked loop
QUIT   the same
ABRT   stacks of all threads, tasks and requests under way into the error log, ``worker_abort``, exit 1
USR1   reopen log files
USR2   stacks of all threads into the error log
HUP    ignored: it is the master's, and ``pkill -HUP`` means the master
=====  ==========================================================================================================

Exit codes: 3 settings, certificates or the lifespan startup failed, 4 the application is none; gunicorn halts at both.
A limit of requests' own duration is ``CONFIG_KWARGS = {"request_timeout": 60}`` in a subclass; gunicorn's ``timeout``
is about the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar

import gunicorn
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from asgi_arbiter.config.address import Address
from asgi_arbiter.config.errors import ArbiterError, LifespanFailed
from asgi_arbiter.config.records import replace

from . import loops
from .evidence import tasks_and_requests
from .gunicorn_board import take_line
from .gunicorn_hooks import is_own, with_request_hooks
from .gunicorn_log import AccessToGunicorn, adopt, wants_access
from .gunicorn_settings import translate
from .gunicorn_signals import TO_LEAVE, do_nothing, point_faulthandler, queued, stop_listening
from .listener import Listener
from .server import Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import FrameType

    from asgi_arbiter.config import Config
    from asgi_arbiter.protocols.asgi import ASGIApplication

    from .drain import DrainReport
    from .phases import ServerSnapshot
    from .pulse import PulseBoard

__all__ = ["ArbiterH11Worker", "ArbiterWorker"]

_BEAT = 1.0
_RELOADER_BEAT = 0.2
"""Seconds between two looks at ``alive`` while somebody waits for a reload."""
_JUDGED_FROM_THE_FORK = gunicorn.version_info < (22, 0)


class _Stage(Enum):
    BOOTING = auto()
    """There is no event loop: a signal may interrupt."""
    RUNNING = auto()
    ENDED = auto()


class ArbiterWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """Serves ASGI (and, with a2wsgi, WSGI) applications under gunicorn."""

    CONFIG_KWARGS: ClassVar[Mapping[str, object]] = {}
    """Our settings for subclasses, as with ``uvicorn_worker``; they go before gunicorn's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config: Config
        self.asgi: ASGIApplication
        self.nr: int = 0
        self._stage = _Stage.BOOTING
        self._line = take_line()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._is_ready = False
        self._why = "recycle"
        self._is_quick = False
        self._has_quit = False
        self._is_aborted = False
        self._beat_at = 0.0
        self._interval = _BEAT

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """For gunicorn's master before it forks: refuse wrong settings, name those without effect.

        Raises ``RuntimeError``, which gunicorn prints before it ends.
        """
        try:
            translation = translate(cfg, cls.CONFIG_KWARGS, max_requests=0, access_log=False)
        except ArbiterError as error:
            raise RuntimeError(str(error)) from None
        for warning in translation.warnings:
            log.warning("%s", warning)

    # Booting

    def init_process(self) -> None:
        """Everything in the new process, to the end of its life."""
        self._listen_early()
        adopt(self.log)
        try:
            self._settle()
        except ArbiterError as error:
            self._fail(error, Arbiter.WORKER_BOOT_ERROR)
        super().init_process()

    def _listen_early(self) -> None:
        """Hear TERM, INT and QUIT from now on, and those that came since the fork, for which the master would wait until
        ``graceful_timeout``."""
        masters = signal.getsignal(signal.SIGTERM)
        for number in TO_LEAVE:
            signal.signal(number, self.handle_exit if number == signal.SIGTERM else self.handle_quit)
        if not TO_LEAVE.isdisjoint(queued(masters)):
            self.handle_exit(signal.SIGTERM, None)

    def _settle(self) -> None:
        """Settings and certificates; before ``Worker.init_process`` gives up the rights to read keys."""
        limit = self.max_requests if self.cfg.max_requests > 0 else 0
        wanted = wants_access(self.log, Logger.access)
        self.config = translate(self.cfg, self.CONFIG_KWARGS, max_requests=limit, access_log=wanted).config
        if self.cfg.timeout:
            self._interval = min(_BEAT, self.cfg.timeout / 4)
        if self.cfg.reload:
            self._interval = min(_RELOADER_BEAT, self._interval)
            self._is_quick = True
        self._tls = self._tls_context()

    def _tls_context(self) -> ssl.SSLContext | None:
        from asgi_arbiter.config.tls import hooked, server_context

        if not self.cfg.is_ssl:
            return None
        if is_own(self.cfg, "ssl_context"):  # gunicorn 21 and later
            return hooked(
                self.cfg.ssl_context(self.cfg, lambda: server_context(self.config)), "gunicorn's ssl_context hook"
            )
        return server_context(self.config)

    def load_wsgi(self) -> None:
        """Import the application; ``wsgi`` is the object as gunicorn found it, ``asgi`` is what is served."""
        from asgi_arbiter.config.importer import load_application

        try:
            self.wsgi = self.app.wsgi()
            self.asgi = load_application(replace(self.config, app=self.wsgi))
        except SyntaxError as error:
            if not self.cfg.reload:
                raise
            self.log.exception(error)
            if self.reloader is not None and error.filename is not None:
                self.reloader.add_extra_file(error.filename)
            self.wsgi = self.asgi = _Broken("".join(traceback.format_exception(error)))
        except ArbiterError as error:
            self._fail(error, Arbiter.APP_LOAD_ERROR)

    def _fail(self, error: ArbiterError, code: int) -> None:
        if error.traceback_text:
            self.log.error("%s", error.traceback_text.rstrip())
        self.log.error("%s", error)
        sys.exit(code)

    # Serving

    def run(self) -> None:
        """Serve until told to leave. Returns, or raises ``SystemExit`` with 3 if the application did not start."""
        self._stage = _Stage.RUNNING
        try:
            report = loops.run(self._serve, self.config.loop)
        except LifespanFailed as error:
            self._fail(error, Arbiter.WORKER_BOOT_ERROR)
        except RuntimeError:
            if self._is_aborted:  # the loop was stopped in the middle
                sys.exit(1)
            raise
        else:
            self.log.debug(
                "drained (%s) in %.2f s: %d served, %d cancelled, %d cut",
                *(report.reason, report.duration, report.served, report.cancelled, report.cut),
            )
        finally:
            self._stage = _Stage.ENDED
            self.alive = False
            stop_listening()

    async def _serve(self) -> DrainReport:
        self._loop = asyncio.get_running_loop()
        server = self._server = Server(
            with_request_hooks(self.asgi, self),
            self.config,
            beat=self._tell,
            retire=self._retire,
            rivals=self._rivals(),
            tls=self._tls,
            access_log=AccessToGunicorn(self.log) if self.config.access_log else None,
        )
        self._watch()
        return await server.serve([_listener(each) for each in self.sockets], on_ready=self._ready)

    def _rivals(self) -> tuple[PulseBoard, int] | None:
        """The board, where others accept from the same sockets. Since gunicorn 24 ``reuse_port`` means one's own."""
        if self._line is None or self.cfg.workers < 2:
            return None
        if self.cfg.reuse_port and gunicorn.version_info >= (24, 0):
            return None
        return self._line.board, self._line.number

    def _ready(self) -> None:
        self._is_ready = True
        self.notify()
        # What the boot made lives as long as the worker: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        self.log.info("Worker ready (pid: %s)", self.pid)

    def _watch(self) -> None:
        """The heartbeat, and with it what may change from outside. Goes on until the loop is closed."""
        assert self._loop is not None
        self._loop.call_later(self._interval, self._watch)
        self._beat_at = time.monotonic()
        if self._is_ready or _JUDGED_FROM_THE_FORK:
            self.notify()
        if os.getppid() != self.ppid and self.alive:
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
            self._why = "orphaned"
        if not self.alive:
            self._begin_drain()

    def _tell(self, snapshot: ServerSnapshot) -> None:
        self.nr = max(self.nr, snapshot.served)
        if self._line is not None:
            snapshot.write_to(self._line.pulse)

    def _retire(self, reason: str) -> None:
        served = self._server.snapshot().served if self._server is not None else 0
        self.log.info("Autorestarting worker (pid: %s): %s, %d requests served", self.pid, reason, served)
        self.alive = False
        self._begin_drain()

    # Leaving

    def _begin_drain(self) -> None:
        """In the loop. Harmless when repeated."""
        if self._server is not None:
            self._server.begin_drain(self._why, timeout=self.config.quick_timeout if self._is_quick else None)

    def _leave(self) -> None:
        """From a signal handler. gunicorn does not say whether siblings will go on, so the accept queue is emptied."""
        self._why = "shutdown"
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_drain)

    # Signals

    def init_signals(self) -> None:
        """gunicorn's handlers, which are the methods below, and those that it lacks."""
        faulthandler.disable()  # whoever enabled it: its handler of ABRT must come before ours
        # gunicorn sets the default actions first: what comes in that moment must wait.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)
        super().init_signals()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGHUP, do_nothing)
        point_faulthandler(self.log)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """TERM."""
        self.alive = False
        if self._stage is _Stage.BOOTING:
            stop_listening()
            sys.exit(0)
        self._leave()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """INT and QUIT."""
        self.alive = False
        if not self._has_quit:
            self._has_quit = True
            self._call(self.cfg.worker_int)
        self._is_quick = True
        self._leave()
        if self._stage is _Stage.BOOTING or (self._stage is _Stage.RUNNING and self._is_blocked()):
            # uvloop swallows it in callbacks of transports; the block has ended then, and the quick drain follows.
            stop_listening()
            sys.exit(0)

    def _is_blocked(self) -> bool:
        return self._beat_at > 0 and time.monotonic() - self._beat_at > 2 * self._interval + 1

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """ABRT. faulthandler, which comes first, has written the stacks of all threads."""
        self.alive = False
        try:
            self._tell_what_is_under_way()
        except Exception:  # evidence is welcome, the end is necessary
            self.log.exception("Exception while gathering what is under way")
        self._call(self.cfg.worker_abort)
        self._stop_at_once()
        sys.exit(1)

    def _stop_at_once(self) -> None:
        """What raises ``SystemExit`` ends the block, but uvloop swallows it in callbacks of transports: so the loop is
        told to stop as well, and not to comment on it."""
        self._is_aborted = True
        loop = self._loop
        if self._stage is _Stage.RUNNING and loop is not None and not loop.is_closed():
            loop.set_exception_handler(lambda loop, context: None)
            loop.call_soon_threadsafe(loop.stop)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """USR1."""
        if self._stage is _Stage.RUNNING and self._loop is not None:
            self._loop.call_soon_threadsafe(self._reopen)
        else:
            self._reopen()

    def _reopen(self) -> None:
        self.log.reopen_files()
        point_faulthandler(self.log)

    def _tell_what_is_under_way(self) -> None:
        if self._loop is not None and self._server is not None and self._stage is _Stage.RUNNING:
            text = tasks_and_requests(self._loop, self._server.under_way())
            self.log.error("Worker (pid: %s) aborted. Stacks of its threads are above.\n%s", self.pid, text)

    def _call(self, hook: Any) -> None:
        try:
            hook(self)
        except Exception:  # the hook call
            self.log.exception("Exception in a hook of the worker")


class ArbiterH11Worker(ArbiterWorker):
    """The same in pure Python, for PyPy."""

    CONFIG_KWARGS: ClassVar[Mapping[str, object]] = {"http": "h11", "loop": "asyncio"}


class _Broken:
    """In place of an application with a syntax error, while the reloader waits for its correction."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": self._text.encode("utf-8", "backslashreplace")})


def _listener(wrapper: Any) -> Listener:
    """gunicorn's socket as ours. The socket object itself, so that its descriptor has one owner."""
    sock = wrapper.sock
    return Listener(sock, Address.descriptor(sock.fileno()), adopted=True)
