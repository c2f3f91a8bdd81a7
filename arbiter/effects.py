"""The orders, carried out: each goes in, what came of it comes out. The only file that signals.

Rules: nothing here decides, and nothing waits but ``Senses.wait``. An order that fails in an unforeseen way is logged and
answered as refused: an error of ours in one order must not end the service. What is heard of children is in ``senses``, how
they are made in ``births``; what the kernel does for both in ``forks``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import BindError, ConfigError
from asgi_arbiter.worker import privileges

from . import actions as act
from . import events as ev
from . import forks
from .answers import from_mold, refused
from .births import Births
from .credentials import Credentials
from .evidence import examine
from .hooks import Hooks
from .listeners import ListenerSet, urls
from .notify import Notifier
from .senses import Senses
from .states import Reason
from .upgrade import Upgrade

if TYPE_CHECKING:
    from asgi_arbiter.config import Config
    from asgi_arbiter.worker.pulse import PulseBoard

    from .reloader import Watcher

__all__ = ["Effects"]

log = logging.getLogger("asgi_arbiter.arbiter")

_WORDS = {
    Reason.SHUTDOWN: "shutdown",
    Reason.SUPERSEDED: "reload",
    Reason.REJECTED: "reload",
    Reason.HANDED_OVER: "reload",
}


class Effects:
    """The kernel, as ``turn.Kernel`` wants it."""

    def __init__(
        self,
        *,
        load: Callable[[], ev.ConfigLoaded],
        listeners: ListenerSet,
        board: PulseBoard,
        notifier: Notifier,
        hooks: Hooks,
        daemon: forks.Daemon | None = None,
        upgrade: Upgrade | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._load = load
        self._listeners = listeners
        self._credentials = credentials or Credentials()
        self._notifier = notifier
        self._hooks = hooks
        self._upgrade = upgrade
        self._watcher: Watcher | None = None
        self._pid = os.getpid()
        self._senses = Senses(board, upgrade)
        self._births = Births(
            self._senses,
            listeners=listeners,
            credentials=self._credentials,
            board=board,
            notifier=notifier,
            hooks=hooks,
            daemon=daemon,
        )

    # --- the world, as events ----------------------------------------------------------------------------------------

    def install_signals(self) -> None:
        """From now on signals wake ``wait``."""
        self._senses.install_signals()

    def watch(self, watcher: Watcher) -> None:
        """Let a child tell of changed files."""
        self._births.watcher(watcher)
        self._watcher = watcher

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wait(self, until: float | None) -> list[ev.Event]:
        """Wait for the kernel; then everything that has happened: pulses, orders, messages, deaths."""
        return self._senses.wait(until)

    # --- orders ------------------------------------------------------------------------------------------------------

    def relay(self, remark: act.Remark) -> None:
        """Write a line, or call a hook."""
        if isinstance(remark, act.CallHook):
            self._hooks.call(remark.hook, *remark.arguments)
        elif log.isEnabledFor(remark.level):
            extra = {**remark.facts, "event": remark.event}
            record = log.makeRecord(log.name, remark.level, "", 0, remark.text, (), None, extra=extra)
            record.exc_text = remark.traceback.rstrip("\n") or None
            log.handle(record)

    def do(self, action: act.Action) -> list[ev.Event]:
        """Carry out one order."""
        try:
            return [self._do(action)]
        except Exception as error:  # the border of effects: one failed order must not end the service
            log.exception("an order failed: %s", action, extra={"event": "effect_failed"})
            return [refused(action, error)]

    def _do(self, action: act.Action) -> ev.Event:
        match action:
            case act.Spawn() if action.mold:
                return self._births.by_mold(action)
            case act.Spawn():
                return self._births.worker(action)
            case act.SpawnMold():
                return self._births.mold(action)
            case act.Signal(pid, number, reason):
                return self._signal(pid, number, reason)
            case act.Examine(pid):
                return self._examine(pid)
            case act.LoadConfig():
                return self._load_config()
            case act.OpenListeners(generation, config):
                return self._open(generation, config)
            case act.CloseListeners(keep):
                self._listeners.keep(keep)
                self._credentials.keep(keep)
                return ev.ListenersClosed(keep)
        return self._tell(action)

    def _tell(self, action: act.Action) -> ev.Event:
        """The orders that change nothing but what others know."""
        match action:
            case act.AdoptSettings(generation, config):
                logs.configure(config, identity=f"arbiter pid={self._pid}")
                privileges.share_logs(config)
                self._hooks.adopt(config)
                return ev.SettingsAdopted(generation)
            case act.ReopenLogs(pids):
                logs.reopen()
                privileges.share_logs(self._hooks.server.cfg)
                for pid in pids:
                    self._reopen(pid)
                return ev.LogsReopened()
            case act.Notify(notice):
                self._notifier.tell(notice)
                return ev.Notified(notice)
            case act.PetWatchdog():
                self._notifier.pet()
                return ev.WatchdogPetted()
        return self._succeed(action)

    def _succeed(self, action: act.Action) -> ev.Event:
        """The orders of an upgrade, of both sides."""
        upgrade = self._upgrade
        assert upgrade is not None, "an upgrade in a process that does not know how it was started"
        match action:
            case act.StartSuccessor():
                return self._births.successor(upgrade)
            case act.OfferLead(pid):
                self._senses.children[pid].mailbox.send({"kind": "lead"})
                return ev.LeadOffered(pid)
            case act.DismissSuccessor(pid):
                self._senses.children[pid].mailbox.send({"kind": "leave"})
                return ev.SuccessorDismissed(pid)
            case act.StepDown(pid, taken):
                self._notifier.hand_over(pid)
                self._listeners.hand_over(taken)
                self._senses.children[pid].mailbox.send({"kind": "released"})
                return ev.SteppedDown(pid)
            case act.ReportReadiness():
                upgrade.tell({"kind": "ready"})
                return ev.ReadinessReported()
            case act.TakeLead():
                upgrade.take_lead()
                return ev.LeadTaken()
            case act.ReclaimSockets():
                self._listeners.reclaim()
                return ev.SocketsReclaimed()
        raise AssertionError(f"{action} is no order for the kernel; the loop ends at Finish")

    def _signal(self, pid: int, number: Signals, reason: Reason) -> ev.Signalled:
        child = self._senses.children.get(pid)
        if child is not None and number in (Signals.SIGTERM, Signals.SIGQUIT):
            hurry = {"quick": True} if number is Signals.SIGQUIT else {}
            child.mailbox.send({"kind": "leave", "reason": _WORDS.get(reason, "recycle"), **hurry})
        _kill(pid, number)
        return ev.Signalled(pid, number, reason)

    def _examine(self, pid: int) -> ev.Examined:
        finding, can_tell = examine(pid)
        if can_tell:
            _kill(pid, Signals.SIGUSR2)
        child = self._senses.children.get(pid)
        return ev.Examined(pid, finding, can_tell and child is not None and child.witness >= 0)

    def _load_config(self) -> ev.Event:
        try:
            return self._load()
        except ConfigError as error:
            return ev.ConfigRejected(str(error))

    def _open(self, generation: int, config: Config) -> ev.Event:
        try:
            self._credentials.open(generation, config)
            opened = self._listeners.open(generation, config)
        except (BindError, ConfigError) as error:
            return ev.ListenersRefused(generation, str(error))
        return ev.ListenersOpened(generation, urls(opened, config))

    def _reopen(self, pid: int) -> None:
        child = self._senses.children.get(pid)
        if child is not None and child.translate is from_mold:
            child.mailbox.send({"kind": "reopen"})
        else:
            _kill(pid, Signals.SIGUSR1)

    def close(self) -> None:
        """At the end: give the signals back and close what is left."""
        if self._watcher is not None and self._watcher.pid:
            _kill(self._watcher.pid, Signals.SIGKILL)
        self._senses.close()
        self._listeners.keep(None)
        self._notifier.close()


def _kill(pid: int, number: Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it is dead already, and its exit is on its way to us
    except PermissionError as error:
        log.error("cannot send %s to pid=%d: %s", number.name, pid, error, extra={"event": "signal_refused"})
