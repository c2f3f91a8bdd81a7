"""A story for the arbiter's machine: given this ledger, when these facts, then these orders. No processes, no time."""

from __future__ import annotations

from signal import Signals
from typing import Any

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.fleet import Fleet
from asgi_arbiter.arbiter.ledger import WorkerHandle
from asgi_arbiter.arbiter.plan import plan
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import MoldState, Reason, WorkerState
from asgi_arbiter.config.errors import ExitCode

__all__ = ["FAILURE", "Story", "booting", "kill"]

FAILURE = (ExitCode.APP_IMPORT, "no module named 'mian'", "Traceback ...")
"""What a worker says that cannot import the application."""

_QUIET = (act.Notify, act.AdoptSettings)


class Story:
    """A fleet, a clock that only ``later`` moves, and a kernel that obeys."""

    def __init__(self, *, slots: int = 64, watchdog: float = 0.0, leads: bool = True, **rules: Any) -> None:
        self.now = 100.0
        self.rules = Rules(**rules)
        config: Any = None
        self.fleet = Fleet(
            config,
            self.rules,
            now=self.now,
            slots=slots,
            addresses=("http://127.0.0.1:8000",),
            watchdog=watchdog,
            leads=leads,
        )
        self.remarks: list[act.Remark] = []
        self.next_pid = 1

    @classmethod
    def serving(cls, **options: Any) -> Story:
        """All workers that were asked for serve."""
        story = cls(**options)
        story.obey()
        story.ready_all()
        story.obey()
        return story

    # --- facts

    def see(self, *events: ev.Event) -> Story:
        for event in events:
            self.fleet.observe(event, self.now)
            self.remarks += self.fleet.take_remarks()
        return self

    def later(self, seconds: float) -> Story:
        """Time passes, in which every loop that turns beats."""
        self.now += seconds
        for handle in self.fleet.workers(WorkerState.SERVING, WorkerState.RETIRING):
            self.see(ev.PulseSeen(handle.pid, self.now))
        return self.see(ev.TimePassed())

    def silence(self, seconds: float) -> Story:
        """Time passes, in which no loop beats."""
        self.now += seconds
        return self.see(ev.TimePassed())

    def signal(self, order: Order) -> Story:
        return self.see(ev.SignalReceived(order, order.name))

    def mold_all(self) -> Story:
        """Every mold has imported the application."""
        molds = [mold for mold in self.fleet.molds.values() if mold.state is MoldState.IMPORTING]
        return self.see(*(ev.MoldReady(mold.pid) for mold in molds))

    def bear_all(self) -> Story:
        """Every worker that a mold was told to fork is born."""
        for request in list(self.fleet.requests.values()):
            self.next_pid += 1
            self.see(ev.Spawned(self.next_pid, request.slot, request.number, request.generation))
        return self

    def ready_all(self) -> Story:
        return self.see(*(ev.WorkerReady(handle.pid) for handle in self.fleet.workers(WorkerState.BOOTING)))

    # --- orders

    def orders(self) -> list[act.Action]:
        """What is planned, without what is only told."""
        planned = plan(self.fleet, self.now)
        assert planned == plan(self.fleet, self.now)
        return [action for action in planned if not isinstance(action, _QUIET)]

    def obey(self) -> list[act.Action]:
        """Carry out everything; the orders that were given, without what is only told."""
        done: list[act.Action] = []
        while actions := plan(self.fleet, self.now):
            if any(isinstance(action, act.Finish) for action in actions):
                return [*done, *actions]
            for action in actions:
                self.see(self.answer(action))
            done += [action for action in actions if not isinstance(action, _QUIET)]
            assert len(done) < 1000, "a plan without end"
        return done

    def answer(self, action: act.Action) -> ev.Event:
        config: Any = None
        match action:
            case act.Spawn() if action.mold:
                return ev.SpawnOrdered(action.slot, action.number, action.generation, action.mold)
            case act.SpawnMold():
                self.next_pid += 1
                return ev.MoldSpawned(self.next_pid, action.generation)
            case act.Spawn():
                self.next_pid += 1
                return ev.Spawned(self.next_pid, action.slot, action.number, action.generation)
            case act.Signal():
                return ev.Signalled(action.pid, action.signal, action.reason)
            case act.Examine():
                return ev.Examined(action.pid, "it is burning CPU")
            case act.LoadConfig():
                return ev.ConfigLoaded(config, self.rules)
            case act.OpenListeners():
                return ev.ListenersOpened(action.generation, ("http://127.0.0.1:8000",))
            case act.CloseListeners():
                return ev.ListenersClosed(action.keep)
            case act.AdoptSettings():
                return ev.SettingsAdopted(action.generation)
            case act.ReopenLogs():
                return ev.LogsReopened()
            case act.Notify():
                return ev.Notified(action.notice)
            case act.PetWatchdog():
                return ev.WatchdogPetted()
            case act.StartSuccessor():
                self.next_pid += 1
                return ev.SuccessorStarted(self.next_pid)
            case act.OfferLead():
                return ev.LeadOffered(action.pid)
            case act.DismissSuccessor():
                return ev.SuccessorDismissed(action.pid)
            case act.StepDown():
                return ev.SteppedDown(action.pid)
            case act.ReportReadiness():
                return ev.ReadinessReported()
            case act.TakeLead():
                return ev.LeadTaken()
            case act.ReclaimSockets():
                return ev.SocketsReclaimed()
        raise AssertionError(action)

    # --- questions

    def pids(self, *states: WorkerState, gen: int = 0) -> list[int]:
        return [h.pid for h in self.fleet.workers(*states) if gen in (0, h.generation)]

    def handle(self, pid: int) -> WorkerHandle:
        return self.fleet.handles[pid]

    def said(self, event: str) -> list[act.Say]:
        return [remark for remark in self.remarks if isinstance(remark, act.Say) and remark.event == event]

    def hooks(self, name: str) -> list[act.CallHook]:
        return [remark for remark in self.remarks if isinstance(remark, act.CallHook) and remark.hook == name]

    @staticmethod
    def spawns(actions: list[act.Action]) -> list[tuple[int, int]]:
        """``(generation, number)`` of each worker to be spawned."""
        return [(a.generation, a.number) for a in actions if isinstance(a, act.Spawn)]

    @staticmethod
    def signals(actions: list[act.Action]) -> list[tuple[int, Signals, Reason]]:
        return [(a.pid, a.signal, a.reason) for a in actions if isinstance(a, act.Signal)]

    # --- turns of the plot

    def reloading(self) -> Story:
        """A reload has begun and its canary boots."""
        self.signal(Order.RELOAD)
        self.obey()
        return self

    def rolling(self) -> Story:
        """... and the canary has settled."""
        self.reloading().ready_all()
        return self.later(self.rules.settle_time)


def booting(**options: Any) -> Story:
    """All workers that were asked for are forked, and none is ready."""
    story = Story(**options)
    story.obey()
    return story


def kill(story: Story, pid: int, signal: int = 9) -> None:
    story.see(ev.ChildExited(pid, signal=signal))
