"""A snapshot of the fleet for humans and machines: the service manager's notice, and a plain dictionary.

Pure questions to the ledger; nothing here changes it.
"""

from __future__ import annotations

from typing import Any

from .actions import Notice
from .fleet import Fleet
from .remarks import plural
from .states import SHUTTING_DOWN, Health, Phase

__all__ = ["notice", "snapshot"]


def notice(fleet: Fleet) -> Notice:
    """What the service manager should know now. ``READY`` only after the wished number of workers has served, and
    again after every reload, whichever way that ended."""
    return Notice(_state(fleet), _status(fleet), _patience(fleet))


def _patience(fleet: Fleet) -> float:
    """How long it may take until the next news, so that the service manager is as patient as the settings."""
    candidate, rules = fleet.candidate(), fleet.current().rules
    match _state(fleet):
        case "STOPPING":
            return rules.drain_delay + rules.drain_budget
        case "RELOADING" if candidate is not None:
            return candidate.rules.boot_timeout + candidate.rules.settle_time
        case "":
            return rules.boot_timeout
    return 0.0


def _state(fleet: Fleet) -> str:
    if fleet.phase in SHUTTING_DOWN or fleet.phase is Phase.DELAYING:
        return "STOPPING"
    if fleet.complete_at is None:
        return ""
    return "RELOADING" if fleet.phase is Phase.RELOADING else "READY"


def _status(fleet: Fleet) -> str:
    if fleet.phase in SHUTTING_DOWN:
        why = f"; {fleet.outcome[1]}" if fleet.outcome is not None else ""
        return f"stopping: {plural(len(fleet.handles), 'worker')} left{why}"
    parts = [f"{len(fleet.serving())}/{fleet.wish} workers serving, generation {fleet.current().number}"]
    candidate = fleet.candidate()
    if fleet.phase is Phase.DELAYING:
        parts.append("about to stop (drain_delay)")
    if candidate is not None:
        parts.append(f"reloading: generation {candidate.number} is {candidate.state.name.lower()}")
    if fleet.phase is Phase.HANDING_OVER:
        parts.append("upgrading: a successor boots")
    if fleet.health is Health.DEGRADED:
        parts.append("degraded: restarts are held back")
    if fleet.last_failure and fleet.phase is not Phase.RELOADING:
        parts.append(f"last reload rejected: {fleet.last_failure}")
    if fleet.upgrade_failure:
        parts.append(f"last upgrade failed: {fleet.upgrade_failure}")
    return "; ".join(parts)


def snapshot(fleet: Fleet, now: float) -> dict[str, Any]:
    """Everything about the fleet, in types that JSON knows."""
    return {
        "phase": fleet.phase.name,
        "health": fleet.health.name,
        "wish": fleet.wish,
        "status": _status(fleet),
        "generations": [
            {"number": g.number, "state": g.state.name, "wish": g.wish, "addresses": list(g.addresses)}
            for g in fleet.generations.values()
        ],
        "molds": [
            {"pid": mold.pid, "generation": mold.generation, "state": mold.state.name} for mold in fleet.molds.values()
        ],
        "tenure": fleet.tenure.name,
        "workers": [
            {
                "pid": handle.pid,
                "worker": handle.number,
                "generation": handle.generation,
                "state": handle.state.name,
                "reason": handle.reason.name if handle.reason else None,
                "age": round(now - handle.born, 3),
                "connections": handle.connections,
                "in_flight": handle.in_flight,
                "served": handle.served,
            }
            for handle in fleet.workers()
        ],
    }
