"""What facts about generations mean: settings read, listeners opened, the canary settled, all replaced, rejected.

Rules: pure. A reload is a transaction: until the canary has settled no old worker is touched, and whatever fails leaves
the current generation in charge, with its old settings. Generation numbers are never reused, so that a late death is
never counted against a successor.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import remarks
from .actions import CallHook, Say
from .events import (
    ConfigLoaded,
    ConfigRejected,
    FilesChanged,
    ListenersClosed,
    ListenersOpened,
    ListenersRefused,
    LogsReopened,
    SettingsAdopted,
)
from .ledger import Generation
from .states import GenerationFact, GenerationState, Health, Phase, PhaseFact

if TYPE_CHECKING:
    from .fleet import Fleet

__all__ = ["OBSERVERS", "begin", "conclude", "reject", "request"]

_REMEMBERED = {
    Phase.STARTING: "the boot",
    Phase.RELOADING: "the one under way",
    Phase.HANDING_OVER: "the upgrade, by whoever leads then",
}


def request(fleet: Fleet, now: float, why: str) -> None:
    """Somebody wants a reload: now, after the one that is under way (once), or not at all while stopping."""
    hopeless = fleet.phase is Phase.STARTING and fleet.crash_hold_until == math.inf
    if fleet.phase is Phase.RUNNING or hopeless:
        begin(fleet, now, why)
    elif fleet.phase in _REMEMBERED:
        if not fleet.pending_reload:
            when = _REMEMBERED[fleet.phase]
            fleet.say(Say("reload_remembered", f"{why}: will reload once more after {when}"))
        fleet.pending_reload = True
    else:
        fleet.say(Say("reload_ignored", f"{why}: not reloading, the service is stopping", logging.WARNING))


def begin(fleet: Fleet, now: float, why: str) -> None:
    """Enter RELOADING; the plan then asks for the settings."""
    fleet.pending_reload = False
    fleet.reload_began, fleet.reload_base = now, fleet.total_served()
    fleet.say(Say("reload_begun", f"reloading ({why}): generation {fleet.newest + 1} will be tried"))
    fleet.move_phase(PhaseFact.RELOAD)


def reject(fleet: Fleet, generation: Generation, why: str, now: float, *, level: int = logging.ERROR) -> None:
    """Give the reload up; the current generation has never stopped and refills."""
    generation.failure = why
    fleet.move_generation(generation, GenerationFact.FAILED)
    _rejected(fleet, why, now, level)


def _rejected(fleet: Fleet, why: str, now: float, level: int) -> None:
    fleet.last_failure = why
    took, current = now - fleet.reload_began, fleet.current()
    count = remarks.plural(len(fleet.serving(current)), "worker")
    text = f"reload rejected after {remarks.duration(took)}: {why}; generation {current.number} goes on with {count}"
    fleet.say(Say("reload_rejected", text, level, "", {"seconds": round(took, 3), "reason": why}))
    fleet.say(CallHook("reload_finished", ("rejected",)))
    fleet.move_phase(PhaseFact.RELOADED)


def _loaded(fleet: Fleet, event: ConfigLoaded, now: float) -> None:
    for sentence in event.refused:
        fleet.say(Say("setting_refused", sentence, logging.WARNING))
    current, rules = fleet.current(), event.rules
    if rules.workers + rules.reload_surge > fleet.slots // 2:
        why = f"{rules.workers} workers need a restart: there is room for {fleet.slots // 2 - rules.reload_surge}"
        _rejected(fleet, why, now, logging.ERROR)
        return
    # What SIGTTIN and SIGTTOU did survives, unless the settings now say something new.
    keep = rules.workers == current.rules.workers and current.wish > 0
    fleet.newest += 1
    wish = current.wish if keep else rules.workers
    fleet.generations[fleet.newest] = Generation(
        fleet.newest, event.config, rules, wish, now, GenerationState.PROPOSED, current.addresses
    )
    fleet.say(CallHook("on_reload"))


def _config_rejected(fleet: Fleet, event: ConfigRejected, now: float) -> None:
    _rejected(fleet, event.complaint, now, logging.ERROR)


def _opened(fleet: Fleet, event: ListenersOpened, now: float) -> None:
    generation = fleet.generations[event.generation]
    if generation.addresses != event.addresses:
        fleet.say(Say("addresses_changed", f"generation {generation.number} listens on {', '.join(event.addresses)}"))
    generation.addresses = event.addresses
    fleet.opened.add(event.generation)
    fleet.move_generation(generation, GenerationFact.OPENED)


def _refused(fleet: Fleet, event: ListenersRefused, now: float) -> None:
    reject(fleet, fleet.generations[event.generation], event.complaint, now)


def _closed(fleet: Fleet, event: ListenersClosed, now: float) -> None:
    fleet.opened = set() if event.keep is None else {event.keep}


def _files_changed(fleet: Fleet, event: FilesChanged, now: float) -> None:
    shown = ", ".join(event.paths[:3]) + (f" and {len(event.paths) - 3} more" if len(event.paths) > 3 else "")
    request(fleet, now, f"changed: {shown}")


def _adopted(fleet: Fleet, event: SettingsAdopted, now: float) -> None:
    fleet.adopted = event.generation


def _reopened(fleet: Fleet, event: LogsReopened, now: float) -> None:
    fleet.reopen_wanted = False
    fleet.say(Say("logs_reopened", "log files opened anew"))


def conclude(fleet: Fleet, now: float) -> None:
    """Draw the conclusions that depend on several workers or on time."""
    candidate = fleet.candidate()
    if candidate is not None and fleet.phase is Phase.RELOADING:
        if candidate.state is GenerationState.CANDIDATE:
            _settle(fleet, candidate, now)
        if candidate.state is GenerationState.ROLLING and _is_replaced(fleet, candidate):
            _promote(fleet, candidate, now)
    for generation in list(fleet.generations.values()):
        if generation.state is GenerationState.REJECTED and not fleet.living(generation):
            fleet.move_generation(generation, GenerationFact.EMPTIED)
        is_over = generation.state is GenerationState.RETIRED and generation.number not in fleet.opened
        molds = any(mold.generation == generation.number for mold in fleet.molds.values())
        if is_over and not (molds or fleet.workers(of=generation) or fleet.expected(generation)):
            del fleet.generations[generation.number]
    if fleet.pending_reload and fleet.phase is Phase.RUNNING:
        begin(fleet, now, "remembered")


def _settle(fleet: Fleet, candidate: Generation, now: float) -> None:
    settle = candidate.rules.settle_time
    for handle in fleet.serving(candidate):
        if handle.ready_at is not None and now >= handle.ready_at + settle:
            text = f"settled for {remarks.duration(settle)}; generation {candidate.number} rolls out"
            level = logging.INFO if settle > 0 else logging.DEBUG
            fleet.say(remarks.of_worker(handle, "canary_settled", text, level=level))
            fleet.move_generation(candidate, GenerationFact.SETTLED)
            return


def _is_replaced(fleet: Fleet, candidate: Generation) -> bool:
    others = [handle for handle in fleet.living() if handle.generation != candidate.number]
    return not others and len(fleet.serving(candidate)) >= candidate.wish


def _promote(fleet: Fleet, candidate: Generation, now: float) -> None:
    before = fleet.current().wish
    fleet.move_generation(fleet.current(), GenerationFact.SUPERSEDED)
    fleet.move_generation(candidate, GenerationFact.REPLACED)
    fleet.crashes.clear()
    fleet.streak, fleet.crash_hold_until, fleet.health = 0, 0.0, Health.HEALTHY
    fleet.mold_streak, fleet.mold_hold_until = 0, 0.0
    fleet.last_failure = ""
    took, served = now - fleet.reload_began, fleet.total_served() - fleet.reload_base
    workers = remarks.plural(len(fleet.serving(candidate)), "worker")
    text = f"reload promoted: generation {candidate.number}, {workers} in {remarks.duration(took)}, {remarks.plural(served, 'request')} served meanwhile"
    facts = {"generation": candidate.number, "seconds": round(took, 3), "served": served}
    fleet.say(Say("reload_promoted", text, logging.INFO, "", facts))
    if candidate.wish != before:
        fleet.say(CallHook("nworkers_changed", (candidate.wish, before)))
    fleet.say(CallHook("reload_finished", ("promoted",)))
    fleet.move_phase(PhaseFact.RELOADED)


OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {
    ConfigLoaded: _loaded,
    ConfigRejected: _config_rejected,
    ListenersOpened: _opened,
    ListenersRefused: _refused,
    ListenersClosed: _closed,
    FilesChanged: _files_changed,
    SettingsAdopted: _adopted,
    LogsReopened: _reopened,
}
