"""What a mold does (``--preload``): import the application once, then be the form from which workers are made.

A mold runs no event loop and no thread. It gives up its rights before it imports, as a worker does; it imports with the
collector off and then freezes what stands, so that the pages stay shared; and it waits for orders. Each order brings the
mailbox end of one worker. Rules:

* a mold that is told to leave, or whose arbiter is dead, leaves at once: it has no requests to finish;
* forking itself is lent by the arbiter's effects: nothing here makes a process;
* where the kernel gives orphans to the arbiter (Linux), its workers are the arbiter's children; elsewhere they are the
  mold's own, which reaps them and reports how each ended, and stays until its last worker has left;
* the worker says itself that it is born, on its own mailbox; where no worker came of an order, that mailbox says why,
  or ends.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from asgi_arbiter.config.errors import ExitCode
from asgi_arbiter.config.records import Record, replace

from . import process
from .hooks import Hooks
from .lifetime import live_through
from .mailbox import Mailbox
from .nursery import Death, Nursery, why_refused
from .orders import Orders
from .preparation import Prepared, give_up_rights, settle_in
from .process import WorkerSpec
from .warmup import warm_up

__all__ = ["Breeding", "MoldSpec", "run", "strangers"]

log = logging.getLogger("asgi_arbiter.worker")


class Breeding(Record):
    """How a mold makes workers; lent by the arbiter, since nothing here makes or reaps a process."""

    fork: Callable[[Callable[[], int]], int]
    """Makes a child that does what it is given and ends with what that returns; its pid. Raises ``OSError``."""
    collect: Callable[[Iterable[int]], list[Death]] | None = None
    """Reaps those of the pids that have ended: pid, status (``None``: unknown), peak memory. ``None`` where the workers are
    the arbiter's children."""

    @property
    def rears(self) -> bool:
        """Whether the workers are the mold's own children."""
        return self.collect is not None


class MoldSpec(Record):
    """What the arbiter hands to a mold at its birth."""

    worker: WorkerSpec
    """What all its workers have in common; its ``mailbox`` is the mold's own end."""
    breeding: Breeding


def run(spec: MoldSpec) -> ExitCode:
    """Live as the mold of a generation, from just after the fork to just before the process ends. Nothing is raised."""
    mold = _Mold(spec)
    return live_through(mold.live, mold.orders, mold.mailbox, mold.farewell)


class _Mold:
    def __init__(self, spec: MoldSpec) -> None:
        common = self._common = spec.worker
        self._breeding = spec.breeding
        self._nursery = Nursery(spec.breeding.collect)
        self._config = common.config
        self.mailbox = Mailbox(common.mailbox, takes_descriptors=True)
        self._hooks = Hooks(common.config, number=0, generation=common.generation, arbiter_pid=common.arbiter_pid)
        self.orders = Orders(self.mailbox, common.arbiter_pid, self._hooks)
        self._named: tuple[str, ...] = ()

    def live(self) -> ExitCode:
        """Import, then obey until told to leave."""
        for fd in self._common.inherited:
            try:
                os.close(fd)
            except OSError:
                pass  # closed already: the arbiter may name one twice
        self.orders.listen_while_booting()
        self.orders.follow_the_arbiter()
        gc.disable()
        prepared = self._prepare()
        self.orders.check()
        if self._breeding.rears:
            # Who reaps must not be interrupted between that and its report; a signal wakes it up instead.
            self._nursery.open()
            self.orders.stop_interrupting()
        self._named = tuple(strangers())
        # Young garbage goes now; what stands is never walked again, here or in a worker, and so never copied.
        gc.collect()
        gc.freeze()
        self.mailbox.send({"kind": "ready", "remarks": list(self._named)})
        return self._obey(prepared)

    def _prepare(self) -> Prepared:
        from asgi_arbiter.config.importer import load_application

        config, generation = self._config, self._common.generation
        title = f"asgi-arbiter: mold gen {generation} [{config.proc_name or config.app}]"
        settle_in(config, title=title, identity=f"mold gen={generation} pid={os.getpid()}")
        tls, changed = give_up_rights(config, self._common.tls)
        if changed:
            self.orders.follow_the_arbiter()
        warm_up(config, shares=True)
        app = load_application(config)
        self._hooks.import_all()
        return Prepared(app, tls)

    def _obey(self, prepared: Prepared) -> ExitCode:
        mail = self._nursery.poll(self.mailbox)
        while True:
            mail.poll()
            self._tell_deaths()
            if self.orders.is_dismissed:
                return ExitCode.OK
            for message in self.mailbox.receive():
                if message["kind"] == "leave":
                    return ExitCode.OK
                self._do(message, prepared)
            if self.mailbox.at_eof:
                return ExitCode.OK

    def _do(self, message: dict[str, Any], prepared: Prepared) -> None:
        match message:
            case {"kind": "fork", "slot": int(slot), "number": int(number)} if self.mailbox.descriptors:
                with socket.socket(fileno=self.mailbox.descriptors.popleft()) as end:
                    self._fork(slot, number, end, prepared)
            case {"kind": "reopen"}:
                from asgi_arbiter.config import logs

                logs.reopen()

    def _fork(self, slot: int, number: int, end: socket.socket, prepared: Prepared) -> None:
        now = tuple(strangers(loops=False))
        if set(now) - set(self._named):
            self._named = now
            for sentence in now:
                log.warning("forking a worker: %s", sentence, extra={"event": "mold_remark"})
        mine = (*self.orders.descriptors(), *self._nursery.descriptors())
        spec = replace(
            self._common,
            slot=slot,
            number=number,
            mailbox=end,
            inherited=mine,
            prepared=prepared,
            is_reared=self._breeding.rears,
        )
        try:
            self._nursery.add(self._breeding.fork(lambda: process.run(spec)))
        except OSError as error:
            Mailbox(end).send({"kind": "unborn", "reason": why_refused(error)})

    def farewell(self) -> None:
        """Stay until the last worker of one's own is gone, or nobody wants to hear of it any more."""
        if not self._nursery.children:
            return
        for listener in self._common.listeners:
            listener.release()  # while they drain, no connection may wait for one who does not accept
        mail = self._nursery.poll(self.mailbox)
        while self._nursery.children and not self.mailbox.at_eof:
            mail.poll()
            self._tell_deaths()
            self.mailbox.receive()

    def _tell_deaths(self) -> None:
        for pid, status, peak in self._nursery.deaths():
            self.mailbox.send({"kind": "ended", "pid": pid, "status": status, "peak": peak})


def strangers(*, loops: bool = True) -> Iterator[str]:
    """What the application has started that no worker will have, since a fork copies one thread only."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names:
        yield f"threads do not survive the fork, workers will miss: {', '.join(sorted(names))}"
    native = _native_threads() - 1 - len(names)
    if native > 0:
        yield f"threads do not survive the fork, workers will miss {native} of a native library"
    found = _open_loops() if loops else 0
    if found:
        yield f"made {found} asyncio event loop(s) at import; what waits on them will never run in a worker"


def _native_threads() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 1


def _open_loops() -> int:
    """Without ``isinstance``, which would wake lazy objects that pretend to be of another class."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return 0
    base = asyncio.AbstractEventLoop
    return sum(base in type(each).__mro__ and not each.is_closed() for each in gc.get_objects())
