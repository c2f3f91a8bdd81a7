"""What a mold does (``--preload``): import the application once, then be the form from which workers are made.

A mold runs no event loop and no thread. It gives up its rights before it imports, as a worker does; it imports with the
collector off and then freezes what stands, so that the pages stay shared; and it waits for orders. Each order brings the
mailbox end of one worker. Rules:

* a mold that is told to leave, or whose arbiter is dead, leaves at once: it has no requests to finish;
* forking itself is lent by the arbiter's effects: nothing here makes a process;
* the worker says itself that it is born, on its own mailbox; where no worker came of an order, that mailbox says why,
  or ends.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asgi_arbiter.config.errors import ArbiterError, ExitCode
from asgi_arbiter.config.records import Record, replace

from . import process
from .hooks import Hooks
from .mailbox import Mailbox
from .orders import Dismissed, Orders
from .preparation import Prepared, give_up_rights, settle_in
from .process import WorkerSpec
from .warmup import warm_up

__all__ = ["MoldSpec", "run", "strangers"]

log = logging.getLogger("asgi_arbiter.worker")

Breed = Callable[[Callable[[], int]], None]
"""Makes a child of the arbiter that does what it is given and ends with what that returns. Raises ``OSError``."""


class MoldSpec(Record):
    """What the arbiter hands to a mold at its birth."""

    worker: WorkerSpec
    """What all its workers have in common; its ``mailbox`` is the mold's own end."""
    breed: Breed


def run(spec: MoldSpec) -> ExitCode:
    """Live as the mold of a generation, from just after the fork to just before the process ends. Nothing is raised."""
    mold = _Mold(spec)
    try:
        code = mold.live()
    except Dismissed:
        code = ExitCode.OK
    except ArbiterError as error:
        code = mold.report(error.exit_code, str(error), error.traceback_text)
    except BaseException as error:  # noqa: BLE001 -- the last border before the process ends
        code = mold.report(ExitCode.FAILED, f"unexpectedly: {error!r}", traceback.format_exc())
    return mold.end(code)


class _Mold:
    def __init__(self, spec: MoldSpec) -> None:
        common = self._common = spec.worker
        self._breed = spec.breed
        self._config = common.config
        self._mailbox = Mailbox(common.mailbox, takes_descriptors=True)
        self._hooks = Hooks(common.config, number=0, generation=common.generation, arbiter_pid=common.arbiter_pid)
        self._orders = Orders(self._mailbox, common.arbiter_pid, self._hooks)
        self._named: tuple[str, ...] = ()

    def live(self) -> ExitCode:
        """Import, then obey until told to leave."""
        for fd in self._common.inherited:
            try:
                os.close(fd)
            except OSError:
                pass  # closed already: the arbiter may name one twice
        self._orders.listen_while_booting()
        self._orders.follow_the_arbiter()
        gc.disable()
        prepared = self._prepare()
        self._orders.check()
        self._named = tuple(strangers())
        # Young garbage goes now; what stands is never walked again, here or in a worker, and so never copied.
        gc.collect()
        gc.freeze()
        self._mailbox.send({"kind": "ready", "remarks": list(self._named)})
        return self._obey(prepared)

    def _prepare(self) -> Prepared:
        from asgi_arbiter.config.importer import load_application

        config, generation = self._config, self._common.generation
        title = f"asgi-arbiter: mold gen {generation} [{config.proc_name or config.app}]"
        settle_in(config, title=title, identity=f"mold gen={generation} pid={os.getpid()}")
        tls, changed = give_up_rights(config, self._common.tls)
        if changed:
            self._orders.follow_the_arbiter()
        warm_up(config)
        app = load_application(config)
        self._hooks.import_all()
        return Prepared(app, tls)

    def _obey(self, prepared: Prepared) -> ExitCode:
        mail = select.poll()
        mail.register(self._mailbox.fileno(), select.POLLIN)
        while True:
            mail.poll()
            for message in self._mailbox.receive():
                if message["kind"] == "leave":
                    return ExitCode.OK
                self._do(message, prepared)
            if self._mailbox.at_eof:
                return ExitCode.OK

    def _do(self, message: dict[str, Any], prepared: Prepared) -> None:
        match message:
            case {"kind": "fork", "slot": int(slot), "number": int(number)} if self._mailbox.descriptors:
                with socket.socket(fileno=self._mailbox.descriptors.popleft()) as end:
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
        common, mine = self._common, self._orders.descriptors()
        spec = replace(common, slot=slot, number=number, mailbox=end, inherited=mine, prepared=prepared)
        try:
            self._breed(lambda: process.run(spec))
        except OSError as error:
            Mailbox(end).send({"kind": "unborn", "reason": error.strerror or str(error)})

    def report(self, code: ExitCode, reason: str, traceback_text: str) -> ExitCode:
        """Tell the arbiter why there is no application to be had; returns ``code``."""
        self._mailbox.send({"kind": "failed", "code": int(code), "reason": reason, "traceback": traceback_text})
        return code

    def end(self, code: ExitCode) -> ExitCode:
        """What the application registered with ``atexit`` while it was imported, and everything buffered."""
        self._orders.close()
        try:
            atexit._run_exitfuncs()
        except (Exception, SystemExit):  # the application's own code
            log.exception("a function registered with atexit failed", extra={"event": "hook_failed"})
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass  # closed, or nobody reads it any more
        self._mailbox.flush(1.0)
        return code


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
