"""The wording of the operator's log: one function per remark, from ledger to ``Say``. No decisions, no state.

Every line about a worker begins with its identity; ``event`` names are stable, prose is not.
"""

from __future__ import annotations

import logging
import signal as signals
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.errors import ExitCode

from .actions import Say
from .events import ChildExited
from .ledger import Generation, Mold, WorkerHandle, identity
from .states import Reason, WorkerState

if TYPE_CHECKING:
    from .events import MoldFailed, WorkerFailed

__all__ = [
    "asked_to_leave",
    "duration",
    "ending",
    "evidence",
    "exited",
    "failed",
    "held_back",
    "is_expected",
    "mold_exited",
    "mold_failed",
    "of_mold",
    "of_worker",
    "plural",
    "ready",
    "stop_begun",
    "stranger",
]


def duration(seconds: float) -> str:
    """A length of time as people say it.

    >>> duration(0.312), duration(4.25), duration(75), duration(90000)
    ('312 ms', '4.2 s', '1 min 15 s', '25 h 0 min')
    """
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, noun: str) -> str:
    """``1 worker``, ``4 workers``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def of_worker(
    handle: WorkerHandle, event: str, text: str, *, level: int = logging.INFO, traceback: str = "", **facts: Any
) -> Say:
    """A line about one worker."""
    facts = {"worker": handle.number, "generation": handle.generation, "pid": handle.pid, **facts}
    who = identity(handle.number, handle.generation, handle.pid)
    return Say(event, f"{who} {text}", level, traceback, facts)


def ready(handle: WorkerHandle, now: float) -> Say:
    """It serves."""
    took = now - handle.born
    return of_worker(handle, "worker_ready", f"ready in {duration(took)}", seconds=round(took, 3))


def asked_to_leave(handle: WorkerHandle, signal: signals.Signals, now: float) -> Say:
    """A signal was sent; ``handle.reason`` says why."""
    reason = handle.reason or Reason.SHUTDOWN
    facts = {"reason": reason.name.lower(), "signal": signal.name}
    if signal in (signals.Signals.SIGTERM, signals.Signals.SIGQUIT):
        # At shutdown one line for all is enough.
        level = logging.DEBUG if reason is Reason.SHUTDOWN else logging.INFO
        why = f"{reason.value}: {handle.limit}" if handle.limit and reason is Reason.LIMIT else reason.value
        age = duration(now - handle.born)
        return of_worker(handle, "worker_retired", f"asked to leave ({why}), age {age}", level=level, **facts)
    if signal is signals.Signals.SIGABRT:
        text = f"aborted: {reason.value}" + (f" ({handle.finding})" if handle.finding else "")
        return of_worker(handle, "worker_aborted", text, level=logging.ERROR, **facts)
    text = f"killed: it was still there {duration(now - handle.since)} after being told to leave ({reason.value})"
    return of_worker(handle, "worker_killed", text, level=logging.WARNING, **facts)


def evidence(handle: WorkerHandle, *, has_died: bool) -> Say:
    """It told what it is doing. Asked by somebody with SIGUSR2, that is no trouble; asked by us, it is."""
    if handle.finding:
        text, level = f"what it was doing, before it is told to die ({handle.finding})", logging.ERROR
    elif has_died:
        text, level = "what it was doing when it died", logging.ERROR
    else:
        text, level = "what it is doing", logging.WARNING
    return of_worker(handle, "worker_evidence", text, level=level, traceback=handle.evidence)


def failed(handle: WorkerHandle, generation: Generation, event: WorkerFailed) -> Say:
    """It reported a failure; the same one is told in full only once per generation."""
    facts: dict[str, Any] = {"exit_code": int(event.code), "reason": event.reason}
    if not _is_news(generation, event):
        return of_worker(handle, "worker_failed", "failed alike", **facts)
    text, trace = f"failed: {event.reason}", event.traceback
    return of_worker(handle, "worker_failed", text, level=logging.ERROR, traceback=trace, **facts)


def _is_news(generation: Generation, event: WorkerFailed | MoldFailed) -> bool:
    alike = f"{event.reason}\n{event.traceback}"
    is_news = alike not in generation.shown
    generation.shown.add(alike)
    return is_news


def of_mold(mold: Mold, event: str, text: str, *, level: int = logging.INFO, traceback: str = "", **facts: Any) -> Say:
    """A line about one mold."""
    return Say(
        event, f"{mold.name} {text}", level, traceback, {"generation": mold.generation, "pid": mold.pid, **facts}
    )


def mold_failed(mold: Mold, generation: Generation, event: MoldFailed) -> Say:
    """It reported a failure."""
    facts: dict[str, Any] = {"exit_code": int(event.code), "reason": event.reason}
    if not _is_news(generation, event):
        return of_mold(mold, "mold_failed", "failed alike", level=logging.WARNING, **facts)
    text, trace = f"failed: {event.reason}", event.traceback
    return of_mold(mold, "mold_failed", text, level=logging.ERROR, traceback=trace, **facts)


def mold_exited(mold: Mold, event: ChildExited, now: float) -> Say:
    """It was reaped; asked to, or having told why, that is a quiet line."""
    facts: dict[str, Any] = {"exit_code": event.code, "signal": event.signal, "age": round(now - mold.born, 3)}
    if mold.is_alive:
        when = "while importing" if mold.ready_at is None else f"after {duration(now - mold.born)}"
        return of_mold(mold, "mold_ended", f"ended unasked {when}: {ending(event)}", level=logging.ERROR, **facts)
    return of_mold(mold, "mold_exited", ending(event), level=logging.DEBUG, **facts)


def is_expected(handle: WorkerHandle) -> bool:
    """Whether its exit follows from what was already told."""
    return handle.state not in (WorkerState.BOOTING, WorkerState.SERVING, WorkerState.RETIRING, WorkerState.STUCK)


def exited(handle: WorkerHandle, event: ChildExited, now: float) -> Say:
    """It was reaped. Asked to: a quiet line. Otherwise: what the kernel and the exit code tell."""
    how, age = _how(handle, event), duration(now - handle.born)
    facts: dict[str, Any] = {"exit_code": event.code, "signal": event.signal, "age": round(now - handle.born, 3)}
    if handle.reason is not None:
        facts["reason"] = handle.reason.name.lower()
    if is_expected(handle):
        clean = (
            event.signal in handle.sent
            if event.signal
            else event.code in (0, ChildExited.UNKNOWN) or handle.failure is not None
        )
        why = handle.reason.value if handle.reason else "asked to"
        level = logging.DEBUG if handle.reason in (Reason.FAILED, Reason.SHUTDOWN) and clean else logging.INFO
        level = level if clean else logging.WARNING
        took = duration(now - handle.since)
        return of_worker(handle, "worker_exited", f"{how}, {took} after: {why}; age {age}", level=level, **facts)
    when = "while booting" if handle.ready_at is None else f"after {age}"
    what = "crashed" if event.signal or event.code not in (0, ChildExited.UNKNOWN) else "ended unasked"
    if event.peak_memory:
        facts["peak_memory"] = event.peak_memory
        how += f", peak memory {event.peak_memory // 2**20} MiB"
    return of_worker(handle, "worker_crashed", f"{what} {when}: {how}", level=logging.ERROR, **facts)


def ending(event: ChildExited) -> str:
    """How a child ended, in few words."""
    if event.signal:
        text = f"was killed by {_name(event.signal)}"
        return text + " (out of memory, says the kernel)" if event.oom_killed else text
    return _code(event.code)


def _name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _code(number: int) -> str:
    if number == ChildExited.UNKNOWN:
        return "ended, nobody knows how: the mold that could ask had ended before"
    try:
        meaning = ExitCode(number).meaning
    except ValueError:
        meaning = "a code of the application's own"
    return f"exited with {number} ({meaning})"


def _how(handle: WorkerHandle, event: ChildExited) -> str:
    """How it ended, decoded."""
    if event.signal:
        name = _name(event.signal)
        told = event.signal in handle.sent
        text = f"ended by {name}" if told else f"killed by {name}"
        if event.signal == signals.Signals.SIGKILL and not told:
            text += " (out of memory, says the kernel)" if event.oom_killed else " (not by the arbiter; out of memory?)"
        elif event.signal in (signals.Signals.SIGSEGV, signals.Signals.SIGBUS, signals.Signals.SIGILL):
            text += " (a crash in native code)"
        return text + (", core dumped" if event.core_dumped else "")
    return _code(event.code)


def stranger(event: ChildExited) -> Say:
    """Somebody else's child, which we inherited (as pid 1, or from a hook)."""
    return Say("stranger_reaped", f"reaped pid={event.pid}, which is no worker", logging.DEBUG, "", {"pid": event.pid})


def held_back(seconds: float, crashes: int, streak: int, window: float) -> Say:
    """The next restart waits."""
    if streak > 0:
        who = "the last worker" if streak == 1 else f"each of the last {streak} workers"
        why = f"{who} died before it was ready"
    else:
        why = f"{crashes} unexpected exits within {duration(window)}"
    text = f"restarts held back for {duration(seconds)}: {why}"
    return Say("restarts_held_back", text, logging.WARNING, "", {"seconds": seconds, "crashes": crashes})


def stop_begun(count: int, budget: float, how: str) -> Say:
    """A stop begins."""
    text = f"stopping {how}: {plural(count, 'worker')}"
    if budget > 0:
        text += f", at most {duration(budget)}"
    return Say("shutdown_begun", text, logging.INFO, "", {"workers": count, "seconds": budget})
