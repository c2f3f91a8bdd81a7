"""Facts that every kind of child knows, told apart by pid: a signal was sent to it, it was reaped.

Pure. A pid is a mold's, the successor's, or else a worker's (or a stranger's, which ``supervision`` notes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import molding, succession, supervision
from .events import ChildExited, Signalled

if TYPE_CHECKING:
    from .fleet import Fleet

__all__ = ["OBSERVERS"]


def _signalled(fleet: Fleet, event: Signalled, now: float) -> None:
    mold, successor = fleet.molds.get(event.pid), fleet.successor
    if mold is not None:
        molding.signalled(fleet, mold, event, now)
    elif successor is not None and successor.pid == event.pid:
        succession.signalled(fleet, successor, event, now)
    else:
        supervision.signalled(fleet, event, now)


def _exited(fleet: Fleet, event: ChildExited, now: float) -> None:
    mold, successor = fleet.molds.get(event.pid), fleet.successor
    if mold is not None:
        molding.exited(fleet, mold, event, now)
    elif successor is not None and successor.pid == event.pid:
        succession.exited(fleet, successor, event, now)
    else:
        supervision.exited(fleet, event, now)


OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {Signalled: _signalled, ChildExited: _exited}
