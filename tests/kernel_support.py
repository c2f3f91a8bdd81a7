"""A kernel whose calls are replaced, and the arbiter's effects upon it: nothing forks, kills or waits."""

from __future__ import annotations

import os
import resource
import socket
from typing import Any

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.answers import from_mold
from asgi_arbiter.arbiter.effects import Effects
from asgi_arbiter.arbiter.hooks import Hooks
from asgi_arbiter.arbiter.kin import Child
from asgi_arbiter.arbiter.listeners import ListenerSet
from asgi_arbiter.arbiter.notify import Notifier
from asgi_arbiter.config import Config
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.pulse import PulseBoard

__all__ = ["CONFIG", "Heir", "Kernel", "Order", "Rig"]

CONFIG = Config(bind=("127.0.0.1:0",))


class Kernel:
    """What the effects asked of the operating system."""

    def __init__(self) -> None:
        self.killed: list[tuple[int, int]] = []
        self.dead: list[tuple[int, int]] = []
        self.fork: Any = lambda: 4711

    def kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, number))

    def wait4(self, _pid: int, _options: int) -> tuple[int, int, Any]:
        if not self.dead:
            raise ChildProcessError
        pid, status = self.dead.pop(0)
        return pid, status, resource.getrusage(resource.RUSAGE_SELF)


class Rig:
    def __init__(self) -> None:
        self.loaded: Any = None
        self.board = PulseBoard(8)
        self.listeners = ListenerSet()
        self.effects = Effects(
            load=self.load,
            listeners=self.listeners,
            board=self.board,
            notifier=Notifier({}, 1),
            hooks=Hooks(CONFIG, 1),
        )
        self.senses = self.effects._senses
        self.births = self.effects._births
        self.mailboxes: list[Any] = []

    def now(self) -> list[ev.Event]:
        """All that has happened."""
        return self.effects.wait(self.effects.now())

    def load(self) -> ev.ConfigLoaded:
        if isinstance(self.loaded, Exception):
            raise self.loaded
        assert isinstance(self.loaded, ev.ConfigLoaded)
        return self.loaded

    def worker(self, pid: int, slot: int = 0) -> Any:
        """A child that was forked earlier; returns its end of the mailbox."""
        ours, theirs = open_pair()
        child = Child(slot, Mailbox(ours))
        self.senses.adopt(pid, child)
        self.mailboxes.append(theirs)
        return theirs

    def close(self) -> None:
        for mailbox in self.mailboxes:
            mailbox.close()
        for unborn in self.senses.unborn:
            unborn.mailbox.close()
        for child in self.senses.children.values():
            child.mailbox.close()
        self.senses._wakeup.close()
        self.listeners.keep(None)


class Order:
    """An order to a mold in this process: what the mold got, and the mailbox that came with it."""

    def __init__(self, rig: Rig, *, rears: bool = False) -> None:
        ours, theirs = open_pair()
        self.rig = rig
        self.mold = Mailbox(theirs, takes_descriptors=True)
        rig.senses.adopt(500, Child(-1, Mailbox(ours, takes_descriptors=True), from_mold, rears=rears))
        rig.mailboxes.append(self.mold)

    def give(self) -> Mailbox:
        (ordered,) = self.rig.effects.do(act.Spawn(3, 2, 1, CONFIG, 500))
        assert ordered == ev.SpawnOrdered(3, 2, 1, 500)
        assert self.mold.receive() == [{"kind": "fork", "slot": 3, "number": 2}]
        assert self.mold.descriptors is not None
        return Mailbox(socket.socket(fileno=self.mold.descriptors.popleft()))


class Heir:
    """An upgrade whose programs are only noted."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.lifeline: Mailbox | None = None
        ours, theirs = open_pair()
        self.ours, self.theirs = Mailbox(ours), Mailbox(theirs)

    def start(self, pid: int) -> tuple[int, Mailbox]:
        self.done.append(("start", pid == os.getpid()))
        return 600, self.ours

    def tell(self, message: Any) -> None:
        self.done.append(message)

    def take_lead(self) -> None:
        self.done.append("lead")
