"""What the operator's signals mean, and how the service ends.

Rules: pure. A stop obeys at once in every phase. The first stop signal decides how gentle the stop is, the next one
hurries; one that comes so soon that it must be the same signal, forwarded by a wrapper, is not counted again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import reloading, remarks, succession
from .actions import CallHook, Say
from .events import Notified, Relieved, SignalReceived, WatchdogPetted
from .policy import ECHO_INTERVAL
from .signals import Order
from .states import SHUTTING_DOWN, GenerationState, Phase, PhaseFact, Tenure

if TYPE_CHECKING:
    from .fleet import Fleet

__all__ = ["OBSERVERS", "conclude"]

_STOPS = {Order.STOP: PhaseFact.TERM, Order.INTERRUPT: PhaseFact.INT, Order.QUIT: PhaseFact.QUIT}
_STYLES = {Phase.DRAINING: "gracefully", Phase.STOPPING: "quickly", Phase.KILLING: "at once"}


def _signal(fleet: Fleet, event: SignalReceived, now: float) -> None:
    if event.order in _STOPS:
        _stop(fleet, event, now)
    elif event.order is Order.RELOAD:
        reloading.request(fleet, now, event.name)
    elif event.order in (Order.MORE, Order.FEWER, Order.EMPTY):
        _resize(fleet, event)
    elif event.order is Order.REOPEN:
        fleet.reopen_wanted = True
    else:
        succession.request(fleet, now, event.name)


def _stop(fleet: Fleet, event: SignalReceived, now: float) -> None:
    if now - fleet.stop_signal_at < ECHO_INTERVAL:
        fleet.say(Say("signal_ignored", f"{event.name} again: taken as an echo", logging.DEBUG))
        return
    is_first = fleet.stop_signal_at == -math.inf
    fleet.stop_signal_at = now
    fleet.pending_reload = fleet.pending_upgrade = False
    candidate = fleet.candidate() or fleet.proposed()
    if candidate is not None and fleet.phase is Phase.RELOADING:
        reloading.reject(fleet, candidate, f"{event.name}: the service is stopping", now, level=logging.WARNING)
    before, fact = fleet.phase, _STOPS[event.order]
    if is_first and fleet.tenure is Tenure.RETIRED:
        # Nobody has told us to stop before: we leave because a successor leads. So this is a first word, not a second.
        if fact is PhaseFact.TERM:
            return
        fact = PhaseFact.QUIT
    fleet.move_phase(fact)
    if fleet.stop_began is None:
        fleet.stop_began = now
    if fleet.phase is Phase.DELAYING:
        fleet.delay_until = now + fleet.current().rules.drain_delay
        if fleet.delay_until > now:
            delay = remarks.duration(fleet.delay_until - now)
            fleet.say(
                Say("shutdown_delayed", f"{event.name}: serving for another {delay} (drain_delay), then stopping")
            )
    elif fleet.phase is not before:
        _announce(fleet, event.name)


def _relieved(fleet: Fleet, event: Relieved, now: float) -> None:
    """Our predecessor goes on without us, or the whole service stops, of which we may have heard already."""
    if fleet.phase not in SHUTTING_DOWN:
        _stop(fleet, SignalReceived(Order.STOP, "told by the former arbiter"), now)


def _announce(fleet: Fleet, why: str) -> None:
    rules = fleet.current().rules
    budgets = {Phase.DRAINING: rules.drain_budget, Phase.STOPPING: rules.quick_budget}
    how = _STYLES.get(fleet.phase)
    if how is not None:
        prefix = f"{how} ({why})" if why else how
        fleet.say(remarks.stop_begun(len(fleet.handles), budgets.get(fleet.phase, 0.0), prefix))


def _resize(fleet: Fleet, event: SignalReceived) -> None:
    if fleet.phase in SHUTTING_DOWN:
        return
    current, candidate = fleet.current(), fleet.candidate() or fleet.proposed()
    if event.order is Order.EMPTY and not current.rules.daemon:
        return
    old, room = current.wish, fleet.slots // 2 - current.rules.reload_surge
    wish = 0 if event.order is Order.EMPTY else old + 1 if event.order is Order.MORE else max(1, old - 1)
    if wish > room:
        text = f"{event.name}: not more than {room} workers; set `workers` and restart for more"
        fleet.say(Say("workers_refused", text, logging.WARNING))
    elif wish == old:
        fleet.say(Say("workers_unchanged", f"{event.name}: one worker is the least"))
    else:
        current.wish = wish
        if candidate is not None and candidate.state is not GenerationState.REJECTED:
            candidate.wish = wish
        text = f"{event.name}: {remarks.plural(wish, 'worker')} wished, {old} before"
        fleet.say(Say("workers_changed", text, logging.INFO, "", {"wish": wish, "before": old}))
        fleet.say(CallHook("nworkers_changed", (wish, old)))


def _notified(fleet: Fleet, event: Notified, now: float) -> None:
    fleet.told = event.notice


def _petted(fleet: Fleet, event: WatchdogPetted, now: float) -> None:
    fleet.petted_at = now


def conclude(fleet: Fleet, now: float) -> None:
    """The delay is over; the last worker is gone."""
    if fleet.phase is Phase.DELAYING and now >= fleet.delay_until:
        fleet.move_phase(PhaseFact.DELAY_OVER)
        _announce(fleet, "")
    if fleet.phase in (Phase.DRAINING, Phase.STOPPING, Phase.KILLING) and fleet.is_empty():
        fleet.move_phase(PhaseFact.EMPTY)
        began = fleet.stop_began if fleet.stop_began is not None else now
        text = f"stopped in {remarks.duration(now - began)}"
        fleet.say(Say("shutdown_finished", text, logging.INFO, "", {"seconds": round(now - began, 3)}))


OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {
    SignalReceived: _signal,
    Relieved: _relieved,
    Notified: _notified,
    WatchdogPetted: _petted,
}
