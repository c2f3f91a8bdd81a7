"""How a worker leaves: stop accepting, serve what was accepted, wait for the busy, cancel at the deadline, cut the rest.

A small machine with the time as an argument. It knows no sockets and no loop: ``Server`` asks ``step`` what to do next
and does it. Rules:

* before anything is counted the loop turns at least twice: a connection that was accepted but not set up yet is
  invisible until then, and ending now would reset it;
* beginning twice is harmless; a later call can only bring the deadline forward;
* when the deadline has passed, application tasks are cancelled and get a moment to react, then connections are cut.
"""

from __future__ import annotations

from enum import Enum, auto

from asgi_arbiter.config.records import Record

__all__ = ["Drain", "DrainOrder", "DrainPhase", "DrainReport"]

_TURNS = 2
_CANCEL_GRACE = 1.0
"""Seconds between cancelling the tasks and cutting their connections."""


class DrainPhase(Enum):
    """How far the leaving has come."""

    NOT_LEAVING = auto()
    SETTLING = auto()
    """The loop turns until everything accepted is visible."""
    FINISHING = auto()
    CANCELLING = auto()
    CUT = auto()
    """Connections were cut; their closing is awaited for one last moment."""
    DONE = auto()


class DrainOrder(Enum):
    """What the server does next."""

    TURN = auto()
    """Let the loop turn once."""
    WAIT = auto()
    """Ask again in a moment."""
    CANCEL = auto()
    """Cancel the application's tasks."""
    CUT = auto()
    """Abort the connections."""
    FINISH = auto()
    """Nothing is left."""


class DrainReport(Record):
    """How the leaving went, as ``Server.serve`` returns it."""

    reason: str
    """Why it began: ``reload``, ``recycle``, ``shutdown``, or what ``begin_drain`` was called with."""
    duration: float
    """Seconds from its beginning to the last connection's end."""
    cancelled: int = 0
    """Application tasks that were cancelled at the deadline."""
    cut: int = 0
    """Connections that were cut after that."""
    served: int = 0
    """Requests completed in the life of the server."""

    @property
    def is_clean(self) -> bool:
        """Whether everything accepted was served to its end."""
        return not self.cancelled and not self.cut


class Drain:
    """The machine. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.phase = DrainPhase.NOT_LEAVING
        self.reason = ""
        """Why the drain began first; later reasons do not replace it."""
        self.began_at = 0.0
        self.deadline = 0.0
        """When the tasks are cancelled; then when the connections are cut."""
        self._turns = 0
        self._has_patience = True

    def begin(self, now: float, reason: str, timeout: float) -> bool:
        """Begin to leave, or, if that has begun, leave sooner. Whether this call was the one that began it."""
        if self.phase is DrainPhase.NOT_LEAVING:
            self.phase = DrainPhase.SETTLING
            self.reason = reason
            self.began_at = now
            self.deadline = now + timeout
            return True
        if self.phase in (DrainPhase.SETTLING, DrainPhase.FINISHING):
            self.deadline = min(self.deadline, now + timeout)
        return False

    def abort(self) -> None:
        """Skip to the cut: cancel and cut at the next two steps."""
        self._has_patience = False

    def step(self, now: float, remaining: int) -> DrainOrder:
        """What to do now that ``remaining`` connections and tasks are left."""
        if self.phase is DrainPhase.SETTLING:
            if self._turns < _TURNS:
                self._turns += 1
                return DrainOrder.TURN
            self.phase = DrainPhase.FINISHING
        if self.phase is DrainPhase.NOT_LEAVING:
            raise AssertionError("a drain that has not begun was asked for its next step")
        if not remaining or self.phase is DrainPhase.DONE:
            self.phase = DrainPhase.DONE
            return DrainOrder.FINISH
        if now < self.deadline and (self._has_patience or self.phase is DrainPhase.CUT):
            return DrainOrder.WAIT
        return self._escalate(now)

    def _escalate(self, now: float) -> DrainOrder:
        self.deadline = now + _CANCEL_GRACE
        if self.phase is DrainPhase.FINISHING:
            self.phase = DrainPhase.CANCELLING
            return DrainOrder.CANCEL
        if self.phase is DrainPhase.CANCELLING:
            self.phase = DrainPhase.CUT
            return DrainOrder.CUT
        self.phase = DrainPhase.DONE
        return DrainOrder.FINISH
