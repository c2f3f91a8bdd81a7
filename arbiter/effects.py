"""The only file that forks, signals and reaps. Each order goes in, what came of it comes out.

Rules: nothing here decides. Signals are blocked across a fork and let in again on both sides, so that none is lost and
none runs a handler of the wrong process. An order that fails in an unforeseen way is logged and answered as refused: an
error of ours in one order must not end the service. Nothing waits but ``Effects.wait``.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING, NoReturn

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import BindError, ConfigError, ExitCode
from asgi_arbiter.worker import process
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.orders import Dismissed
from asgi_arbiter.worker.process import WorkerSpec
from asgi_arbiter.worker.pulse import PulseBoard

from . import actions as act
from . import events as ev
from . import signals
from .answers import refused, translated
from .evidence import examine
from .hooks import Hooks
from .listeners import ListenerSet, urls
from .notify import Notifier
from .oom import OomCounter
from .states import Reason

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

    from .reloader import Watcher

__all__ = ["Child", "Daemon", "Effects", "Wakeup", "daemonize", "detach"]

log = logging.getLogger("asgi_arbiter.arbiter")

_WORDS = {Reason.SHUTDOWN: "shutdown", Reason.SUPERSEDED: "reload", Reason.REJECTED: "reload"}
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


class Wakeup:
    """The pipe into which Python writes the number of each signal."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)

    def take(self) -> bytes:
        """The signals that came since the last time."""
        try:
            return os.read(self.reader, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """After the handlers are gone."""
        os.close(self.reader)
        os.close(self.writer)


class Child:
    """The kernel's side of a worker: what the ledger need not know."""

    def __init__(self, slot: int, mailbox: Mailbox) -> None:
        self.slot = slot
        self.mailbox = mailbox
        self.last_beat = 0


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
        daemon: Daemon | None = None,
    ) -> None:
        self._load = load
        self._listeners = listeners
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

    # --- the world, as events ----------------------------------------------------------------------------------------

    def install_signals(self) -> None:
        """From now on signals wake ``wait``."""
        signals.install(self._wakeup.writer)

    def watch(self, watcher: Watcher) -> None:
        """Let a child tell of changed files."""
        inherited = (*self._private(), watcher.reader, *self._listeners.descriptors())
        watcher.pid = self._fork(lambda: watcher.run(self._pid), inherited)
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
        for pid, child in self._children.items():
            if child.mailbox.fileno() in ready:
                events += self._mail(pid, child)
        events += self._changes(ready)
        events += self._reap()
        return events

    def _mail(self, pid: int, child: Child) -> list[ev.Event]:
        fd = child.mailbox.fileno()
        events = [event for message in child.mailbox.receive() if (event := translated(pid, message)) is not None]
        if child.mailbox.at_eof:
            self._poll.unregister(fd)
        return events

    def _pulses(self) -> list[ev.Event]:
        return [event for pid, child in self._children.items() if (event := self._pulse(pid, child)) is not None]

    def _pulse(self, pid: int, child: Child) -> ev.PulseSeen | None:
        reading = self._board.read(child.slot)
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
        if not child.mailbox.at_eof:
            self._poll.unregister(child.mailbox.fileno())
        child.mailbox.close()
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
            case act.Spawn():
                return self._spawn(action)
            case act.Signal(pid, number, reason):
                return self._signal(pid, number, reason)
            case act.Examine(pid):
                return ev.Examined(pid, examine(pid))
            case act.LoadConfig():
                return self._load_config()
            case act.OpenListeners(generation, config):
                return self._open(generation, config)
            case act.CloseListeners(keep):
                self._listeners.keep(keep)
                return ev.ListenersClosed(keep)
        return self._tell(action)

    def _tell(self, action: act.Action) -> ev.Event:
        """The orders that change nothing but what others know."""
        match action:
            case act.AdoptSettings(generation, config):
                logs.configure(config, identity="arbiter")
                self._hooks.adopt(config)
                return ev.SettingsAdopted(generation)
            case act.ReopenLogs(pids):
                logs.reopen()
                for pid in pids:
                    _kill(pid, Signals.SIGUSR1)
                return ev.LogsReopened()
            case act.Notify(notice):
                self._notifier.tell(notice)
                return ev.Notified(notice)
            case act.PetWatchdog():
                self._notifier.pet()
                return ev.WatchdogPetted()
        raise AssertionError(f"{action} is no order for the kernel; the loop ends at Finish")

    def _signal(self, pid: int, number: Signals, reason: Reason) -> ev.Signalled:
        child = self._children.get(pid)
        if child is not None and number in (Signals.SIGTERM, Signals.SIGQUIT):
            child.mailbox.send({"kind": "leave", "reason": _WORDS.get(reason, "recycle")})
        _kill(pid, number)
        return ev.Signalled(pid, number, reason)

    def _load_config(self) -> ev.Event:
        try:
            return self._load()
        except ConfigError as error:
            return ev.ConfigRejected(str(error))

    def _open(self, generation: int, config: Config) -> ev.Event:
        try:
            opened = self._listeners.open(generation, config)
        except BindError as error:
            return ev.ListenersRefused(generation, str(error))
        return ev.ListenersOpened(generation, urls(opened, config))

    # --- children ----------------------------------------------------------------------------------------------------

    def _private(self) -> tuple[int, ...]:
        """What no child may keep: a sibling's mailbox end would hide the death of the arbiter from that sibling. Asked
        anew for each fork, since a number that was closed may be another descriptor by now."""
        mailboxes = [child.mailbox.fileno() for child in self._children.values()]
        watcher = [self._watcher.reader] if self._watcher is not None and not self._watcher.is_closed else []
        ours = [self._wakeup.reader, self._wakeup.writer, *self._notifier.descriptors()]
        if self._daemon is not None and self._daemon.writer >= 0:
            ours.append(self._daemon.writer)
        return (*mailboxes, *watcher, *ours)

    def _spawn(self, order: act.Spawn) -> ev.Event:
        self._hooks.call("pre_fork", order)
        self._board.clear(order.slot)
        try:
            ours, theirs = open_pair()
        except OSError as error:
            return ev.SpawnFailed(order.generation, error.strerror or str(error))
        spec = WorkerSpec(
            slot=order.slot,
            number=order.number,
            generation=order.generation,
            config=order.config,
            listeners=self._listeners.of(order.generation),
            board=self._board,
            mailbox=theirs,
            arbiter_pid=self._pid,
            inherited=(*self._private(), ours.fileno(), *self._listeners.others(order.generation)),
        )
        try:
            pid = self._fork(lambda: process.run(spec), ())
        except OSError as error:
            ours.close()
            return ev.SpawnFailed(order.generation, error.strerror or str(error))
        finally:
            theirs.close()
        child = Child(order.slot, Mailbox(ours))
        self._children[pid] = child
        self._poll.register(child.mailbox.fileno(), select.POLLIN)
        return ev.Spawned(pid, order.slot, order.number, order.generation)

    def _fork(self, live: Callable[[], int], inherited: tuple[int, ...]) -> int:
        """Fork a child that does ``live`` and ends with what it returns. ``live`` lets signals in when it can."""
        logs.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _live(live, inherited)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def close(self) -> None:
        """At the end: give the signals back and close what is left."""
        signals.restore()
        if self._watcher is not None and self._watcher.pid:
            _kill(self._watcher.pid, Signals.SIGTERM)
        for child in self._children.values():
            child.mailbox.close()
        self._listeners.keep(None)
        self._notifier.close()
        self._wakeup.close()


def _live(live: Callable[[], int], inherited: tuple[int, ...]) -> NoReturn:
    """The child's whole life. It never returns into the arbiter's code."""
    code: int = ExitCode.FAILED
    try:
        for fd in inherited:
            os.close(fd)
        code = live()
    except Dismissed:
        code = ExitCode.OK  # told to leave at the very moment in which it was leaving anyway
    except BaseException:  # nothing may escape into the parent's stack
        log.exception("a child failed in an unforeseen way", extra={"event": "child_failed"})
    finally:
        os._exit(code)


def _kill(pid: int, number: Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it is dead already, and its exit is on its way to us
    except PermissionError as error:
        log.error("cannot send %s to pid=%d: %s", number.name, pid, error, extra={"event": "signal_refused"})


# --- daemon -----------------------------------------------------------------------------------------------------------


class Daemon:
    """The way back from a daemon to the command that started it, which waits for the outcome of the boot."""

    def __init__(self, writer: int) -> None:
        self.writer = writer

    def report(self, code: int) -> None:
        """Let the command end with ``code``. Only the first report counts."""
        if self.writer >= 0:
            try:
                os.write(self.writer, bytes([code]))
            except OSError:
                pass  # the command was interrupted meanwhile
            os.close(self.writer)
            self.writer = -1


def daemonize() -> Daemon:
    """Go into the background: a session of its own, and no way to a terminal ever again (hence two forks). The command
    stays until ``Daemon.report``; standard streams stay open until ``detach``."""
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        outcome = os.read(reader, 1)
        os._exit(outcome[0] if outcome else ExitCode.FAILED)
    os.close(reader)
    os.setsid()
    if os.fork() != 0:
        os._exit(ExitCode.OK)
    return Daemon(writer)


def detach() -> None:
    """Let go of the terminal: the standard streams lead nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
