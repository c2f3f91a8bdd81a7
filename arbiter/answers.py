"""Between the kernel's words and the machine's: a worker's message as an event, a failed order as an answer.

Pure. An order that failed in an unforeseen way still gets an answer, since only an answer keeps the ledger from giving
the same order for ever.
"""

from __future__ import annotations

from asgi_arbiter.config.errors import ExitCode

from . import actions as act
from . import events as ev

__all__ = ["refused", "translated"]


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


def refused(action: act.Action, error: Exception) -> ev.Event:
    """The answer to an order that failed in an unforeseen way: what keeps the ledger from ordering it for ever."""
    match action:
        case act.Spawn(generation=generation):
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
        case _:
            return ev.WatchdogPetted()
