"""Orders to the kernel, with the kernel's calls replaced: nothing here forks, kills or waits."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import select
import signal
import socket
from collections.abc import Iterator
from signal import Signals
from typing import Any

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import effects as module
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.answers import from_mold
from asgi_arbiter.arbiter.effects import Effects
from asgi_arbiter.arbiter.forks import Daemon
from asgi_arbiter.arbiter.hooks import Hooks
from asgi_arbiter.arbiter.kin import Child
from asgi_arbiter.arbiter.listeners import ListenerSet
from asgi_arbiter.arbiter.notify import Notifier
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import Reason
from asgi_arbiter.config import Config
from asgi_arbiter.config.errors import BindError, InvalidSetting
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.pulse import PulseBoard, PulsePhase

CONFIG = Config(bind=("127.0.0.1:0",))


class Kernel:
    """What the effects asked of the operating system."""

    def __init__(self) -> None:
        self.killed: list[tuple[int, int]] = []
        self.dead: list[tuple[int, int]] = []
        self.fork: Any = lambda: 4711

    def kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, number))

    def wait4(self, _pid: int, _options: int) -> tuple[int, int, Any]:
        if not self.dead:
            raise ChildProcessError
        pid, status = self.dead.pop(0)
        return pid, status, resource.getrusage(resource.RUSAGE_SELF)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(module.os, "kill", kernel.kill)
    monkeypatch.setattr(module.os, "wait4", kernel.wait4)
    monkeypatch.setattr(module.os, "fork", lambda: kernel.fork())
    return kernel


class Rig:
    def __init__(self) -> None:
        self.loaded: Any = None
        self.board = PulseBoard(8)
        self.listeners = ListenerSet()
        self.effects = Effects(
            load=self.load,
            listeners=self.listeners,
            board=self.board,
            notifier=Notifier({}, 1),
            hooks=Hooks(CONFIG, 1),
        )
        self.mailboxes: list[Any] = []

    def load(self) -> ev.ConfigLoaded:
        if isinstance(self.loaded, Exception):
            raise self.loaded
        assert isinstance(self.loaded, ev.ConfigLoaded)
        return self.loaded

    def worker(self, pid: int, slot: int = 0) -> Any:
        """A child that was forked earlier; returns its end of the mailbox."""
        ours, theirs = open_pair()
        child = Child(slot, module.Mailbox(ours))
        self.effects._children[pid] = child
        self.effects._poll.register(child.mailbox.fileno(), select.POLLIN)
        self.mailboxes.append(theirs)
        return theirs

    def close(self) -> None:
        for mailbox in self.mailboxes:
            mailbox.close()
        for child in self.effects._children.values():
            child.mailbox.close()
        self.effects._wakeup.close()
        self.listeners.keep(None)


@pytest.fixture
def rig(kernel: Kernel) -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def now(rig: Rig) -> list[ev.Event]:
    return rig.effects.wait(rig.effects.now())


# Waiting


def test_signals_become_orders(rig: Rig) -> None:
    os.write(rig.effects._wakeup.writer, bytes([Signals.SIGHUP, Signals.SIGCHLD, Signals.SIGTERM]))
    assert now(rig) == [ev.SignalReceived(Order.STOP, "SIGTERM"), ev.SignalReceived(Order.RELOAD, "SIGHUP")]
    assert now(rig) == []


def test_messages_become_events(rig: Rig) -> None:
    rig.worker(7).sendall(b'{"kind": "ready"}\n{"kind": "nonsense"}\nnot json\n')
    assert now(rig) == [ev.WorkerReady(7)]


def test_a_mailbox_that_is_closed_does_not_spin(rig: Rig) -> None:
    rig.worker(7).close()
    assert now(rig) == []
    assert rig.effects._poll.poll(0) == []


def test_a_beat_is_seen_once(rig: Rig) -> None:
    rig.worker(7, slot=3)
    rig.board.writer(3).beat(phase=PulsePhase.SERVING, connections=5, in_flight=2, served=9, now_ns=1_500_000_000)
    assert now(rig) == [ev.PulseSeen(7, 1.5, 5, 2, 9)]
    assert now(rig) == []


def test_the_last_words_of_a_dead_worker_come_before_its_death(rig: Rig, kernel: Kernel) -> None:
    rig.worker(7, slot=3).sendall(json.dumps({"kind": "failed", "code": 4, "reason": "no module"}).encode() + b"\n")
    rig.board.writer(3).beat(phase=PulsePhase.SERVING, served=9, now_ns=1_500_000_000)
    kernel.dead.append((7, 4 << 8))
    kinds = [type(event) for event in now(rig)]
    assert kinds == [ev.PulseSeen, ev.WorkerFailed, ev.ChildExited]
    assert rig.board.read(3) is None
    assert rig.effects._children == {}


@pytest.mark.parametrize(
    ("status", "code", "killer", "core"),
    [(0, 0, 0, False), (3 << 8, 3, 0, False), (9, 0, 9, False), (139, 0, 11, True)],
)
def test_a_status_is_decoded(rig: Rig, kernel: Kernel, status: int, code: int, killer: int, core: bool) -> None:
    kernel.dead.append((99, status))
    (event,) = now(rig)
    assert isinstance(event, ev.ChildExited)
    assert (event.pid, event.code, event.signal, event.core_dumped) == (99, code, killer, core)
    assert event.peak_memory > 2**20


def test_all_the_dead_are_reaped_strangers_too(rig: Rig, kernel: Kernel) -> None:
    kernel.dead += [(50, 0), (51, 0), (0, 0)]
    assert [event.pid for event in now(rig) if isinstance(event, ev.ChildExited)] == [50, 51]


# Orders


def test_a_signal_comes_after_its_reason(rig: Rig, kernel: Kernel) -> None:
    theirs = rig.worker(7)
    (answer,) = rig.effects.do(act.Signal(7, Signals.SIGTERM, Reason.SUPERSEDED))
    assert answer == ev.Signalled(7, Signals.SIGTERM, Reason.SUPERSEDED)
    assert json.loads(theirs.recv(1000)) == {"kind": "leave", "reason": "reload"}
    assert kernel.killed == [(7, Signals.SIGTERM)]


@pytest.mark.parametrize("error", [ProcessLookupError(), PermissionError(errno.EPERM, "no")])
def test_a_worker_that_cannot_be_signalled_counts_as_signalled(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(_pid: int, _number: int) -> None:
        raise error

    monkeypatch.setattr(module.os, "kill", fail)
    assert rig.effects.do(act.Signal(7, Signals.SIGKILL, Reason.SHUTDOWN)) == [
        ev.Signalled(7, Signals.SIGKILL, Reason.SHUTDOWN)
    ]


def test_a_fork_gives_a_worker_with_a_mailbox(rig: Rig) -> None:
    rig.listeners.open(1, CONFIG)
    assert rig.effects.do(act.Spawn(2, 1, 1, CONFIG)) == [ev.Spawned(4711, 2, 1, 1)]
    assert rig.effects._children[4711].slot == 2


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_refused_fork_is_an_answer_and_leaves_nothing_open(rig: Rig, kernel: Kernel, number: int) -> None:
    def refuse() -> int:
        raise OSError(number, os.strerror(number))

    rig.listeners.open(1, CONFIG)
    kernel.fork = refuse
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    assert rig.effects.do(act.Spawn(2, 1, 1, CONFIG)) == [ev.SpawnFailed(1, os.strerror(number))]
    assert len(os.listdir("/proc/self/fd") if before else []) == len(before)


def test_signals_are_blocked_across_the_fork_and_let_in_again(rig: Rig, kernel: Kernel) -> None:
    masks = []

    def look() -> int:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return 4711

    rig.listeners.open(1, CONFIG)
    kernel.fork = look
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    rig.effects.do(act.Spawn(2, 1, 1, CONFIG))
    assert {Signals.SIGTERM, Signals.SIGINT, Signals.SIGHUP, Signals.SIGCHLD} <= masks[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_settings_are_read_again_or_the_complaint_is_the_answer(rig: Rig) -> None:
    rig.loaded = ev.ConfigLoaded(CONFIG, Rules())
    assert rig.effects.do(act.LoadConfig()) == [rig.loaded]
    rig.loaded = InvalidSetting("asgi-arbiter.toml: workers: nonsense")
    assert rig.effects.do(act.LoadConfig()) == [ev.ConfigRejected("asgi-arbiter.toml: workers: nonsense")]


def test_listeners_are_opened_told_and_closed(rig: Rig) -> None:
    (answer,) = rig.effects.do(act.OpenListeners(1, CONFIG))
    assert isinstance(answer, ev.ListenersOpened) and answer.addresses[0].startswith("http://127.0.0.1:")
    assert rig.effects.do(act.CloseListeners(None)) == [ev.ListenersClosed(None)]


def test_an_address_that_cannot_be_opened_is_an_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BindError("cannot listen on 127.0.0.1:80: permission denied")

    monkeypatch.setattr(rig.listeners, "_bind", fail)
    assert rig.effects.do(act.OpenListeners(2, CONFIG)) == [
        ev.ListenersRefused(2, "cannot listen on 127.0.0.1:80: permission denied")
    ]


def test_an_order_that_fails_in_an_unforeseen_way_is_logged_and_answered(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.loaded = RuntimeError("a bug")
    with caplog.at_level(logging.ERROR, "asgi_arbiter.arbiter"):
        (answer,) = rig.effects.do(act.LoadConfig())
    assert isinstance(answer, ev.ConfigRejected) and "a bug" in answer.complaint
    assert caplog.records[0].event == "effect_failed"  # type: ignore[attr-defined]


def test_log_files_are_opened_anew_everywhere(rig: Rig, kernel: Kernel) -> None:
    assert rig.effects.do(act.ReopenLogs((7, 8))) == [ev.LogsReopened()]
    assert kernel.killed == [(7, Signals.SIGUSR1), (8, Signals.SIGUSR1)]


def test_notices_are_answered(rig: Rig) -> None:
    notice = act.Notice("READY", "fine")
    assert rig.effects.do(act.Notify(notice)) == [ev.Notified(notice)]
    assert rig.effects.do(act.PetWatchdog()) == [ev.WatchdogPetted()]


# Remarks


def test_a_remark_is_a_log_record_with_its_event_its_facts_and_the_traceback(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    say = act.Say("worker_failed", "worker=1 failed: 100 %", logging.ERROR, "Traceback ...\n", {"worker": 1})
    with caplog.at_level(logging.DEBUG, "asgi_arbiter.arbiter"):
        rig.effects.relay(say)
    (record,) = caplog.records
    assert record.getMessage() == "worker=1 failed: 100 %" and record.exc_text == "Traceback ..."
    assert (record.event, record.worker) == ("worker_failed", 1)  # type: ignore[attr-defined]


def test_a_remark_below_the_level_costs_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "asgi_arbiter.arbiter"):
        rig.effects.relay(act.Say("state_changed", "...", logging.DEBUG))
    assert caplog.records == []


def test_a_descriptor_that_was_closed_is_not_closed_in_the_next_worker(rig: Rig) -> None:
    """Its number may belong to that worker's own mailbox by then."""
    reader, writer = os.pipe()
    daemon = rig.effects._daemon = Daemon(writer)
    assert writer in rig.effects._private()
    daemon.report(0)
    assert writer not in rig.effects._private()
    os.close(reader)


def test_a_worker_closes_every_end_that_is_not_its_own(rig: Rig) -> None:
    rig.worker(7)
    rig.worker(8)
    private = rig.effects._private()
    mailboxes = {child.mailbox.fileno() for child in rig.effects._children.values()}
    assert mailboxes | {rig.effects._wakeup.reader, rig.effects._wakeup.writer} == set(private)


# Molds


class Fork:
    """An order to a mold in this process: what the mold got, and the mailbox that came with it."""

    def __init__(self, rig: Rig) -> None:
        ours, theirs = open_pair()
        self.rig = rig
        self.mold = Mailbox(theirs, takes_descriptors=True)
        rig.effects._adopt(500, Child(-1, Mailbox(ours, takes_descriptors=True), from_mold))
        rig.mailboxes.append(self.mold)

    def order(self) -> Mailbox:
        (ordered,) = self.rig.effects.do(act.Spawn(3, 2, 1, CONFIG, 500))
        assert ordered == ev.SpawnOrdered(3, 2, 1, 500)
        assert self.mold.receive() == [{"kind": "fork", "slot": 3, "number": 2}]
        assert self.mold.descriptors is not None
        return Mailbox(socket.socket(fileno=self.mold.descriptors.popleft()))


@pytest.fixture
def fork(rig: Rig) -> Iterator[Fork]:
    fork = Fork(rig)
    yield fork
    for unborn in rig.effects._unborn:
        unborn.mailbox.close()
    fork.mold.close()


def test_a_worker_of_a_mold_exists_when_it_says_so_itself(fork: Fork, kernel: Kernel) -> None:
    worker = fork.order()
    assert fork.rig.effects.wait(0) == []
    worker.send({"kind": "born", "pid": 501})
    worker.send({"kind": "ready"})
    assert fork.rig.effects.wait(0) == [ev.Spawned(501, 3, 2, 1), ev.WorkerReady(501)]
    worker.send({"kind": "leaving"})
    assert fork.rig.effects.wait(0) == [ev.WorkerLeft(501)]
    worker.close()


def test_a_worker_that_was_born_and_died_since_we_looked_is_no_stranger(fork: Fork, kernel: Kernel) -> None:
    worker = fork.order()
    worker.send({"kind": "born", "pid": 501})
    worker.close()
    kernel.dead.append((501, 9))
    events = fork.rig.effects._reap()
    assert events[0] == ev.Spawned(501, 3, 2, 1)
    assert isinstance(events[1], ev.ChildExited) and events[1].pid == 501
    assert fork.rig.effects._unborn == [] and 501 not in fork.rig.effects._children


def test_a_fork_that_a_mold_cannot_make_is_answered_with_the_reason(fork: Fork, kernel: Kernel) -> None:
    worker = fork.order()
    worker.send({"kind": "unborn", "reason": "Cannot allocate memory"})
    worker.close()
    assert fork.rig.effects.wait(0) == [ev.SpawnFailed(1, "Cannot allocate memory", 3)]


def test_the_death_of_a_mold_answers_its_orders(fork: Fork, kernel: Kernel) -> None:
    fork.order().close()
    assert fork.rig.effects.wait(0) == [ev.SpawnFailed(1, "its mold has ended", 3)]


def test_an_order_to_a_mold_that_is_gone_is_refused_at_once(rig: Rig, kernel: Kernel) -> None:
    assert rig.effects.do(act.Spawn(3, 2, 1, CONFIG, 500)) == [ev.SpawnFailed(1, "its mold takes no orders", 3)]
    assert rig.effects._unborn == []


def test_siblings_do_not_keep_the_mailbox_of_one_that_is_not_born(fork: Fork) -> None:
    worker = fork.order()
    assert fork.rig.effects._unborn[0].mailbox.fileno() in fork.rig.effects._private()
    worker.close()


def test_a_mold_is_a_child_without_a_slot(rig: Rig, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    adopted: list[bool] = []
    monkeypatch.setattr(module.forks, "adopt_orphans", lambda: adopted.append(True))
    rig.listeners.open(1, CONFIG)
    assert rig.effects.do(act.SpawnMold(1, CONFIG)) == [ev.MoldSpawned(4711, 1)]
    assert adopted == [True]
    assert rig.effects._pulses() == []
    rig.listeners.keep(None)


def test_a_mold_opens_its_logs_by_a_message_since_it_must_not_be_interrupted(fork: Fork, kernel: Kernel) -> None:
    fork.rig.effects.do(act.ReopenLogs((500, 77)))
    assert fork.mold.receive() == [{"kind": "reopen"}]
    assert kernel.killed == [(77, Signals.SIGUSR1)]


# Upgrades


class Heir:
    """An upgrade whose programs are only noted."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.lifeline: Mailbox | None = None
        ours, theirs = open_pair()
        self.ours, self.theirs = Mailbox(ours), Mailbox(theirs)

    def start(self, pid: int) -> tuple[int, Mailbox]:
        self.done.append(("start", pid == os.getpid()))
        return 600, self.ours

    def tell(self, message: Any) -> None:
        self.done.append(message)

    def take_lead(self) -> None:
        self.done.append("lead")


@pytest.fixture
def heir(rig: Rig) -> Iterator[Heir]:
    heir = Heir()
    rig.effects._upgrade = heir  # type: ignore[assignment]
    yield heir
    heir.ours.close()
    heir.theirs.close()


def test_a_successor_is_started_offered_the_lead_and_left_alone(rig: Rig, heir: Heir, kernel: Kernel) -> None:
    assert rig.effects.do(act.StartSuccessor()) == [ev.SuccessorStarted(600)]
    heir.theirs.send({"kind": "ready"})
    assert rig.effects.wait(0) == [ev.SuccessorReady(600)]
    assert rig.effects.do(act.OfferLead(600)) == [ev.LeadOffered(600)]
    heir.theirs.send({"kind": "leading", "taken": ["127.0.0.1:8000"]})
    assert rig.effects.wait(0) == [ev.SuccessorLeads(600, ("127.0.0.1:8000",))]
    assert rig.effects.do(act.StepDown(600, ())) == [ev.SteppedDown(600)]
    assert rig.effects.do(act.DismissSuccessor(600)) == [ev.SuccessorDismissed(600)]
    assert [message["kind"] for message in heir.theirs.receive()] == ["lead", "released", "leave"]


def test_a_successor_reports_takes_the_lead_and_reclaims(rig: Rig, heir: Heir) -> None:
    assert rig.effects.do(act.ReportReadiness()) == [ev.ReadinessReported()]
    assert rig.effects.do(act.TakeLead()) == [ev.LeadTaken()]
    assert rig.effects.do(act.ReclaimSockets()) == [ev.SocketsReclaimed()]
    assert heir.done == [{"kind": "ready"}, "lead"]


def test_a_process_that_cannot_be_made_is_no_successor(rig: Rig, heir: Heir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> Any:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(heir, "start", refuse)
    assert rig.effects.do(act.StartSuccessor()) == [ev.SuccessorRefused("Resource temporarily unavailable")]
