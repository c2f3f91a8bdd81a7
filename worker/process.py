"""What the forked child does, top to bottom: signals, privileges, application, loop, exit code.

``run`` is the whole life of a worker process. It returns an exit code and ends nothing itself: leaving the process is
the business of the arbiter's effects, which forked it. A failure to boot is told through the mailbox and not logged
here, so that the arbiter can print one traceback for four workers that fail alike.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import socket
from typing import TYPE_CHECKING

from asgi_arbiter.config.errors import ExitCode
from asgi_arbiter.config.records import Record

from . import loops
from .hooks import Hooks
from .lifetime import live_through
from .listener import Listener
from .mailbox import Mailbox
from .orders import Orders
from .phases import ServerPhase, ServerSnapshot
from .preparation import Prepared, give_up_rights, set_title, settle_in
from .pulse import PulseBoard, PulsePhase
from .server import Server

if TYPE_CHECKING:
    import ssl

    from asgi_arbiter.config import Config
    from asgi_arbiter.protocols.asgi import ASGIApplication

__all__ = ["WorkerSpec", "run"]

log = logging.getLogger("asgi_arbiter.worker")


class WorkerSpec(Record):
    """What the arbiter hands to a worker at its birth."""

    slot: int
    """Its line on the pulse board; free again when it is dead."""
    number: int
    """Its number in log lines and in the process title."""
    generation: int
    config: Config
    listeners: tuple[Listener, ...]
    board: PulseBoard
    mailbox: socket.socket
    """The worker's end."""
    arbiter_pid: int
    inherited: tuple[int, ...] = ()
    """Descriptors of the arbiter that the worker must close first: its mailboxes, wakeup pipe, notify socket."""
    prepared: Prepared | None = None
    """The application, if a mold has imported it."""
    is_reared: bool = False
    """A child of its mold rather than of the arbiter."""
    tls: ssl.SSLContext | None = None
    """What the arbiter has made of the certificates."""


def run(spec: WorkerSpec) -> ExitCode:
    """Live as worker ``spec.number``, from just after the fork to just before the process ends.

    It is called with all signals blocked. Nothing is raised.
    """
    worker = _Worker(spec)
    return live_through(worker.live, worker.orders, worker.mailbox, worker.farewell)


class _Worker:
    """One life. The methods are in the order in which they run."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.config = spec.config
        self.mailbox = Mailbox(spec.mailbox)
        self._hooks = Hooks(spec.config, number=spec.number, generation=spec.generation, arbiter_pid=spec.arbiter_pid)
        self.orders = Orders(self.mailbox, spec.arbiter_pid, self._hooks, has_other_parent=spec.is_reared)
        self._pulse = spec.board.writer(spec.slot)
        self._tls: ssl.SSLContext | None = None
        self._has_told_leaving = False
        self._title = (
            f"asgi-arbiter: worker {spec.number} gen {spec.generation} [{self.config.proc_name or self.config.app}]"
        )
        self._identity = f"worker={spec.number} gen={spec.generation} pid={os.getpid()}"

    def live(self) -> ExitCode:
        """Boot, serve, leave."""
        prepared = self.spec.prepared
        if prepared is not None:
            # First of all, so that the arbiter never hears of the death of somebody whose birth it did not see.
            self.mailbox.send({"kind": "born", "pid": os.getpid()})
        self._close_inherited()
        self.orders.listen_while_booting()
        self.orders.follow_the_arbiter()
        self._pulse.beat(phase=PulsePhase.BOOTING)
        app = self._prepare() if prepared is None else self._take_over(prepared)
        self.orders.stop_interrupting()
        loops.run(lambda: self._serve(app), self.config.loop)
        return ExitCode.OK

    def _close_inherited(self) -> None:
        """First of all: a mailbox end that lives on in a sibling would hide the death of its owner."""
        for fd in self.spec.inherited:
            try:
                os.close(fd)
            except OSError:
                pass  # closed already: the arbiter may name one twice

    def _prepare(self) -> ASGIApplication:
        """Whatever a mold would have done."""
        spec, config = self.spec, self.config
        settle_in(config, title=self._title, identity=self._identity)
        self._hooks.with_arbiter("post_fork")
        # The kernel forgets the request for a signal at the arbiter's death when the identity changes.
        self._tls, changed = give_up_rights(spec.config, spec.tls)
        if changed:
            self.orders.follow_the_arbiter()
        return self._load_application()

    def _take_over(self, prepared: Prepared) -> ASGIApplication:
        """Forked by a mold: the application is there, only who we are is new. What the application registered with
        ``atexit`` before the fork is the mold's to run, once; as multiprocessing has it."""
        from asgi_arbiter.config import logs

        gc.enable()
        atexit._clear()
        set_title(self._title)
        logs.rename(self._identity)
        self._tls = prepared.tls
        self._hooks.with_arbiter("post_fork")
        self._hooks.with_worker("post_worker_init")
        return prepared.app

    def _load_application(self) -> ASGIApplication:
        from asgi_arbiter.config.importer import load_application

        app = load_application(self.config, announce=self.spec.number == 1)
        self._hooks.with_worker("post_worker_init")
        return app

    async def _serve(self, app: ASGIApplication) -> None:
        spec = self.spec
        server = Server(
            self._hooks.around(app),
            self.config,
            beat=self._beat,
            retire=self._retire,
            rivals=(spec.board, spec.slot),
            rivals_expected=self.config.workers > 1,  # SIGTTIN may bring company to a single one
            tls=self._tls,
            announce=spec.number == 1,
        )
        self.orders.attach(asyncio.get_running_loop(), server)
        try:
            report = await server.serve(spec.listeners, on_ready=self._ready)
        finally:
            self.orders.detach()
        log.debug(
            "drained (%s) in %.2f s: %d served, %d cancelled, %d cut",
            report.reason,
            report.duration,
            report.served,
            report.cancelled,
            report.cut,
            extra={"event": "worker_drained"},
        )

    def _ready(self) -> None:
        # What the boot made lives as long as the worker: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        self.mailbox.send({"kind": "ready"})

    def _beat(self, snapshot: ServerSnapshot) -> None:
        from asgi_arbiter.config import logs

        snapshot.write_to(self._pulse)
        logs.flush()
        self.mailbox.flush()
        if snapshot.phase is ServerPhase.DRAINING and not self._has_told_leaving:
            self._has_told_leaving = True
            self.mailbox.send({"kind": "leaving"})

    def _retire(self, reason: str) -> None:
        self.mailbox.send({"kind": "retiring", "reason": reason})

    def farewell(self) -> None:
        """The exit hook."""
        self._hooks.with_arbiter("worker_exit")
