"""What a worker tells about itself when it is in trouble, or when somebody asks: its stacks, on their way into the log.

Pure. The report comes in pieces; it is complete when nothing more has come for a moment, or when the worker has ended.
Whoever is to be aborted or killed is examined first and then has a moment to tell; nothing waits longer than that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING, Any

from . import remarks
from .events import Examined, WorkerTestified
from .ledger import WorkerHandle
from .policy import TESTIMONY_PATIENCE, TESTIMONY_PAUSE
from .stacks import readable
from .states import WorkerState

if TYPE_CHECKING:
    from .fleet import Fleet

__all__ = ["OBSERVERS", "conclude", "deadlines", "take_down"]

_MOST = 2**20
"""Characters that are kept of one report until it is told; far more than its pipe holds."""


def _examined(fleet: Fleet, event: Examined, now: float) -> None:
    handle = fleet.handles.get(event.pid)
    if handle is None:
        return
    handle.finding = event.finding or "nothing found"
    if not event.will_tell:
        return
    handle.tells_until = now + TESTIMONY_PATIENCE
    if handle.state is WorkerState.DRAINING:
        handle.deadline = handle.tells_until


def _testified(fleet: Fleet, event: WorkerTestified, now: float) -> None:
    handle, mold = fleet.handles.get(event.pid), fleet.molds.get(event.pid)
    if mold is not None:
        text = readable(event.text)
        fleet.say(remarks.of_mold(mold, "worker_evidence", "what it was doing", level=logging.ERROR, traceback=text))
    if handle is not None:
        if len(handle.testimony) < _MOST:
            handle.testimony += event.text
        handle.told_at = now + TESTIMONY_PAUSE


def conclude(fleet: Fleet, now: float) -> None:
    """Tell what is complete; wait no longer for who says nothing."""
    for handle in fleet.handles.values():
        if handle.told_at is not None and handle.told_at <= now:
            take_down(fleet, handle, now)
        if handle.tells_until is not None and handle.tells_until <= now:
            handle.tells_until = None


def take_down(fleet: Fleet, handle: WorkerHandle, now: float, *, has_died: bool = False) -> None:
    """Into the log with what ``handle`` has told so far, unless it only repeats itself while it dies."""
    text, handle.testimony, handle.told_at = handle.testimony, "", None
    if not text.strip() or (handle.evidence and Signals.SIGABRT in handle.sent):
        return
    handle.evidence = readable(text)
    fleet.say(remarks.evidence(handle, has_died=has_died))
    if handle.tells_until is not None:
        handle.tells_until = None
        if handle.state is WorkerState.DRAINING:
            handle.deadline = now


def deadlines(fleet: Fleet) -> list[float]:
    """When the next report is complete, or awaited no longer."""
    handles = fleet.handles.values()
    return [at for handle in handles for at in (handle.told_at, handle.tells_until) if at is not None]


OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {Examined: _examined, WorkerTestified: _testified}
