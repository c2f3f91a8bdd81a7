"""``plan(fleet, now)``: what is wished minus what is, as a list of orders. A question: it changes nothing, and asked
twice it answers the same.

The rules of a roll, in two sentences: spawn candidates while fewer than wished exist and the living do not exceed the
wish plus the surge; retire as many old workers, oldest first, as there are serving workers beyond the wish. Until the
canary has settled, it alone is spawned and does not count as serving, so no old worker leaves because of it.
"""

from __future__ import annotations

from signal import Signals

from asgi_arbiter.config.errors import ExitCode

from . import molding, succession
from .actions import (
    Action,
    AdoptSettings,
    CloseListeners,
    Examine,
    Finish,
    LoadConfig,
    Notify,
    OpenListeners,
    PetWatchdog,
    ReopenLogs,
    Signal,
    Spawn,
    StepDown,
)
from .fleet import Fleet
from .ledger import Generation, WorkerHandle
from .states import ALIVE, SHUTTING_DOWN, SPAWNING, GenerationState, Phase, Reason, Tenure, WorkerState
from .status import notice

__all__ = ["plan"]


def plan(fleet: Fleet, now: float) -> list[Action]:
    """The orders of this moment, in the order in which they are to be carried out."""
    actions: list[Action] = []
    told = notice(fleet)
    if fleet.told != told and fleet.tenure is Tenure.LEADING:
        actions.append(Notify(told))
    if fleet.may_pet() and now >= fleet.petted_at + fleet.watchdog:
        actions.append(PetWatchdog())
    if fleet.reopen_wanted:
        actions.append(ReopenLogs((*(handle.pid for handle in fleet.workers()), *fleet.molds)))
    actions += succession.orders(fleet, now)
    if any(isinstance(action, StepDown) for action in actions):
        return actions  # the rest would be planned for one that leads
    if fleet.phase in SHUTTING_DOWN:
        return actions + _stop(fleet, now)
    actions += _reload(fleet)
    actions += molding.orders(fleet, now)
    actions += _forced(fleet, now)
    actions += _retire(fleet)
    actions += _spawn(fleet, now)
    actions += _tidy(fleet)
    return actions


def _stop(fleet: Fleet, now: float) -> list[Action]:
    """Listeners first: what the kernel has queued by then, the workers still take; what comes later is refused."""
    actions: list[Action] = [CloseListeners(None)] if fleet.opened else []
    if fleet.phase is Phase.STOPPED:
        code, reason = fleet.outcome or (ExitCode.OK, "asked to stop")
        return [*actions, Finish(code, reason)]
    actions += molding.farewell(fleet, now)
    why = succession.leaving_reason(fleet)
    for handle in fleet.workers():
        signal = _last_word(fleet, handle, now)
        if signal is Signals.SIGKILL and _may_tell(fleet, handle):
            actions.append(Examine(handle.pid))
        elif signal is not None:
            actions.append(Signal(handle.pid, signal, why))
    return actions


def _may_tell(fleet: Fleet, handle: WorkerHandle) -> bool:
    """Whether a worker that is to be killed should be asked first what it is doing."""
    return handle.state is WorkerState.DRAINING and not handle.finding and fleet.phase is not Phase.KILLING


def _last_word(fleet: Fleet, handle: WorkerHandle, now: float) -> Signals | None:
    """The signal that a worker needs while everybody leaves."""
    if handle.state is WorkerState.KILLED:
        return None
    if fleet.phase is Phase.KILLING:
        return Signals.SIGKILL
    if handle.state in ALIVE:
        return Signals.SIGTERM if fleet.phase is Phase.DRAINING else Signals.SIGQUIT
    if _is_overdue(handle, now):
        return Signals.SIGKILL
    hurry = fleet.phase is Phase.STOPPING and handle.state is WorkerState.DRAINING and handle.failure is None
    return Signals.SIGQUIT if hurry and Signals.SIGQUIT not in handle.sent else None


def _is_overdue(handle: WorkerHandle, now: float) -> bool:
    return handle.deadline is not None and handle.deadline <= now


def _reload(fleet: Fleet) -> list[Action]:
    if fleet.phase is not Phase.RELOADING:
        return []
    proposed = fleet.proposed()
    if proposed is not None:
        return [OpenListeners(proposed.number, proposed.config)]
    return [LoadConfig()] if fleet.candidate() is None else []


def _forced(fleet: Fleet, now: float) -> list[Action]:
    """Workers that must go, whatever that does to capacity: they add none."""
    actions: list[Action] = []
    for handle in fleet.workers():
        match handle.state:
            case WorkerState.BOOTING if _is_overdue(handle, now):
                actions.append(Signal(handle.pid, Signals.SIGABRT, Reason.BOOT_TIMEOUT))
            case WorkerState.BOOTING:
                reason = _unwanted(fleet, handle)
                if reason is not None:
                    actions.append(Signal(handle.pid, Signals.SIGTERM, reason))
            case WorkerState.STUCK if not handle.finding:
                actions.append(Examine(handle.pid))
            case WorkerState.DRAINING if _is_overdue(handle, now) and not handle.finding:
                actions.append(Examine(handle.pid))
            case WorkerState.STUCK if _may_abort(fleet, handle, now):
                actions.append(Signal(handle.pid, Signals.SIGABRT, Reason.STALE_PULSE))
            case WorkerState.DRAINING | WorkerState.ABORTING if _is_overdue(handle, now):
                actions.append(Signal(handle.pid, Signals.SIGKILL, handle.reason or Reason.SHUTDOWN))
    return actions


def _unwanted(fleet: Fleet, handle: WorkerHandle) -> Reason | None:
    """Why nobody needs this booting worker any more."""
    generation = fleet.generations[handle.generation]
    if not generation.is_open:
        return Reason.REJECTED
    candidate = fleet.candidate()
    if candidate is not None and candidate.state is GenerationState.ROLLING and generation is not candidate:
        return Reason.SUPERSEDED
    useful = fleet.workers(WorkerState.BOOTING, WorkerState.SERVING, of=generation)
    booting = fleet.workers(WorkerState.BOOTING, of=generation)
    extra = booting[::-1][: max(0, len(useful) - generation.wish)]
    return Reason.SURPLUS if handle in extra else None


def _may_abort(fleet: Fleet, handle: WorkerHandle, now: float) -> bool:
    """A stuck worker tells what it is doing, then waits for its replacement, but not for ever."""
    if handle.tells_until is not None:
        return False
    stands = len(fleet.serving()) >= fleet.wish
    return stands or _is_overdue(handle, now) or not fleet.generations[handle.generation].is_open


def _retire(fleet: Fleet) -> list[Action]:
    """Serving workers beyond the wish: those of other generations first, then those that asked, then the oldest."""
    current, candidate = fleet.current(), fleet.candidate()
    leader = current
    serving = fleet.serving()
    if candidate is not None:
        if candidate.state is GenerationState.ROLLING:
            leader = candidate
        else:
            serving = [handle for handle in serving if handle.generation != candidate.number]

    def rank(handle: WorkerHandle) -> tuple[bool, bool, bool, float, int]:
        generation = fleet.generations[handle.generation]
        return (
            generation.is_open,
            generation is leader,
            handle.state is not WorkerState.RETIRING,
            handle.born,
            handle.pid,
        )

    surplus = max(0, len(serving) - fleet.wish)
    leaving = sorted(serving, key=rank)[:surplus]
    return [Signal(h.pid, Signals.SIGTERM, _why(fleet.generations[h.generation], h, leader)) for h in leaving]


def _why(generation: Generation, handle: WorkerHandle, leader: Generation) -> Reason:
    if generation is leader:
        return Reason.LIMIT if handle.state is WorkerState.RETIRING else Reason.SURPLUS
    return Reason.REJECTED if generation.state is GenerationState.REJECTED else Reason.SUPERSEDED


def _spawn(fleet: Fleet, now: float) -> list[Action]:
    if fleet.phase not in SPAWNING or fleet.fork_hold_until > now:
        return []
    wanted: list[Generation] = []
    candidate, current = fleet.candidate(), fleet.current()
    if candidate is None or candidate.state is GenerationState.CANDIDATE:
        wanted += [current] * _missing(fleet, current, now, successors=candidate is None)
    if candidate is not None:
        wish = candidate.wish if candidate.state is GenerationState.ROLLING else 1
        wanted += [candidate] * (wish - len(fleet.living(candidate)) - len(fleet.expected(candidate)))
    if not wanted:
        return []
    slots = fleet.free_slots()
    room = min(fleet.ceiling() - len(fleet.living()) - len(fleet.expected()), len(slots))
    taken: dict[int, set[int]] = {}
    actions: list[Action] = []
    for generation in wanted[: max(0, room)]:
        mold = molding.source(fleet, generation)
        if mold is None:
            continue  # as soon as it has the application
        there = [h.number for h in fleet.workers(of=generation)] + [r.number for r in fleet.expected(generation)]
        numbers = taken.setdefault(generation.number, set(there))
        number = next(n for n in range(1, len(numbers) + 2) if n not in numbers)
        numbers.add(number)
        actions.append(Spawn(slots.pop(0), number, generation.number, generation.config, mold))
    return actions


def _missing(fleet: Fleet, current: Generation, now: float, *, successors: bool) -> int:
    """How many workers the current generation lacks. With ``successors``, a worker that asked for one or is stuck does
    not count as present; during a trial it does, since it will be replaced by the new generation."""
    if fleet.crash_hold_until > now:
        return 0
    booting = [*fleet.workers(WorkerState.BOOTING, of=current), *fleet.expected(current)]
    if successors:
        present = len(booting) + len(fleet.workers(WorkerState.SERVING, of=current))
    else:
        present = len(fleet.living(current)) + len(fleet.expected(current))
    missing = max(0, current.wish - present)
    if fleet.is_probing():
        return min(missing, 0 if booting else 1)
    return missing


def _tidy(fleet: Fleet) -> list[Action]:
    """After a reload: what only former generations listened on, once none of their workers serves."""
    current = fleet.current()
    actions: list[Action] = []
    if fleet.adopted != current.number:
        actions.append(AdoptSettings(current.number, current.config))
    others = any(handle.generation != current.number for handle in fleet.living())
    if fleet.phase is not Phase.RELOADING and fleet.opened != {current.number} and not others:
        actions.append(CloseListeners(current.number))
    return actions
