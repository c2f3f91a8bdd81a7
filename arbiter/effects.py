"""The only file that signals and reaps, and that has others forked (``forks``). Each order goes in, what came of it comes
out.

Rules: nothing here decides. An order that fails in an unforeseen way is logged and answered as refused: an
error of ours in one order must not end the service. Nothing waits but ``Effects.wait``.
"""

from __future__ import annotations

import logging
import math
import os
import select
import sys
import time
from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import BindError, ConfigError
from asgi_arbiter.worker import mold, privileges, process
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.mold import MoldSpec
from asgi_arbiter.worker.process import WorkerSpec
from asgi_arbiter.worker.pulse import PulseBoard

from . import actions as act
from . import events as ev
from . import forks, signals
from .answers import from_mold, from_successor, refused
from .credentials import Credentials
from .evidence import examine
from .hooks import Hooks
from .kin import Child, Unborn, Wakeup
from .listeners import ListenerSet, urls
from .notify import Notifier
from .oom import OomCounter
from .states import Reason
from .upgrade import Upgrade

if TYPE_CHECKING:
    import socket

    from asgi_arbiter.config import Config

    from .reloader import Watcher

__all__ = ["Effects"]

log = logging.getLogger("asgi_arbiter.arbiter")

_WORDS = {
    Reason.SHUTDOWN: "shutdown",
    Reason.SUPERSEDED: "reload",
    Reason.REJECTED: "reload",
    Reason.HANDED_OVER: "reload",
}
_WITNESS_CHUNK = 2**20
"""More than a worker's pipe holds."""
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


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
        self._board = board
        self._notifier = notifier
        self._hooks = hooks
        self._children: dict[int, Child] = {}
        self._wakeup = Wakeup()
        self._oom = OomCounter()
        self._watcher: Watcher | None = None
        self._poll = select.poll()
        self._poll.register(self._wakeup.reader, select.POLLIN)
        self._pid = os.getpid()
        self._daemon = daemon
        self._unborn: list[Unborn] = []
        self._upgrade = upgrade
        if upgrade is not None and upgrade.lifeline is not None:
            self._poll.register(upgrade.lifeline.fileno(), select.POLLIN)

    # --- the world, as events ----------------------------------------------------------------------------------------

    def install_signals(self) -> None:
        """From now on signals wake ``wait``."""
        signals.install(self._wakeup.writer)

    def watch(self, watcher: Watcher) -> None:
        """Let a child tell of changed files."""
        inherited = (*self._private(), watcher.reader, *self._listeners.descriptors())
        watcher.pid = forks.fork(lambda: watcher.run(self._pid), inherited)
        watcher.close_writer()
        self._watcher = watcher
        self._poll.register(watcher.reader, select.POLLIN)

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wait(self, until: float | None) -> list[ev.Event]:
        """Wait for the kernel; then everything that has happened: pulses, orders, messages, deaths."""
        logs.flush()
        timeout = None if until is None else max(0, math.ceil((until - time.monotonic()) * 1000))
        ready = {fd for fd, _ in self._poll.poll(timeout)}
        events: list[ev.Event] = self._pulses()
        if self._wakeup.reader in ready:
            events += [ev.SignalReceived(order, name) for order, name in signals.orders(self._wakeup.take())]
        for unborn in [unborn for unborn in self._unborn if unborn.mailbox.fileno() in ready]:
            events += self._births(unborn)
        for pid, child in self._children.items():
            if child.mailbox.fileno() in ready:
                events += self._mail(pid, child)
            if child.witness in ready:
                events += self._hear(pid, child)
        events += self._changes(ready)
        events += self._word(ready)
        events += self._reap()
        return events

    def _mail(self, pid: int, child: Child) -> list[ev.Event]:
        fd = child.mailbox.fileno()
        events = [event for message in child.mailbox.receive() if (event := child.translate(pid, message)) is not None]
        self._accept_witness(child)
        if child.mailbox.at_eof:
            self._poll.unregister(fd)
        return events

    def _accept_witness(self, child: Child) -> None:
        """A worker has sent the reading end of the pipe into which it writes its stacks."""
        while child.mailbox.descriptors:
            fd = child.mailbox.descriptors.popleft()
            if child.witness >= 0:
                os.close(fd)
                continue
            os.set_blocking(fd, False)
            child.witness = fd
            if child.slot >= 0:  # a mold is heard at its end
                self._poll.register(fd, select.POLLIN)

    def _hear(self, pid: int, child: Child) -> list[ev.Event]:
        """What it says; all of it is there, since it does not wait for us while it writes."""
        try:
            data = os.read(child.witness, _WITNESS_CHUNK)
        except BlockingIOError:
            return []
        if not data:
            self._dismiss_witness(child)
            return []
        return [ev.WorkerTestified(pid, data.decode(errors="replace"))]

    def _dismiss_witness(self, child: Child) -> None:
        if child.witness >= 0:
            if child.slot >= 0:
                self._poll.unregister(child.witness)
            os.close(child.witness)
            child.witness = -1

    def _births(self, unborn: Unborn) -> list[ev.Event]:
        """What became of an order to a mold."""
        fd, order = unborn.mailbox.fileno(), unborn.order
        messages = unborn.mailbox.receive()
        for index, message in enumerate(messages):
            match message:
                case {"kind": "born", "pid": int(pid)}:
                    self._unborn.remove(unborn)
                    child = self._children[pid] = Child(order.slot, unborn.mailbox)
                    events: list[ev.Event] = [ev.Spawned(pid, order.slot, order.number, order.generation)]
                    events += [e for rest in messages[index + 1 :] if (e := child.translate(pid, rest)) is not None]
                    self._accept_witness(child)
                    if child.mailbox.at_eof:
                        self._poll.unregister(fd)
                    return events
                case {"kind": "unborn", "reason": str(reason)}:
                    unborn.why = reason
        if not unborn.mailbox.at_eof:
            return []
        self._unborn.remove(unborn)
        self._poll.unregister(fd)
        unborn.mailbox.close()
        return [ev.SpawnFailed(order.generation, unborn.why, order.slot)]

    def _word(self, ready: set[int]) -> list[ev.Event]:
        """What our predecessor says."""
        lifeline = self._upgrade.lifeline if self._upgrade is not None else None
        if self._upgrade is None or lifeline is None or lifeline.fileno() not in ready:
            return []
        fd = lifeline.fileno()
        events = self._upgrade.words()
        if lifeline.at_eof:
            self._poll.unregister(fd)
        return events

    def _pulses(self) -> list[ev.Event]:
        return [event for pid, child in self._children.items() if (event := self._pulse(pid, child)) is not None]

    def _pulse(self, pid: int, child: Child) -> ev.PulseSeen | None:
        reading = self._board.read(child.slot) if child.slot >= 0 else None
        if reading is None or reading.sequence == child.last_beat:
            return None
        child.last_beat = reading.sequence
        return ev.PulseSeen(pid, reading.beat_ns / 1e9, reading.connections, reading.in_flight, reading.served)

    def _changes(self, ready: set[int]) -> list[ev.Event]:
        watcher = self._watcher
        if watcher is None or watcher.reader not in ready:
            return []
        paths = watcher.read()
        if watcher.is_closed:
            self._poll.unregister(watcher.reader)
        return [ev.FilesChanged(tuple(paths))] if paths else []

    def _reap(self) -> list[ev.Event]:
        """Every child that has ended, whoever's it was: as pid 1 we inherit strangers."""
        events: list[ev.Event] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return events
            if pid == 0:
                return events
            if pid not in self._children:
                for unborn in list(self._unborn):  # its birth was told before it died, perhaps just now
                    events += self._births(unborn)
            events += self._bury(pid)
            killer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            events.append(
                ev.ChildExited(
                    pid,
                    code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
                    signal=killer,
                    core_dumped=os.WIFSIGNALED(status) and os.WCOREDUMP(status),
                    oom_killed=killer == Signals.SIGKILL and self._oom.has_risen(),
                    peak_memory=usage.ru_maxrss * _MEMORY_UNIT,
                )
            )

    def _bury(self, pid: int) -> list[ev.Event]:
        """What a dead worker had still to say, before its slot and mailbox are free again."""
        child = self._children.get(pid)
        if child is None:
            if self._watcher is not None and pid == self._watcher.pid:
                log.error("the file watcher ended: changes are no longer noticed", extra={"event": "watcher_ended"})
            return []
        events: list[ev.Event] = [] if child.mailbox.at_eof else self._mail(pid, child)
        pulse = self._pulse(pid, child)
        if pulse is not None:
            events.append(pulse)
        if child.witness >= 0:
            events += self._hear(pid, child)
            self._dismiss_witness(child)
        if not child.mailbox.at_eof:
            self._poll.unregister(child.mailbox.fileno())
        child.mailbox.close()
        if child.slot >= 0:
            self._board.clear(child.slot)
        del self._children[pid]
        return events

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
                return self._order(action)
            case act.Spawn():
                return self._spawn(action)
            case act.SpawnMold():
                return self._spawn_mold(action)
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
                return self._start_successor(upgrade)
            case act.OfferLead(pid):
                self._children[pid].mailbox.send({"kind": "lead"})
                return ev.LeadOffered(pid)
            case act.DismissSuccessor(pid):
                self._children[pid].mailbox.send({"kind": "leave"})
                return ev.SuccessorDismissed(pid)
            case act.StepDown(pid, taken):
                self._notifier.hand_over(pid)
                self._listeners.hand_over(taken)
                self._children[pid].mailbox.send({"kind": "released"})
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
        child = self._children.get(pid)
        if child is not None and number in (Signals.SIGTERM, Signals.SIGQUIT):
            hurry = {"quick": True} if number is Signals.SIGQUIT else {}
            child.mailbox.send({"kind": "leave", "reason": _WORDS.get(reason, "recycle"), **hurry})
        _kill(pid, number)
        return ev.Signalled(pid, number, reason)

    def _examine(self, pid: int) -> ev.Examined:
        finding, can_tell = examine(pid)
        if can_tell:
            _kill(pid, Signals.SIGUSR2)
        child = self._children.get(pid)
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

    # --- children ----------------------------------------------------------------------------------------------------

    def _mailboxes(self) -> list[Mailbox]:
        """All that lead to children, to workers not born yet, and to a predecessor."""
        found = [child.mailbox for child in self._children.values()] + [unborn.mailbox for unborn in self._unborn]
        lifeline = self._upgrade.lifeline if self._upgrade is not None else None
        return found if lifeline is None else [*found, lifeline]

    def _reopen(self, pid: int) -> None:
        child = self._children.get(pid)
        if child is not None and child.translate is from_mold:
            child.mailbox.send({"kind": "reopen"})
        else:
            _kill(pid, Signals.SIGUSR1)

    def _private(self) -> tuple[int, ...]:
        """What no child may keep: a sibling's mailbox end would hide the death of the arbiter from that sibling. Asked
        anew for each fork, since a number that was closed may be another descriptor by now."""
        mailboxes = [mailbox.fileno() for mailbox in self._mailboxes()]
        watcher = [self._watcher.reader] if self._watcher is not None and not self._watcher.is_closed else []
        ours = [self._wakeup.reader, self._wakeup.writer, *self._notifier.descriptors()]
        if self._daemon is not None and self._daemon.writer >= 0:
            ours.append(self._daemon.writer)
        witnesses = [child.witness for child in self._children.values() if child.witness >= 0]
        return (*mailboxes, *witnesses, *watcher, *ours)

    def _spawn(self, order: act.Spawn) -> ev.Event:
        self._hooks.call("pre_fork", order)
        self._board.clear(order.slot)
        try:
            ours, theirs = open_pair()
        except OSError as error:
            return ev.SpawnFailed(order.generation, error.strerror or str(error))
        spec = self._spec(order, theirs, ours)
        try:
            pid = forks.fork(lambda: process.run(spec))
        except OSError as error:
            ours.close()
            return ev.SpawnFailed(order.generation, error.strerror or str(error))
        finally:
            theirs.close()
        self._adopt(pid, Child(order.slot, Mailbox(ours, takes_descriptors=True)))
        return ev.Spawned(pid, order.slot, order.number, order.generation)

    def _spec(self, order: act.Spawn | act.SpawnMold, theirs: socket.socket, ours: socket.socket) -> WorkerSpec:
        return WorkerSpec(
            slot=order.slot if isinstance(order, act.Spawn) else -1,
            number=order.number if isinstance(order, act.Spawn) else 0,
            generation=order.generation,
            config=order.config,
            listeners=self._listeners.of(order.generation),
            board=self._board,
            mailbox=theirs,
            arbiter_pid=self._pid,
            inherited=(*self._private(), ours.fileno(), *self._listeners.others(order.generation)),
            tls=self._credentials.of(order.generation),
        )

    def _adopt(self, pid: int, child: Child) -> None:
        self._children[pid] = child
        self._poll.register(child.mailbox.fileno(), select.POLLIN)

    def _spawn_mold(self, order: act.SpawnMold) -> ev.Event:
        """From now on orphans among our descendants are ours: the workers that a mold makes are forked twice."""
        forks.adopt_orphans()
        try:
            ours, theirs = open_pair()
        except OSError as error:
            return ev.SpawnFailed(order.generation, error.strerror or str(error))
        spec = MoldSpec(self._spec(order, theirs, ours), forks.fork_twice)
        try:
            pid = forks.fork(lambda: mold.run(spec))
        except OSError as error:
            ours.close()
            return ev.SpawnFailed(order.generation, error.strerror or str(error))
        finally:
            theirs.close()
        self._adopt(pid, Child(-1, Mailbox(ours, takes_descriptors=True), from_mold))
        return ev.MoldSpawned(pid, order.generation)

    def _order(self, order: act.Spawn) -> ev.Event:
        """Let a mold fork a worker: it gets the worker's end of a new mailbox."""
        self._hooks.call("pre_fork", order)
        self._board.clear(order.slot)
        child = self._children.get(order.mold)
        try:
            ours, theirs = open_pair()
        except OSError as error:
            return ev.SpawnFailed(order.generation, error.strerror or str(error), order.slot)
        with theirs:
            message = {"kind": "fork", "slot": order.slot, "number": order.number}
            if child is None or not child.mailbox.send_with(message, [theirs.fileno()]):
                ours.close()
                return ev.SpawnFailed(order.generation, "its mold takes no orders", order.slot)
        unborn = Unborn(order, Mailbox(ours, takes_descriptors=True))
        self._unborn.append(unborn)
        self._poll.register(unborn.mailbox.fileno(), select.POLLIN)
        return ev.SpawnOrdered(order.slot, order.number, order.generation, order.mold)

    # --- upgrade -----------------------------------------------------------------------------------------------------

    def _start_successor(self, upgrade: Upgrade) -> ev.Event:
        try:
            pid, mailbox = upgrade.start(self._pid)
        except OSError as error:
            return ev.SuccessorRefused(error.strerror or str(error))
        self._adopt(pid, Child(-1, mailbox, from_successor))
        return ev.SuccessorStarted(pid)

    def close(self) -> None:
        """At the end: give the signals back and close what is left."""
        signals.restore()
        if self._watcher is not None and self._watcher.pid:
            _kill(self._watcher.pid, Signals.SIGTERM)
        for mailbox in self._mailboxes():
            mailbox.close()
        for child in self._children.values():
            self._dismiss_witness(child)
        self._listeners.keep(None)
        self._notifier.close()
        self._wakeup.close()


def _kill(pid: int, number: Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it is dead already, and its exit is on its way to us
    except PermissionError as error:
        log.error("cannot send %s to pid=%d: %s", number.name, pid, error, extra={"event": "signal_refused"})
