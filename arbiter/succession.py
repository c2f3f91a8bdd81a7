"""The upgrade of the program (SIGUSR2): what its facts mean on both sides, and what is to be done. Pure.

Two arbiters share the listening sockets for a while. The old one leads and serves until the new one's workers serve:

    old                              new (the program, executed anew)
    StartSuccessor  ------------->   boots its workers; they accept, beside the old ones
    <- - - - - - - - - - - - - - -   ReportReadiness, when all wished workers have served for the settle time
    OfferLead  - - - - - - - - - >   TakeLead: pid file, socket files, service manager
    <- - - - - - - - - - - - - - -   (it leads)
    StepDown, then drains

Rules: whatever fails before the last step leaves the old one in charge, with the reason in its log. A successor whose
predecessor dies leads at once. Workers that leave while another arbiter serves on the same sockets leave the accept
queue alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING, Any

from . import remarks
from .actions import (
    Action,
    CallHook,
    DismissSuccessor,
    OfferLead,
    ReclaimSockets,
    ReportReadiness,
    Say,
    Signal,
    StartSuccessor,
    StepDown,
    TakeLead,
)
from .events import (
    Appointed,
    ChildExited,
    LeadOffered,
    LeadTaken,
    PredecessorGone,
    ReadinessReported,
    Signalled,
    SocketsReclaimed,
    SteppedDown,
    SuccessorDismissed,
    SuccessorLeads,
    SuccessorReady,
    SuccessorRefused,
    SuccessorStarted,
)
from .ledger import Successor
from .states import Phase, PhaseFact, Reason, SuccessorFact, SuccessorState, Tenure, TenureFact

if TYPE_CHECKING:
    from .fleet import Fleet

__all__ = ["OBSERVERS", "conclude", "deadlines", "exited", "leaving_reason", "orders", "request", "signalled"]


# --- the old arbiter ---------------------------------------------------------------------------------------------------


def request(fleet: Fleet, now: float, why: str) -> None:
    """Somebody wants an upgrade: now, once a reload or a boot is over, or not at all."""
    if fleet.phase is Phase.RUNNING and fleet.tenure is Tenure.LEADING:
        _begin(fleet, now, why)
    elif fleet.phase is Phase.HANDING_OVER:
        level = logging.DEBUG if fleet.upgrade_repeated else logging.WARNING
        fleet.say(Say("upgrade_ignored", f"{why}: an upgrade is under way already", level))
        fleet.upgrade_repeated = True
    elif fleet.phase in (Phase.STARTING, Phase.RUNNING, Phase.RELOADING):
        if not fleet.pending_upgrade:
            fleet.say(Say("upgrade_remembered", f"{why}: will upgrade when this is over"))
        fleet.pending_upgrade = True
    else:
        fleet.say(Say("upgrade_ignored", f"{why}: no upgrade, the service is stopping", logging.WARNING))


def _begin(fleet: Fleet, now: float, why: str) -> None:
    fleet.pending_upgrade = False
    fleet.upgrade_began, fleet.upgrade_failure, fleet.upgrade_repeated = now, "", False
    fleet.say(Say("upgrade_begun", f"upgrading ({why}): starting a successor with the program as it is now"))
    fleet.say(CallHook("pre_exec"))
    fleet.move_phase(PhaseFact.UPGRADE)


def _started(fleet: Fleet, event: SuccessorStarted, now: float) -> None:
    budget = fleet.current().rules.upgrade_budget
    fleet.successor = Successor(event.pid, now, now + budget if budget > 0 else None)


def _refused(fleet: Fleet, event: SuccessorRefused, now: float) -> None:
    _fail(fleet, f"the program cannot be executed: {event.error}", now)


def _fail(fleet: Fleet, why: str, now: float) -> None:
    took, count = remarks.duration(now - fleet.upgrade_began), remarks.plural(len(fleet.serving()), "worker")
    text = f"upgrade failed after {took}: {why}; this arbiter goes on with {count}"
    fleet.say(Say("upgrade_failed", text, logging.ERROR, "", {"reason": why}))
    if fleet.phase is Phase.HANDING_OVER:
        fleet.upgrade_failure = why
        fleet.move_phase(PhaseFact.UPGRADE_FAILED)


def _ready(fleet: Fleet, event: SuccessorReady, now: float) -> None:
    if fleet.successor is not None and fleet.successor.pid == event.pid:
        fleet.move_successor(fleet.successor, SuccessorFact.READY)


def _offered(fleet: Fleet, event: LeadOffered, now: float) -> None:
    if fleet.successor is not None:
        fleet.move_successor(fleet.successor, SuccessorFact.OFFERED)


def _leads(fleet: Fleet, event: SuccessorLeads, now: float) -> None:
    if fleet.successor is not None and fleet.successor.pid == event.pid:
        fleet.successor.taken = event.taken
        fleet.move_successor(fleet.successor, SuccessorFact.LEADS)


def _dismissed(fleet: Fleet, event: SuccessorDismissed, now: float) -> None:
    """It gets the time that its workers need to finish."""
    if fleet.successor is not None:
        fleet.successor.deadline = now + fleet.current().rules.drain_budget
        fleet.move_successor(fleet.successor, SuccessorFact.DISMISSED)


def signalled(fleet: Fleet, successor: Successor, event: Signalled, now: float) -> None:
    """The successor was killed, or asked for the reload that we had promised."""
    if event.signal is Signals.SIGHUP:
        fleet.pending_reload = False
        fleet.say(Say("reload_passed_on", f"the reload that was asked for meanwhile is left to pid={successor.pid}"))
        return
    fleet.move_successor(successor, SuccessorFact.KILLED)


def exited(fleet: Fleet, successor: Successor, event: ChildExited, now: float) -> None:
    """The successor was reaped."""
    before = successor.state
    fleet.move_successor(successor, SuccessorFact.EXITED)
    fleet.successor = None
    if fleet.tenure is Tenure.RETIRED:
        fleet.say(Say("successor_ended", "the successor ended while this arbiter was leaving", logging.ERROR))
        return
    how = remarks.ending(event)
    if before is SuccessorState.DISMISSED or before is SuccessorState.KILLED:
        how = f"it was given up and {how}"
    if fleet.phase is Phase.HANDING_OVER:
        _fail(fleet, f"the successor (pid {event.pid}) {how}", now)


def _stepped_down(fleet: Fleet, event: SteppedDown, now: float) -> None:
    fleet.move_tenure(TenureFact.STEPPED_DOWN)
    fleet.opened = set()
    fleet.stop_began = now
    took = now - fleet.upgrade_began
    text = f"upgrade done in {remarks.duration(took)}: pid={event.pid} leads; this arbiter finishes what is under way"
    fleet.say(Say("upgrade_done", text, logging.INFO, "", {"successor": event.pid, "seconds": round(took, 3)}))
    fleet.move_phase(PhaseFact.HANDED_OVER)


# --- the new arbiter ---------------------------------------------------------------------------------------------------


def _settled_at(fleet: Fleet) -> float | None:
    """When a successor's workers will have proven themselves; ``None`` while not all of them serve."""
    if fleet.phase is not Phase.RUNNING or len(fleet.serving()) < fleet.wish:
        return None
    since = [handle.ready_at for handle in fleet.serving() if handle.ready_at is not None]
    return max(since, default=fleet.born) + fleet.current().rules.settle_time


def _reported(fleet: Fleet, event: ReadinessReported, now: float) -> None:
    fleet.move_tenure(TenureFact.REPORTED)


def _appointed(fleet: Fleet, event: Appointed, now: float) -> None:
    fleet.move_tenure(TenureFact.APPOINTED)


def _predecessor_gone(fleet: Fleet, event: PredecessorGone, now: float) -> None:
    """After a complete handover that is how it should be; before, the service depends on us."""
    fleet.reclaim_wanted = not event.has_released
    if fleet.tenure not in (Tenure.APPRENTICE, Tenure.REPORTED):
        fleet.told = None  # the service manager may have listened to it alone until now
        return
    fleet.say(Say("predecessor_gone", "the former arbiter ended during the upgrade: leading now", logging.WARNING))
    fleet.move_tenure(TenureFact.APPOINTED)


def _reclaimed(fleet: Fleet, event: SocketsReclaimed, now: float) -> None:
    fleet.reclaim_wanted = False


def _taken(fleet: Fleet, event: LeadTaken, now: float) -> None:
    fleet.move_tenure(TenureFact.TAKEN)
    fleet.say(Say("lead_taken", "leading: the former arbiter has handed over"))


OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {
    SuccessorStarted: _started,
    SuccessorRefused: _refused,
    SuccessorReady: _ready,
    LeadOffered: _offered,
    SuccessorLeads: _leads,
    SuccessorDismissed: _dismissed,
    SteppedDown: _stepped_down,
    ReadinessReported: _reported,
    Appointed: _appointed,
    PredecessorGone: _predecessor_gone,
    SocketsReclaimed: _reclaimed,
    LeadTaken: _taken,
}


def conclude(fleet: Fleet, now: float) -> None:
    """An upgrade that was remembered begins."""
    if fleet.pending_upgrade and fleet.phase is Phase.RUNNING and fleet.tenure is Tenure.LEADING:
        _begin(fleet, now, "remembered")


# --- orders -------------------------------------------------------------------------------------------------------------


def orders(fleet: Fleet, now: float) -> list[Action]:
    """The next step of an upgrade, on whichever side of it we are."""
    return _as_predecessor(fleet, now) + _as_successor(fleet, now)


def _as_predecessor(fleet: Fleet, now: float) -> list[Action]:
    successor = fleet.successor
    if fleet.tenure is Tenure.RETIRED and successor is not None and fleet.pending_reload:
        return [Signal(successor.pid, Signals.SIGHUP, Reason.HANDED_OVER)]
    if fleet.tenure is not Tenure.LEADING:
        return []
    if successor is None:
        return [StartSuccessor()] if fleet.phase is Phase.HANDING_OVER else []
    overdue = successor.deadline is not None and successor.deadline <= now
    match successor.state:
        case SuccessorState.DISMISSED if overdue or fleet.phase is Phase.KILLING:
            return [Signal(successor.pid, Signals.SIGKILL, Reason.SHUTDOWN)]
        case SuccessorState.LEADING if fleet.phase is Phase.HANDING_OVER:
            return [StepDown(successor.pid, successor.taken)]
        case SuccessorState.DISMISSED | SuccessorState.KILLED:
            return []
        case _ if fleet.phase is not Phase.HANDING_OVER or overdue:
            return [DismissSuccessor(successor.pid)]
        case SuccessorState.READY:
            return [OfferLead(successor.pid)]
    return []


def _as_successor(fleet: Fleet, now: float) -> list[Action]:
    if fleet.tenure is Tenure.APPOINTED:
        return [TakeLead()]
    if fleet.reclaim_wanted:
        return [ReclaimSockets()]
    if fleet.tenure is Tenure.APPRENTICE:
        at = _settled_at(fleet)
        return [ReportReadiness()] if at is not None and now >= at else []
    return []


def deadlines(fleet: Fleet) -> list[float]:
    """When the next step of an upgrade is due."""
    times: list[float] = []
    successor = fleet.successor
    waits = successor is not None and successor.state not in (SuccessorState.LEADING, SuccessorState.KILLED)
    if successor is not None and waits and successor.deadline is not None:
        times.append(successor.deadline)
    if fleet.tenure is Tenure.APPRENTICE and (at := _settled_at(fleet)) is not None:
        times.append(at)
    return times


def leaving_reason(fleet: Fleet) -> Reason:
    """Why the workers of an arbiter that ends leave: whether anybody serves on after them."""
    return Reason.SHUTDOWN if fleet.tenure in (Tenure.LEADING, Tenure.APPOINTED) else Reason.HANDED_OVER
