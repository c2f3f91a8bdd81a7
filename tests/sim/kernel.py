"""``SimKernel``: the world without processes. It has a clock, pids, deaths, mailboxes and pulses, and carries out the
orders of the very same machine that the real arbiter runs.

Each worker lives a ``Life`` that is decided before it is born; the kernel plays it. Time moves only in ``wait``.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from signal import Signals
from typing import Any

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.config.errors import ExitCode

__all__ = ["HEALTHY", "SOUND", "Ancestor", "Cast", "Heir", "Life", "Molded", "SimKernel", "Worker"]


@dataclass(frozen=True)
class Life:
    """What a worker will do. Durations are seconds after the event they belong to; ``inf`` is never."""

    boot: float = 0.3
    """Until it is ready, or until its boot ends otherwise."""
    boot_end: str = "ready"
    """``ready``, ``failed`` (it reports and leaves), ``crash`` or ``hang``."""
    crash: float = math.inf
    """After ready: it dies."""
    stuck: float = math.inf
    """After ready: its loop stops beating ..."""
    stuck_for: float = math.inf
    """... for so long."""
    retire: float = math.inf
    """After ready: it asks for a successor."""
    leave: float = math.inf
    """After ready: it leaves by itself (somebody sent it SIGTERM)."""
    drain: float = 0.2
    """From SIGTERM or SIGQUIT to its exit."""
    abort: float = 0.1
    """From SIGABRT to its exit."""


HEALTHY = Life()


@dataclass(frozen=True)
class Cast:
    """What a mold will do."""

    boot: float = 0.3
    """Until it has imported the application, or until its boot ends otherwise."""
    boot_end: str = "ready"
    """``ready``, ``failed``, ``crash`` or ``hang``."""
    crash: float = math.inf
    """After that: it dies."""
    fork: float = 0.01
    """From an order to a worker; ``inf``: it never obeys."""
    leave: float = 0.01
    """From SIGTERM to its exit."""
    abort: float = 0.1
    """From SIGABRT to its exit."""


SOUND = Cast()


@dataclass(frozen=True)
class Heir:
    """What a successor will do."""

    boot: float = 1.0
    boot_end: str = "ready"
    """``ready``, ``refused`` (cannot be executed), ``crash`` or ``hang``."""
    lead: float = 0.01
    """From the offer to its answer; ``inf``: it dies instead."""
    leave: float = 0.5


@dataclass(frozen=True)
class Ancestor:
    """What the arbiter will do whose successor is simulated."""

    word: str = "lead"
    """Its answer to our readiness: ``lead``, ``leave`` or none (``""``)."""
    delay: float = 0.05
    """From our readiness to the answer."""
    death: float = math.inf
    """From our start to its end, whatever happens."""


@dataclass
class Molded:
    """A mold of the simulation."""

    pid: int
    generation: int
    cast: Cast
    ready: bool = False
    orders: dict[int, act.Spawn] = field(default_factory=dict)
    """By slot."""
    signals: list[Signals] = field(default_factory=list)


@dataclass
class Worker:
    """A process of the simulation."""

    pid: int
    slot: int
    number: int
    generation: int
    life: Life
    born: float
    ready_at: float | None = None
    beat_at: float = 0.0
    signals: list[Signals] = field(default_factory=list)


Happening = tuple[float, int, Callable[[], ev.Event | None]]


class SimKernel:
    """``lives`` yields the life of each next worker; ``loads`` what each reading of the settings gives: ``Rules`` or a
    complaint; ``forks`` whether each next fork works; ``binds`` whether each next opening of listeners does."""

    def __init__(
        self,
        lives: Iterator[Life] | None = None,
        loads: Iterator[Rules | str] | None = None,
        forks: Iterator[bool] | None = None,
        binds: Iterator[bool] | None = None,
        casts: Iterator[Cast] | None = None,
        heirs: Iterator[Heir] | None = None,
        ancestor: Ancestor | None = None,
    ) -> None:
        self.time = 1000.0
        self.workers: dict[int, Worker] = {}
        self.lives = lives if lives is not None else itertools.repeat(HEALTHY)
        self.loads = loads if loads is not None else itertools.repeat(Rules())
        self.forks = forks if forks is not None else itertools.repeat(True)
        self.binds = binds if binds is not None else itertools.repeat(True)
        self.casts = casts if casts is not None else itertools.repeat(SOUND)
        self.heirs = heirs if heirs is not None else itertools.repeat(Heir())
        self.molds: dict[int, Molded] = {}
        self.heir: tuple[int, Heir] | None = None
        self.stepped_down = False
        self.ancestor = ancestor
        self.pids = itertools.count(100)
        self.order = itertools.count()
        self.agenda: list[Happening] = []
        self.done: list[act.Action] = []
        self.said: list[act.Say] = []
        self.hooks: list[act.CallHook] = []
        self.reaped: set[int] = set()
        self.pause = 0.0
        if ancestor is not None:
            self.at(ancestor.death, lambda: ev.PredecessorGone(has_released=False))
        self.after_action: Callable[[act.Action], None] = lambda _action: None

    # --- the world moves ---------------------------------------------------------------------------------------------

    def at(self, delay: float, happening: Callable[[], ev.Event | None]) -> None:
        """Something will happen ``delay`` seconds from now."""
        if delay < math.inf:
            heapq.heappush(self.agenda, (self.time + delay, next(self.order), happening))

    def send(self, delay: float, event: ev.Event) -> None:
        """The arbiter will see ``event``."""
        self.at(delay, lambda: event)

    def kill(self, pid: int, signal: Signals = Signals.SIGKILL) -> None:
        """Somebody kills a worker from outside."""
        self.at(0, lambda: self._die(pid, signal=int(signal)))

    def _birth(self, spawn: act.Spawn) -> Worker:
        worker = Worker(next(self.pids), spawn.slot, spawn.number, spawn.generation, next(self.lives), self.time)
        self.workers[worker.pid] = worker
        life, pid = worker.life, worker.pid
        if life.boot_end == "ready":
            self.at(life.boot, lambda: self._become_ready(worker))
        elif life.boot_end == "failed":
            failure = ev.WorkerFailed(pid, ExitCode.APP_IMPORT, "no module named 'mian'", "Traceback ...")
            self.at(life.boot, lambda: failure if pid in self.workers else None)
            self.at(life.boot + 0.01, lambda: self._die(pid, code=4))
        elif life.boot_end == "crash":
            self.at(life.boot, lambda: self._die(pid, signal=11))
        return worker

    def _become_ready(self, worker: Worker) -> ev.Event | None:
        if worker.pid not in self.workers:
            return None
        life, pid = worker.life, worker.pid
        worker.ready_at = worker.beat_at = self.time
        self.at(life.crash, lambda: self._die(pid, code=1))
        self.at(life.retire, lambda: ev.WorkerRetiring(pid, "max_requests") if pid in self.workers else None)
        self.at(life.leave, lambda: ev.WorkerLeft(pid) if pid in self.workers else None)
        self.at(life.leave + life.drain, lambda: self._die(pid))
        return ev.WorkerReady(pid)

    def _cast(self, order: act.SpawnMold) -> Molded:
        mold = Molded(next(self.pids), order.generation, next(self.casts))
        self.molds[mold.pid] = mold
        cast, pid = mold.cast, mold.pid
        if cast.boot_end == "ready":
            self.at(cast.boot, lambda: self._become_mold(mold))
        elif cast.boot_end == "failed":
            failure = ev.MoldFailed(pid, ExitCode.APP_IMPORT, "no module named 'mian'", "Traceback ...")
            self.at(cast.boot, lambda: failure if pid in self.molds else None)
            self.at(cast.boot + 0.01, lambda: self._die(pid, code=4))
        elif cast.boot_end == "crash":
            self.at(cast.boot, lambda: self._die(pid, signal=11))
        return mold

    def _become_mold(self, mold: Molded) -> ev.Event | None:
        if mold.pid not in self.molds:
            return None
        mold.ready = True
        self.at(mold.cast.crash, lambda: self._die(mold.pid, signal=9))
        return ev.MoldReady(mold.pid, ("1 thread runs",))

    def _order(self, mold: Molded, order: act.Spawn) -> ev.Event:
        mold.orders[order.slot] = order
        self.at(mold.cast.fork, lambda: self._molded(mold, order))
        return ev.SpawnOrdered(order.slot, order.number, order.generation, mold.pid)

    def _molded(self, mold: Molded, order: act.Spawn) -> ev.Event | None:
        if mold.orders.pop(order.slot, None) is None:
            return None
        if not next(self.forks):
            return ev.SpawnFailed(order.generation, "Resource temporarily unavailable", order.slot)
        worker = self._birth(order)
        return ev.Spawned(worker.pid, worker.slot, worker.number, worker.generation)

    def _inherit(self) -> ev.Event:
        heir, pid = next(self.heirs), next(self.pids)
        if heir.boot_end == "refused":
            return ev.SuccessorRefused("No such file or directory")
        self.heir = (pid, heir)
        if heir.boot_end == "ready":
            self.at(heir.boot, lambda: ev.SuccessorReady(pid) if self._is_heir(pid) else None)
        elif heir.boot_end == "crash":
            self.at(heir.boot, lambda: self._die(pid, code=4))
        return ev.SuccessorStarted(pid)

    def _is_heir(self, pid: int) -> bool:
        return self.heir is not None and self.heir[0] == pid

    def _offer(self, pid: int) -> ev.Event:
        if self.heir is not None and self._is_heir(pid):
            lead = self.heir[1].lead
            if lead < math.inf:
                self.at(lead, lambda: ev.SuccessorLeads(pid, ("127.0.0.1:8000",)) if self._is_heir(pid) else None)
            else:
                self.at(0.01, lambda: self._die(pid, signal=9))
        return ev.LeadOffered(pid)

    def _die(self, pid: int, code: int = 0, signal: int = 0) -> ev.Event | None:
        if self._is_heir(pid):
            self.heir = None
        elif (mold := self.molds.pop(pid, None)) is not None:
            for order in mold.orders.values():
                self.send(0.0, ev.SpawnFailed(order.generation, "its mold has ended", order.slot))
            mold.orders.clear()
        elif self.workers.pop(pid, None) is None:
            return None
        self.reaped.add(pid)
        return ev.ChildExited(pid, code, signal)

    def _beat(self, worker: Worker) -> ev.Event | None:
        """Its loop beats once a second while it turns."""
        if worker.ready_at is None:
            return None
        stuck = worker.ready_at + worker.life.stuck
        beat = self.time - (self.time - worker.ready_at) % 1.0
        if stuck <= self.time < stuck + worker.life.stuck_for:
            beat = min(beat, stuck)
        if beat <= worker.beat_at:
            return None
        worker.beat_at = beat
        return ev.PulseSeen(worker.pid, beat, served=int(beat - worker.ready_at))

    # --- what the machine asks for -----------------------------------------------------------------------------------

    def now(self) -> float:
        return self.time

    def wait(self, until: float | None) -> list[ev.Event]:
        """Move to the next happening or to ``until``, whichever is first; then perhaps oversleep."""
        due = self.agenda[0][0] if self.agenda else math.inf
        wake = min(due, math.inf if until is None else until)
        assert wake < math.inf, "the machine waits for ever and nothing will happen"
        self.time = max(self.time, wake) + self.pause
        self.pause = 0.0
        events: list[ev.Event] = []
        while self.agenda and self.agenda[0][0] <= self.time:
            event = heapq.heappop(self.agenda)[2]()
            if event is not None:
                events.append(event)
        events += [beat for worker in self.workers.values() if (beat := self._beat(worker)) is not None]
        return sorted(events, key=lambda event: not isinstance(event, ev.SignalReceived))

    def relay(self, remark: act.Remark) -> None:
        if isinstance(remark, act.Say):
            self.said.append(remark)
        else:
            self.hooks.append(remark)

    def do(self, action: act.Action) -> list[ev.Event]:
        self.done.append(action)
        results = self._do(action)
        self.after_action(action)
        return results

    def _do(self, action: act.Action) -> list[ev.Event]:
        match action:
            case act.Spawn(mold=mold) if mold:
                if mold not in self.molds:
                    return [ev.SpawnFailed(action.generation, "its mold has ended", action.slot)]
                return [self._order(self.molds[mold], action)]
            case act.Spawn(generation=generation):
                if not next(self.forks):
                    return [ev.SpawnFailed(generation, "Resource temporarily unavailable")]
                worker = self._birth(action)
                return [ev.Spawned(worker.pid, worker.slot, worker.number, worker.generation)]
            case act.SpawnMold(generation=generation):
                if not next(self.forks):
                    return [ev.SpawnFailed(generation, "Resource temporarily unavailable")]
                return [ev.MoldSpawned(self._cast(action).pid, generation)]
            case act.Signal(pid, signal, reason):
                self._deliver(pid, signal)
                return [ev.Signalled(pid, signal, reason)]
            case act.Examine(pid):
                self.send(0.05, ev.WorkerTestified(pid, "Thread 1"))
                return [ev.Examined(pid, "blocked in a system call", will_tell=True)]
            case act.LoadConfig():
                loaded: Any = next(self.loads)
                return [ev.ConfigRejected(loaded) if isinstance(loaded, str) else ev.ConfigLoaded(None, loaded)]  # type: ignore[arg-type]
            case act.OpenListeners(generation=generation):
                if not next(self.binds):
                    return [ev.ListenersRefused(generation, "127.0.0.1:8001: address already in use")]
                return [ev.ListenersOpened(generation, ("http://127.0.0.1:8000",))]
            case act.CloseListeners(keep):
                return [ev.ListenersClosed(keep)]
            case act.AdoptSettings(generation=generation):
                return [ev.SettingsAdopted(generation)]
            case act.ReopenLogs():
                return [ev.LogsReopened()]
            case act.Notify(notice):
                return [ev.Notified(notice)]
            case act.PetWatchdog():
                return [ev.WatchdogPetted()]
        return self._succeed(action)

    def _succeed(self, action: act.Action) -> list[ev.Event]:
        match action:
            case act.StartSuccessor():
                return [self._inherit()]
            case act.OfferLead(pid):
                return [self._offer(pid)]
            case act.DismissSuccessor(pid):
                if self.heir is not None and self._is_heir(pid):
                    self.at(self.heir[1].leave, lambda: self._die(pid))
                return [ev.SuccessorDismissed(pid)]
            case act.StepDown(pid):
                assert self._is_heir(pid) or pid in self.reaped, "a lead for nobody"
                self.stepped_down = True
                return [ev.SteppedDown(pid)]
            case act.ReportReadiness():
                assert self.ancestor is not None
                words: dict[str, ev.Event] = {"lead": ev.Appointed(), "leave": ev.Relieved()}
                if self.ancestor.word:
                    self.send(self.ancestor.delay, words[self.ancestor.word])
                return [ev.ReadinessReported()]
            case act.TakeLead():
                return [ev.LeadTaken()]
            case act.ReclaimSockets():
                return [ev.SocketsReclaimed()]
        raise AssertionError(action)

    def _deliver(self, pid: int, signal: Signals) -> None:
        if self._is_heir(pid):
            if signal is Signals.SIGHUP:
                assert self.stepped_down
                return
            assert signal is Signals.SIGKILL
            self.at(0.001, lambda: self._die(pid, signal=9))
            return
        mold = self.molds.get(pid)
        if mold is not None:
            mold.signals.append(signal)
            delay = {Signals.SIGTERM: mold.cast.leave, Signals.SIGABRT: mold.cast.abort}.get(signal, 0.001)
            self.at(delay, lambda: self._die(pid, signal=0 if signal is Signals.SIGTERM else int(signal)))
            return
        worker = self.workers.get(pid)
        if worker is None:
            return
        worker.signals.append(signal)
        if signal in (Signals.SIGTERM, Signals.SIGQUIT):
            self.at(0.01, lambda: ev.WorkerLeft(pid) if pid in self.workers else None)
            self.at(worker.life.drain, lambda: self._die(pid))
        elif signal is Signals.SIGABRT:
            self.at(worker.life.abort, lambda: self._die(pid, signal=6))
        elif signal is Signals.SIGKILL:
            self.at(0.001, lambda: self._die(pid, signal=9))
