"""What facts about single workers mean: boot, pulse, limits, failure, death.

Rules: pure; the only writer of worker states besides is nobody. What follows from an end that nobody wished is in
``blame``, which is laid once per worker: when it reports a failure, when it is aborted, or when it ends unasked, whichever
comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.errors import ExitCode
from asgi_arbiter.config.records import replace

from . import blame, hearing, reloading, remarks
from .actions import CallHook, Say
from .events import (
    ChildExited,
    Overslept,
    PulseSeen,
    Signalled,
    Spawned,
    SpawnFailed,
    TimePassed,
    WorkerFailed,
    WorkerLeft,
    WorkerReady,
    WorkerRetiring,
)
from .ledger import WorkerHandle
from .policy import BOOT_TRIES, ECHO_INTERVAL, fork_backoff
from .states import (
    SHUTTING_DOWN,
    TESTING,
    GenerationState,
    Phase,
    PhaseFact,
    Reason,
    WorkerFact,
    WorkerState,
)

if TYPE_CHECKING:
    from .fleet import Fleet

__all__ = ["OBSERVERS", "conclude", "exited", "signalled"]

_FACTS = {
    Signals.SIGTERM: WorkerFact.TERMINATED,
    Signals.SIGQUIT: WorkerFact.TERMINATED,
    Signals.SIGABRT: WorkerFact.ABORTED,
    Signals.SIGKILL: WorkerFact.KILLED,
}
_BOOT_CODES = frozenset({ExitCode.CONFIG, ExitCode.BIND, ExitCode.APP_IMPORT, ExitCode.LIFESPAN})
"""Exit codes that explain themselves: trying again would give the same."""


# --- life -------------------------------------------------------------------------------------------------------------


def _spawned(fleet: Fleet, event: Spawned, now: float) -> None:
    rules = fleet.generations[event.generation].rules
    deadline = now + rules.boot_timeout if rules.boot_timeout > 0 else None
    handle = WorkerHandle(event.pid, event.slot, event.number, event.generation, now, now, deadline)
    fleet.handles[event.pid] = handle
    fleet.requests.pop(event.slot, None)
    fleet.fork_failures = 0
    fleet.say(remarks.of_worker(handle, "worker_spawned", "spawned", level=logging.DEBUG))


def _spawn_failed(fleet: Fleet, event: SpawnFailed, now: float) -> None:
    fleet.requests.pop(event.slot, None)
    if event.slot >= 0 and fleet.fork_hold_until > now:
        return  # one of several that a mold did not fork for the same reason
    fleet.fork_failures += 1
    wait = fork_backoff(fleet.fork_failures)
    fleet.fork_hold_until = now + wait
    text = f"cannot fork a worker: {event.error}; trying again in {remarks.duration(wait)}"
    fleet.say(Say("fork_failed", text, logging.ERROR))
    candidate = fleet.candidate()
    if candidate is not None and candidate.state is GenerationState.CANDIDATE and not fleet.living(candidate):
        # Also when it was not the candidate's: there would be no process for its canary either.
        reloading.reject(fleet, candidate, f"cannot fork a worker: {event.error}", now)
    elif fleet.phase is Phase.STARTING and not fleet.handles and fleet.fork_failures >= BOOT_TRIES:
        blame.give_up(fleet, ExitCode.BOOT, f"cannot fork a worker: {event.error}", now)


def _ready(fleet: Fleet, event: WorkerReady, now: float) -> None:
    handle = fleet.handles.get(event.pid)
    if handle is None:
        return
    handle.beat_at = max(handle.beat_at, now)
    if not fleet.move_worker(handle, WorkerFact.READY, now):
        return
    handle.ready_at = now
    if fleet.generations[handle.generation].state is GenerationState.CURRENT:
        fleet.streak = 0
    fleet.say(remarks.ready(handle, now))
    fleet.say(CallHook("worker_ready", (handle,)))
    if fleet.phase is Phase.STARTING:
        fleet.move_phase(PhaseFact.SERVED)


def _retiring(fleet: Fleet, event: WorkerRetiring, now: float) -> None:
    handle = fleet.handles.get(event.pid)
    if handle is None:
        return
    handle.limit = event.limit
    if fleet.move_worker(handle, WorkerFact.LIMIT, now):
        fleet.say(
            remarks.of_worker(handle, "worker_retiring", f"asks for a successor: {event.limit}", limit=event.limit)
        )
        fleet.say(CallHook("worker_retiring", (handle, event.limit)))


def _left(fleet: Fleet, event: WorkerLeft, now: float) -> None:
    """It drains. Ours if we asked; else somebody sent it SIGTERM, perhaps to the whole group, us included: the refill
    waits for the moment in which our own SIGTERM would arrive."""
    handle = fleet.handles.get(event.pid)
    if handle is None:
        return
    unasked = handle.is_alive
    if unasked:
        handle.reason = Reason.OWN_ACCORD
    fleet.move_worker(handle, WorkerFact.LEFT, now)
    if unasked and fleet.phase not in SHUTTING_DOWN:
        fleet.say(
            remarks.of_worker(handle, "worker_left", "leaves, though we did not ask it to", level=logging.WARNING)
        )
        blame.lay(fleet, handle, "it left though nobody here asked it to", now)
        fleet.crash_hold_until = max(fleet.crash_hold_until, now + ECHO_INTERVAL)


def _failed(fleet: Fleet, event: WorkerFailed, now: float) -> None:
    handle = fleet.handles.get(event.pid)
    if handle is None:
        return
    handle.failure = event
    unasked = handle.is_alive
    if unasked:
        handle.reason = Reason.FAILED
    fleet.say(remarks.failed(handle, fleet.generations[handle.generation], event))
    if fleet.move_worker(handle, WorkerFact.FAILED, now):
        # It is on its way out; it has no requests to finish.
        handle.deadline = now + fleet.generations[handle.generation].rules.kill_timeout
    if unasked:
        blame.lay(fleet, handle, event.reason, now, event.code)


def signalled(fleet: Fleet, event: Signalled, now: float) -> None:
    """A signal was sent to a worker."""
    handle = fleet.handles.get(event.pid)
    if handle is None:
        return
    unasked = handle.is_alive
    handle.sent.add(event.signal)
    handle.reason = handle.reason or event.reason
    fleet.say(remarks.asked_to_leave(handle, event.signal, now))
    fleet.move_worker(handle, _FACTS[event.signal], now)
    rules = fleet.generations[handle.generation].rules
    if event.signal is Signals.SIGQUIT and handle.deadline is not None:
        handle.deadline = min(handle.deadline, now + rules.quick_budget)
    if event.signal is Signals.SIGABRT and unasked:
        limit = f"{remarks.duration(rules.boot_timeout)} (boot_timeout)"
        why = f"not ready within {limit}" if handle.ready_at is None else event.reason.value
        if handle.ready_at is not None:
            fleet.say(CallHook("on_timeout", (handle, handle.evidence)))
        blame.lay(fleet, handle, why, now, ExitCode.BOOT if handle.ready_at is None else None)


def exited(fleet: Fleet, event: ChildExited, now: float) -> None:
    """A child was reaped that is neither mold nor successor: a worker or a stranger."""
    handle = fleet.handles.get(event.pid)
    if handle is None:
        fleet.say(remarks.stranger(event))
        return
    unasked = handle.is_alive
    hearing.take_down(fleet, handle, now, has_died=True)
    said = remarks.exited(handle, event, now)
    fleet.say(said)
    fleet.move_worker(handle, WorkerFact.EXITED, now)
    fleet.served_gone += handle.served
    del fleet.handles[event.pid]
    fleet.say(CallHook("child_exit", (handle,)))
    if unasked:
        code = next((code for code in _BOOT_CODES if code == event.code), None) if event.signal == 0 else None
        blame.lay(fleet, handle, said.text, now, code)


# --- pulse ------------------------------------------------------------------------------------------------------------


def _pulse(fleet: Fleet, event: PulseSeen, now: float) -> None:
    handle = fleet.handles.get(event.pid)
    if handle is None:
        return
    handle.connections, handle.in_flight = event.connections, event.in_flight
    handle.served = max(handle.served, event.served)
    if event.beat_at <= handle.beat_at:
        return
    handle.beat_at = event.beat_at
    if fleet.move_worker(handle, WorkerFact.BEAT, now):
        handle.finding = ""
        fleet.say(remarks.of_worker(handle, "worker_recovered", "its event loop turns again", level=logging.WARNING))
        if handle.limit:
            fleet.move_worker(handle, WorkerFact.LIMIT, now)
    if handle.is_capacity:
        _rearm(fleet, handle)


def _rearm(fleet: Fleet, handle: WorkerHandle) -> None:
    timeout = fleet.generations[handle.generation].rules.timeout
    handle.deadline = handle.beat_at + timeout if timeout > 0 else None


def _overslept(fleet: Fleet, event: Overslept, now: float) -> None:
    """Nobody is judged for the time in which we ourselves were not there: all budgets begin where they stood."""
    for handle in fleet.handles.values():
        handle.beat_at = max(handle.beat_at, now)
        if handle.is_capacity:
            _rearm(fleet, handle)
        elif handle.deadline is not None:
            handle.deadline += event.by
        if handle.ready_at is not None:
            handle.ready_at = min(handle.ready_at + event.by, now)
    for mold in fleet.molds.values():
        if mold.deadline is not None:
            mold.deadline += event.by
    if fleet.successor is not None and fleet.successor.deadline is not None:
        fleet.successor.deadline += event.by
    for slot, request in fleet.requests.items():
        fleet.requests[slot] = replace(request, deadline=request.deadline + event.by)
    text = f"overslept by {remarks.duration(event.by)} (machine paused?); no worker is judged for it"
    fleet.say(Say("overslept", text, logging.WARNING, "", {"seconds": event.by}))


def _time_passed(fleet: Fleet, event: TimePassed, now: float) -> None:
    fleet.looked_at = now


# --- conclusions ------------------------------------------------------------------------------------------------------


def conclude(fleet: Fleet, now: float) -> None:
    """Draw the conclusions that depend on several workers or on time."""
    for handle in fleet.workers(WorkerState.SERVING, WorkerState.RETIRING):
        if handle.deadline is not None and handle.deadline <= now:
            _fell_silent(fleet, handle, now)
    if fleet.fork_hold_until <= now:
        fleet.fork_hold_until = 0.0
    blame.conclude(fleet, now)
    if fleet.complete_at is None and fleet.phase is Phase.RUNNING and len(fleet.serving()) >= fleet.wish:
        _complete(fleet, now)


def _fell_silent(fleet: Fleet, handle: WorkerHandle, now: float) -> None:
    silence = remarks.duration(now - handle.beat_at)
    text = f"stuck: its event loop has not turned for {silence}"
    if handle.in_flight:
        text += f", {remarks.plural(handle.in_flight, 'request')} in flight at its last beat"
    fleet.say(remarks.of_worker(handle, "worker_stuck", text, level=logging.ERROR, seconds=now - handle.beat_at))
    fleet.move_worker(handle, WorkerFact.SILENT, now)
    generation = fleet.generations[handle.generation]
    if generation.state in TESTING and fleet.phase not in SHUTTING_DOWN:
        reloading.reject(fleet, generation, f"one of its workers got stuck for {silence}", now)


def _complete(fleet: Fleet, now: float) -> None:
    fleet.complete_at = now
    took = now - fleet.born
    where = ", ".join(fleet.current().addresses)
    text = f"ready: {remarks.plural(len(fleet.serving()), 'worker')} in {remarks.duration(took)}, listening on {where}"
    if not fleet.current().rules.daemon:
        text += " (Press Ctrl-C to stop)"
    facts = {"seconds": round(took, 3), "addresses": list(fleet.current().addresses)}
    fleet.say(Say("ready", text, logging.INFO, "", facts))


OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {
    TimePassed: _time_passed,
    Overslept: _overslept,
    Spawned: _spawned,
    SpawnFailed: _spawn_failed,
    WorkerReady: _ready,
    WorkerRetiring: _retiring,
    WorkerLeft: _left,
    WorkerFailed: _failed,
    PulseSeen: _pulse,
}
