"""What follows when a child ends that nobody wished to end: who is to blame, and how fast it is replaced.

Rules: pure. Before anything has served the program may give up; afterwards it never does, it only slows down. A worker of
a generation under trial that dies before it has proven itself rejects that generation.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from asgi_arbiter.config.errors import ExitCode

from . import reloading, remarks
from .actions import Say
from .policy import BOOT_TRIES, PROBATION, boot_backoff, crash_spacing
from .states import SHUTTING_DOWN, TESTING, GenerationState, Health, Phase, PhaseFact, Reason

if TYPE_CHECKING:
    from .fleet import Fleet
    from .ledger import WorkerHandle

__all__ = ["conclude", "give_up", "lay", "on_the_first", "recovery_time"]


def lay(fleet: Fleet, handle: WorkerHandle, why: str, now: float, code: ExitCode | None = None) -> None:
    """A worker ended, or is going to, though nobody wished it. ``code`` if it is known what was wrong."""
    if fleet.phase in SHUTTING_DOWN:
        return
    generation = fleet.generations[handle.generation]
    if generation.state in TESTING:
        probation = max(generation.rules.settle_time, PROBATION)
        settled = handle.ready_at is not None and now - handle.ready_at >= probation
        generation.deaths += 1
        if not settled or generation.deaths >= BOOT_TRIES or handle.reason is Reason.STALE_PULSE:
            reloading.reject(fleet, generation, why, now)
            return
    elif generation.state is not GenerationState.CURRENT:
        return
    if fleet.phase is Phase.STARTING:
        on_the_first(fleet, why, now, code)
    else:
        _count(fleet, handle, now)


def on_the_first(fleet: Fleet, why: str, now: float, code: ExitCode | None) -> None:
    """A child of the first generation could not boot. Nothing has served yet, so nothing is lost by giving up; a service
    manager knows better when to try again."""
    fleet.streak += 1
    rules = fleet.current().rules
    if rules.reload:
        _wait_for_change(fleet)
    elif code is not None:
        give_up(fleet, code, why, now)
    elif fleet.streak >= BOOT_TRIES:
        give_up(fleet, ExitCode.BOOT, f"{remarks.plural(fleet.streak, 'worker')} died before any was ready", now)
    else:
        _hold(fleet, boot_backoff(fleet.streak), now)


def give_up(fleet: Fleet, code: ExitCode, why: str, now: float) -> None:
    """The failure itself has been told by then, so this line has only what follows from it."""
    fleet.outcome, fleet.stop_began = (code, why), now
    text = f"giving up with exit code {int(code)} ({code.meaning})"
    fleet.say(Say("boot_failed", text, logging.ERROR, "", {"exit_code": int(code)}))
    fleet.move_phase(PhaseFact.BOOT_FAILED)


def _wait_for_change(fleet: Fleet) -> None:
    if fleet.crash_hold_until < math.inf:
        fleet.crash_hold_until = math.inf
        fleet.say(Say("waiting_for_change", "waiting for a change of the files before trying again", logging.WARNING))


def _count(fleet: Fleet, handle: WorkerHandle, now: float) -> None:
    """Note the death and decide how long the next restart waits."""
    rules = fleet.current().rules
    fleet.crashes.append(now)
    _forget_old(fleet, now)
    booting = handle.ready_at is None
    fleet.streak += booting
    if booting and rules.reload:
        _wait_for_change(fleet)
        return
    spacing = crash_spacing(len(fleet.crashes), rules)
    if spacing > 0 or fleet.streak >= BOOT_TRIES:
        fleet.health = Health.DEGRADED
    _hold(fleet, max(spacing, boot_backoff(fleet.streak)), now)


def _hold(fleet: Fleet, wait: float, now: float) -> None:
    if wait > 0 and now + wait > fleet.crash_hold_until:
        fleet.crash_hold_until = now + wait
        window = fleet.current().rules.restart_window
        fleet.say(remarks.held_back(wait, len(fleet.crashes), fleet.streak, window))


def _forget_old(fleet: Fleet, now: float) -> None:
    window = fleet.current().rules.restart_window
    while fleet.crashes and fleet.crashes[0] + window <= now:
        fleet.crashes.popleft()


def recovery_time(fleet: Fleet) -> float | None:
    """When a degraded fleet whose workers all serve may be called healthy again, if no worker dies until then."""
    rules = fleet.current().rules
    if fleet.health is Health.HEALTHY or fleet.streak > 0 or len(fleet.serving()) < fleet.wish:
        return None
    excess = len(fleet.crashes) - rules.max_restarts
    if rules.max_restarts <= 0 or excess <= 0:
        return None
    return fleet.crashes[excess - 1] + rules.restart_window


def conclude(fleet: Fleet, now: float) -> None:
    """A pause is over; a degraded fleet may be called healthy again."""
    if fleet.crash_hold_until <= now:
        fleet.crash_hold_until = 0.0
    if fleet.health is Health.DEGRADED:
        _recover(fleet, now)


def _recover(fleet: Fleet, now: float) -> None:
    _forget_old(fleet, now)
    wish = fleet.wish
    if fleet.streak == 0 and len(fleet.serving()) >= wish and recovery_time(fleet) is None:
        fleet.health = Health.HEALTHY
        fleet.say(Say("recovered", f"restarts are no longer held back: {remarks.plural(wish, 'worker')} serving"))
