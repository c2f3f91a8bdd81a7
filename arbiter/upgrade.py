"""An upgrade, as far as it is I/O: starting a successor with our sockets, and what two arbiters say to each other.

``handover`` knows what is passed, ``succession`` when to do what, ``forks`` how a program is executed. A method here does
one step. On the side of the successor the *lifeline* leads to the predecessor; elsewhere there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from asgi_arbiter.worker.mailbox import Mailbox, open_pair

from . import events as ev
from . import forks
from .answers import from_predecessor
from .handover import VARIABLE, Inheritance, Started
from .listeners import ListenerSet

__all__ = ["Upgrade"]

log = logging.getLogger("asgi_arbiter.arbiter")


class Upgrade:
    """This process in the line of arbiters. ``promote`` gives the pid file its final name; it may raise ``OSError``."""

    def __init__(
        self,
        started: Started,
        listeners: ListenerSet,
        lifeline: Mailbox | None = None,
        promote: Callable[[], None] = lambda: None,
    ) -> None:
        self.lifeline = lifeline
        self._started = started
        self._listeners = listeners
        self._promote = promote
        self._has_released = False

    def start(self, pid: int) -> tuple[int, Mailbox]:
        """Execute the program as we (``pid``) were started; the successor's pid and our end of its lifeline. Raises
        ``OSError``."""
        ours, theirs = open_pair()
        with theirs:
            listeners = self._listeners
            inheritance = Inheritance(
                pid,
                theirs.fileno(),
                listeners.passed(),
                listeners.activated(),
                listeners.names if listeners.is_activated else (),
            )
            environment = {**self._started.environment, VARIABLE: inheritance.encode()}
            kept = inheritance.descriptors()
            try:
                successor = forks.fork_and_execute(self._started.arguments, environment, self._started.directory, kept)
            except OSError:
                ours.close()
                raise
        return successor, Mailbox(ours)

    def words(self) -> list[ev.Event]:
        """What our predecessor has said; its end closes the lifeline."""
        if self.lifeline is None:
            return []
        messages = self.lifeline.receive()
        self._has_released = self._has_released or {"kind": "released"} in messages
        events = [event for message in messages if (event := from_predecessor(message)) is not None]
        if self.lifeline.at_eof:
            self.lifeline.close()
            self.lifeline = None
            events.append(ev.PredecessorGone(self._has_released))
        return events

    def tell(self, message: dict[str, Any]) -> None:
        """Say something to our predecessor, if it lives."""
        if self.lifeline is not None:
            self.lifeline.send(message)

    def take_lead(self) -> None:
        """First what others may look at, then the word that we lead."""
        try:
            self._promote()
        except OSError as error:
            log.error("cannot rename the pid file: %s", error.strerror, extra={"event": "pidfile_not_renamed"})
        taken = self._listeners.own()
        self.tell({"kind": "leading", "taken": list(taken)})
