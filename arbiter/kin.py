"""The kernel's side of our children: what the effects must know of them and the ledger need not.

Data and descriptors only; nothing here decides or waits.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from asgi_arbiter.worker.mailbox import Mailbox

from . import actions as act
from . import events as ev
from .answers import translated

__all__ = ["Child", "Unborn", "Wakeup"]


class Wakeup:
    """The pipe into which Python writes the number of each signal."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)

    def take(self) -> bytes:
        """The signals that came since the last time."""
        try:
            return os.read(self.reader, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """After the handlers are gone."""
        os.close(self.reader)
        os.close(self.writer)


Translate = Callable[[int, dict[str, object]], ev.Event | None]


class Child:
    """The kernel's side of a child: what the ledger need not know."""

    def __init__(
        self, slot: int, mailbox: Mailbox, translate: Translate = translated, *, parent: int = 0, rears: bool = False
    ) -> None:
        self.slot = slot
        """Its line on the pulse board; negative for molds and successors, which have none."""
        self.mailbox = mailbox
        self.translate = translate
        self.parent = parent
        """The mold whose child it is and which reports its death; 0 for our own children."""
        self.rears = rears
        """A mold whose workers are its own children."""
        self.last_beat = 0
        self.witness = -1
        """Where it tells its stacks; -1 before it has said where, and after its end."""


class Unborn:
    """A worker that a mold was told to fork: its mailbox tells when it is born, or that it never will be."""

    def __init__(self, order: act.Spawn, mailbox: Mailbox, parent: int = 0) -> None:
        self.order = order
        self.parent = parent
        self.mailbox = mailbox
        self.why = "its mold has ended"
