"""What facts about molds mean (``--preload``), and what is to be done about them.

A mold imports the application of one generation and forks that generation's workers. Rules: pure.

* A generation's workers are forked by the generation's own mold and by nobody else, so a respawn never meets code that
  was deployed meanwhile. The mold lives as long as its generation; a rejected generation's leaves at once.
* A mold that fails or ends unasked fails the generation under trial. The current generation's workers do not notice;
  a new mold imports the application from what lies on the disk *now*, and the log says so. Such attempts are spaced.
* A mold that was told to fork a worker and does not is told to die: whoever is stopped or blocked helps nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.errors import ExitCode

from . import blame, reloading, remarks
from .actions import Action, Say, Signal, SpawnMold
from .events import ChildExited, MoldFailed, MoldReady, MoldSpawned, Signalled, SpawnOrdered
from .ledger import Generation, Mold, Request
from .policy import FORK_PATIENCE, boot_backoff
from .states import (
    SHUTTING_DOWN,
    TESTING,
    GenerationState,
    MoldFact,
    MoldState,
    Phase,
    Reason,
)

if TYPE_CHECKING:
    from .fleet import Fleet

__all__ = ["OBSERVERS", "conclude", "deadlines", "exited", "farewell", "orders", "signalled", "source"]

_FACTS = {
    Signals.SIGTERM: MoldFact.TERMINATED,
    Signals.SIGQUIT: MoldFact.TERMINATED,
    Signals.SIGABRT: MoldFact.ABORTED,
    Signals.SIGKILL: MoldFact.KILLED,
}


# --- facts ------------------------------------------------------------------------------------------------------------


def _spawned(fleet: Fleet, event: MoldSpawned, now: float) -> None:
    rules = fleet.generations[event.generation].rules
    deadline = now + rules.boot_timeout if rules.boot_timeout > 0 else None
    mold = Mold(event.pid, event.generation, now, now, deadline)
    fleet.molds[event.pid] = mold
    fleet.fork_failures = 0
    fleet.say(remarks.of_mold(mold, "mold_spawned", "imports the application", level=logging.DEBUG))


def _ready(fleet: Fleet, event: MoldReady, now: float) -> None:
    mold = fleet.molds.get(event.pid)
    if mold is None or not fleet.move_mold(mold, MoldFact.IMPORTED, now):
        return
    mold.ready_at = now
    took = now - mold.born
    text = f"has imported the application in {remarks.duration(took)}"
    fleet.say(remarks.of_mold(mold, "mold_ready", text, seconds=round(took, 3)))
    for sentence in event.remarks:
        fleet.say(remarks.of_mold(mold, "mold_remark", sentence, level=logging.WARNING))


def _failed(fleet: Fleet, event: MoldFailed, now: float) -> None:
    mold = fleet.molds.get(event.pid)
    if mold is None:
        return
    unasked, mold.has_failed = mold.is_alive, True
    if unasked:
        mold.reason = Reason.FAILED
    fleet.say(remarks.mold_failed(mold, fleet.generations[mold.generation], event))
    fleet.move_mold(mold, MoldFact.FAILED, now)
    if unasked:
        _blame(fleet, mold, event.reason, now, event.code)


def _ordered(fleet: Fleet, event: SpawnOrdered, now: float) -> None:
    deadline = now + FORK_PATIENCE
    fleet.requests[event.slot] = Request(event.slot, event.number, event.generation, event.mold, deadline)


def signalled(fleet: Fleet, mold: Mold, event: Signalled, now: float) -> None:
    """A signal was sent to a mold."""
    unasked = mold.is_alive
    mold.sent.add(event.signal)
    mold.reason = mold.reason or event.reason
    fleet.move_mold(mold, _FACTS[event.signal], now)
    if event.signal is Signals.SIGTERM:
        text = f"asked to leave ({mold.reason.value})"
        fleet.say(remarks.of_mold(mold, "mold_retired", text, level=logging.DEBUG))
        return
    text = f"sent {event.signal.name}: {event.reason.value}"
    fleet.say(remarks.of_mold(mold, "mold_aborted", text, level=logging.ERROR, signal=event.signal.name))
    if unasked:
        why = "the application was not imported in time (boot_timeout)" if mold.ready_at is None else event.reason.value
        _blame(fleet, mold, why, now, ExitCode.BOOT if mold.ready_at is None else None)


def exited(fleet: Fleet, mold: Mold, event: ChildExited, now: float) -> None:
    """A mold was reaped."""
    unasked = mold.is_alive
    said = remarks.mold_exited(mold, event, now)
    fleet.say(said)
    fleet.move_mold(mold, MoldFact.EXITED, now)
    del fleet.molds[event.pid]
    if unasked:
        _blame(fleet, mold, said.text, now, None)


def _blame(fleet: Fleet, mold: Mold, why: str, now: float, code: ExitCode | None) -> None:
    """It ends though nobody wished it."""
    if fleet.phase in SHUTTING_DOWN:
        return
    generation = fleet.generations[mold.generation]
    if generation.state in TESTING:
        reloading.reject(fleet, generation, why, now)
    elif generation.state is GenerationState.CURRENT:
        if fleet.phase is Phase.STARTING:
            blame.on_the_first(fleet, why, now, code)
        else:
            _try_again(fleet, mold, generation, now)


def _try_again(fleet: Fleet, mold: Mold, generation: Generation, now: float) -> None:
    """The workers go on; only the next one needs a mold. Attempts are spaced, and a long life clears the record."""
    if mold.ready_at is not None and now - mold.ready_at >= generation.rules.restart_window:
        fleet.mold_streak = 0
    fleet.mold_streak += 1
    wait = boot_backoff(fleet.mold_streak)
    fleet.mold_hold_until = now + wait
    count = remarks.plural(len(fleet.serving(generation)), "worker")
    text = (
        f"generation {generation.number} goes on with {count} and without a mold; in {remarks.duration(wait)} a new one "
        "imports the application from the files as they are then, which may be newer than what serves "
        "(a reload makes all alike)"
    )
    facts = {"generation": generation.number, "seconds": wait, "attempt": fleet.mold_streak}
    fleet.say(Say("mold_lost", text, logging.WARNING, "", facts))


OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {
    MoldSpawned: _spawned,
    MoldReady: _ready,
    MoldFailed: _failed,
    SpawnOrdered: _ordered,
}


# --- orders -----------------------------------------------------------------------------------------------------------


def source(fleet: Fleet, generation: Generation) -> int | None:
    """Who forks the workers of ``generation``: 0 is the arbiter itself, ``None`` nobody at the moment."""
    if not generation.rules.preload_app:
        return 0
    waiting = (
        m.pid for m in fleet.molds.values() if m.generation == generation.number and m.state is MoldState.WAITING
    )
    return next(waiting, None)


def orders(fleet: Fleet, now: float) -> list[Action]:
    """One mold for each generation that may fork workers, and none for the others."""
    actions: list[Action] = []
    for mold in fleet.molds.values():
        actions += _end(fleet, mold, now)
    held = max(fleet.mold_hold_until, fleet.fork_hold_until, fleet.crash_hold_until)
    for generation in fleet.generations.values():
        has_mold = any(mold.generation == generation.number and mold.is_alive for mold in fleet.molds.values())
        if generation.is_open and generation.rules.preload_app and not has_mold and held <= now:
            actions.append(SpawnMold(generation.number, generation.config))
    return actions


def _end(fleet: Fleet, mold: Mold, now: float) -> list[Action]:
    overdue = mold.deadline is not None and mold.deadline <= now
    match mold.state:
        case MoldState.IMPORTING | MoldState.WAITING if not fleet.generations[mold.generation].is_open:
            return [Signal(mold.pid, Signals.SIGTERM, Reason.SUPERSEDED)]
        case MoldState.IMPORTING if overdue:
            return [Signal(mold.pid, Signals.SIGABRT, Reason.BOOT_TIMEOUT)]
        case MoldState.WAITING if any(r.mold == mold.pid and r.deadline <= now for r in fleet.requests.values()):
            return [Signal(mold.pid, Signals.SIGABRT, Reason.UNANSWERED)]
        case MoldState.LEAVING | MoldState.ABORTING if overdue:
            return [Signal(mold.pid, Signals.SIGKILL, mold.reason or Reason.SHUTDOWN)]
    return []


def farewell(fleet: Fleet, now: float) -> list[Action]:
    """While everybody leaves: a mold has nothing to finish."""
    actions: list[Action] = []
    for mold in fleet.molds.values():
        overdue = mold.deadline is not None and mold.deadline <= now
        if mold.state is MoldState.KILLED:
            continue
        if fleet.phase is Phase.KILLING or (overdue and not mold.is_alive):
            actions.append(Signal(mold.pid, Signals.SIGKILL, Reason.SHUTDOWN))
        elif mold.is_alive:
            actions.append(Signal(mold.pid, Signals.SIGTERM, Reason.SHUTDOWN))
    return actions


def deadlines(fleet: Fleet) -> list[float]:
    """When a mold has taken too long for something, or may be tried again."""
    molds = fleet.molds.values()
    times = [mold.deadline for mold in molds if mold.deadline is not None]
    waiting = {mold.pid for mold in molds if mold.state is MoldState.WAITING}
    times += [request.deadline for request in fleet.requests.values() if request.mold in waiting]
    return [*times, fleet.mold_hold_until] if fleet.mold_hold_until > 0 else times


def conclude(fleet: Fleet, now: float) -> None:
    """The pause before the next attempt is over."""
    if fleet.mold_hold_until <= now:
        fleet.mold_hold_until = 0.0
