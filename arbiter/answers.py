"""Between the kernel's words and the machine's: a worker's message as an event, a failed order as an answer.

Pure. An order that failed in an unforeseen way still gets an answer, since only an answer keeps the ledger from giving
the same order for ever.
"""

from __future__ import annotations

from asgi_arbiter.config.errors import ExitCode

from . import actions as act
from . import events as ev

__all__ = ["death_reported", "from_mold", "from_predecessor", "from_successor", "refused", "translated"]


def translated(pid: int, message: dict[str, object]) -> ev.Event | None:
    """A worker's message as an event; ``None`` for one that we do not know."""
    match message:
        case {"kind": "ready"}:
            return ev.WorkerReady(pid)
        case {"kind": "retiring", "reason": str(limit)}:
            return ev.WorkerRetiring(pid, limit)
        case {"kind": "leaving"}:
            return ev.WorkerLeft(pid)
        case {"kind": "failed", "code": int(number), "reason": str(reason)}:
            code = ExitCode(number) if number in ExitCode._value2member_map_ else ExitCode.FAILED
            return ev.WorkerFailed(pid, code, reason, str(message.get("traceback") or ""))
    return None


def from_mold(pid: int, message: dict[str, object]) -> ev.Event | None:
    """A mold's message as an event."""
    match message:
        case {"kind": "ready", "remarks": list(remarks)}:
            return ev.MoldReady(pid, tuple(str(remark) for remark in remarks))
    told = translated(pid, message)
    if isinstance(told, ev.WorkerFailed):
        return ev.MoldFailed(pid, told.code, told.reason, told.traceback)
    return None


def death_reported(message: dict[str, object]) -> tuple[int, int | None, int] | None:
    """What a mold says about the death of a worker that is its own child, as ``forks.Death``."""
    match message:
        case {"kind": "ended", "pid": int(pid), "status": int() | None as status, "peak": int(peak)}:
            return pid, status, peak
    return None


def from_successor(pid: int, message: dict[str, object]) -> ev.Event | None:
    """What the next arbiter says to the one that started it."""
    match message:
        case {"kind": "ready"}:
            return ev.SuccessorReady(pid)
        case {"kind": "leading", "taken": list(taken)}:
            return ev.SuccessorLeads(pid, tuple(str(address) for address in taken))
    return None


def from_predecessor(message: dict[str, object]) -> ev.Event | None:
    """What the former arbiter says to its successor."""
    match message:
        case {"kind": "lead"}:
            return ev.Appointed()
        case {"kind": "leave"}:
            return ev.Relieved()
    return None


def refused(action: act.Action, error: Exception) -> ev.Event:
    """The answer to an order that failed in an unforeseen way: what keeps the ledger from ordering it for ever."""
    match action:
        case act.Spawn(generation=generation, slot=slot, mold=mold):
            return ev.SpawnFailed(generation, repr(error), slot if mold else -1)
        case act.SpawnMold(generation=generation):
            return ev.SpawnFailed(generation, repr(error))
        case act.Signal(pid, number, reason):
            return ev.Signalled(pid, number, reason)
        case act.Examine(pid):
            return ev.Examined(pid, "not examined")
        case act.LoadConfig():
            return ev.ConfigRejected(f"unexpectedly: {error!r}")
        case act.OpenListeners(generation=generation):
            return ev.ListenersRefused(generation, f"unexpectedly: {error!r}")
        case act.CloseListeners(keep):
            return ev.ListenersClosed(keep)
        case act.AdoptSettings(generation=generation):
            return ev.SettingsAdopted(generation)
        case act.ReopenLogs():
            return ev.LogsReopened()
        case act.Notify(notice):
            return ev.Notified(notice)
        case act.PetWatchdog():
            return ev.WatchdogPetted()
        case _:
            return _refused_upgrade(action, error)


def _refused_upgrade(action: act.Action, error: Exception) -> ev.Event:
    """Whatever fails in a step of an upgrade, the next step follows, and a death ends it."""
    match action:
        case act.StartSuccessor():
            return ev.SuccessorRefused(repr(error))
        case act.OfferLead(pid):
            return ev.LeadOffered(pid)
        case act.DismissSuccessor(pid):
            return ev.SuccessorDismissed(pid)
        case act.StepDown(pid):
            return ev.SteppedDown(pid)
        case act.ReportReadiness():
            return ev.ReadinessReported()
        case act.TakeLead():
            return ev.LeadTaken()
        case act.ReclaimSockets():
            return ev.SocketsReclaimed()
    raise AssertionError(f"{action} is no order for the kernel")
