"""How children come into the world: workers, molds, workers that molds fork, the file watcher, and a successor.

Rules: nothing here decides. Every child gets one end of a mailbox and closes what is not meant for it; whatever cannot be
made is answered with the reason, and leaves nothing open.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from asgi_arbiter.worker import mold, process
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.mold import MoldSpec
from asgi_arbiter.worker.nursery import why_refused
from asgi_arbiter.worker.process import WorkerSpec

from . import actions as act
from . import events as ev
from . import forks
from .answers import from_mold, from_successor
from .kin import Child, Unborn

if TYPE_CHECKING:
    import socket

    from asgi_arbiter.worker.pulse import PulseBoard

    from .credentials import Credentials
    from .hooks import Hooks
    from .listeners import ListenerSet
    from .notify import Notifier
    from .reloader import Watcher
    from .senses import Senses
    from .upgrade import Upgrade

__all__ = ["Births"]


class Births:
    """Makes children and lets ``senses`` hear them."""

    def __init__(
        self,
        senses: Senses,
        *,
        listeners: ListenerSet,
        credentials: Credentials,
        board: PulseBoard,
        notifier: Notifier,
        hooks: Hooks,
        daemon: forks.Daemon | None = None,
    ) -> None:
        self._senses = senses
        self._listeners = listeners
        self._credentials = credentials
        self._board = board
        self._notifier = notifier
        self._hooks = hooks
        self._daemon = daemon
        self._pid = os.getpid()

    def watcher(self, watcher: Watcher) -> None:
        """A child that tells of changed files. Raises ``OSError``."""
        inherited = (*self._private(), watcher.reader, *self._listeners.descriptors())
        watcher.pid = forks.fork(lambda: watcher.run(self._pid), inherited)
        watcher.close_writer()
        self._senses.follow(watcher)

    def worker(self, order: act.Spawn) -> ev.Event:
        """A worker, by ourselves."""
        self._hooks.call("pre_fork", order)
        self._board.clear(order.slot)
        made = self._fork(order, process.run)
        if isinstance(made, ev.SpawnFailed):
            return made
        pid, mailbox = made
        self._senses.adopt(pid, Child(order.slot, mailbox))
        return ev.Spawned(pid, order.slot, order.number, order.generation)

    def mold(self, order: act.SpawnMold) -> ev.Event:
        """A mold. Where the kernel does that, orphans among our descendants are ours from now on, so that the workers
        that it forks twice are our children; elsewhere they are the mold's, which reports their deaths."""
        breeding = (
            mold.Breeding(forks.fork_twice) if forks.adopt_orphans() else mold.Breeding(forks.fork, forks.collect)
        )
        made = self._fork(order, lambda spec: mold.run(MoldSpec(spec, breeding)))
        if isinstance(made, ev.SpawnFailed):
            return made
        pid, mailbox = made
        self._senses.adopt(pid, Child(-1, mailbox, from_mold, rears=breeding.rears))
        return ev.MoldSpawned(pid, order.generation)

    def by_mold(self, order: act.Spawn) -> ev.Event:
        """A worker, by the mold ``order.mold``, which gets the worker's end of a new mailbox."""
        self._hooks.call("pre_fork", order)
        self._board.clear(order.slot)
        child = self._senses.children.get(order.mold)
        try:
            ours, theirs = open_pair()
        except OSError as error:
            return ev.SpawnFailed(order.generation, why_refused(error), order.slot)
        with theirs:
            message = {"kind": "fork", "slot": order.slot, "number": order.number}
            if child is None or not child.mailbox.send_with(message, [theirs.fileno()]):
                ours.close()
                return ev.SpawnFailed(order.generation, "its mold takes no orders", order.slot)
        parent = order.mold if child.rears else 0
        self._senses.expect(Unborn(order, Mailbox(ours, takes_descriptors=True), parent))
        return ev.SpawnOrdered(order.slot, order.number, order.generation, order.mold)

    def successor(self, upgrade: Upgrade) -> ev.Event:
        """The program anew."""
        try:
            pid, mailbox = upgrade.start(self._pid)
        except OSError as error:
            return ev.SuccessorRefused(why_refused(error))
        self._senses.adopt(pid, Child(-1, mailbox, from_successor))
        return ev.SuccessorStarted(pid)

    def _fork(
        self, order: act.Spawn | act.SpawnMold, live: Callable[[WorkerSpec], int]
    ) -> tuple[int, Mailbox] | ev.SpawnFailed:
        try:
            ours, theirs = open_pair()
        except OSError as error:
            return ev.SpawnFailed(order.generation, why_refused(error))
        spec = self._spec(order, theirs, ours)
        try:
            pid = forks.fork(lambda: live(spec))
        except OSError as error:
            ours.close()
            return ev.SpawnFailed(order.generation, why_refused(error))
        finally:
            theirs.close()
        return pid, Mailbox(ours, takes_descriptors=True)

    def _spec(self, order: act.Spawn | act.SpawnMold, theirs: socket.socket, ours: socket.socket) -> WorkerSpec:
        return WorkerSpec(
            slot=order.slot if isinstance(order, act.Spawn) else -1,
            number=order.number if isinstance(order, act.Spawn) else 0,
            generation=order.generation,
            config=order.config,
            listeners=self._listeners.of(order.generation),
            board=self._board,
            mailbox=theirs,
            arbiter_pid=self._pid,
            inherited=(*self._private(), ours.fileno(), *self._listeners.others(order.generation)),
            tls=self._credentials.of(order.generation),
        )

    def _private(self) -> tuple[int, ...]:
        """What no child may keep."""
        ours = [*self._senses.descriptors(), *self._notifier.descriptors()]
        if self._daemon is not None and self._daemon.writer >= 0:
            ours.append(self._daemon.writer)
        return tuple(ours)
