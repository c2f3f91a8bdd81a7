"""What the arbiter hears, with the kernel's calls replaced: nothing here forks, kills or waits."""

from __future__ import annotations

import json
import os
from signal import Signals

import pytest

from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter import forks
from asgi_arbiter.arbiter.signals import Order as Meaning
from asgi_arbiter.worker.mailbox import Mailbox
from asgi_arbiter.worker.pulse import PulsePhase
from tests.kernel_support import Kernel, Order, Rig


def test_signals_become_orders(rig: Rig) -> None:
    os.write(rig.senses._wakeup.writer, bytes([Signals.SIGHUP, Signals.SIGCHLD, Signals.SIGTERM]))
    assert rig.now() == [ev.SignalReceived(Meaning.STOP, "SIGTERM"), ev.SignalReceived(Meaning.RELOAD, "SIGHUP")]
    assert rig.now() == []


def test_messages_become_events(rig: Rig) -> None:
    rig.worker(7).sendall(b'{"kind": "ready"}\n{"kind": "nonsense"}\nnot json\n')
    assert rig.now() == [ev.WorkerReady(7)]


def test_a_mailbox_that_is_closed_does_not_spin(rig: Rig) -> None:
    rig.worker(7).close()
    assert rig.now() == []
    assert rig.senses._poll.poll(0) == []


def test_a_beat_is_seen_once(rig: Rig) -> None:
    rig.worker(7, slot=3)
    rig.board.writer(3).beat(phase=PulsePhase.SERVING, connections=5, in_flight=2, served=9, now_ns=1_500_000_000)
    assert rig.now() == [ev.PulseSeen(7, 1.5, 5, 2, 9)]
    assert rig.now() == []


def test_the_last_words_of_a_dead_worker_come_before_its_death(rig: Rig, kernel: Kernel) -> None:
    rig.worker(7, slot=3).sendall(json.dumps({"kind": "failed", "code": 4, "reason": "no module"}).encode() + b"\n")
    rig.board.writer(3).beat(phase=PulsePhase.SERVING, served=9, now_ns=1_500_000_000)
    kernel.dead.append((7, 4 << 8))
    kinds = [type(event) for event in rig.now()]
    assert kinds == [ev.PulseSeen, ev.WorkerFailed, ev.ChildExited]
    assert rig.board.read(3) is None
    assert rig.senses.children == {}


@pytest.mark.parametrize(
    ("status", "code", "killer", "core"),
    [(0, 0, 0, False), (3 << 8, 3, 0, False), (9, 0, 9, False), (139, 0, 11, True)],
)
def test_a_status_is_decoded(rig: Rig, kernel: Kernel, status: int, code: int, killer: int, core: bool) -> None:
    kernel.dead.append((99, status))
    (event,) = rig.now()
    assert isinstance(event, ev.ChildExited)
    assert (event.pid, event.code, event.signal, event.core_dumped) == (99, code, killer, core)
    assert event.peak_memory > 2**20


def test_all_the_dead_are_reaped_strangers_too(rig: Rig, kernel: Kernel) -> None:
    kernel.dead += [(50, 0), (51, 0), (0, 0)]
    assert [event.pid for event in rig.now() if isinstance(event, ev.ChildExited)] == [50, 51]


# Molds


def test_a_worker_of_a_mold_exists_when_it_says_so_itself(order: Order, kernel: Kernel) -> None:
    worker = order.give()
    assert order.rig.effects.wait(0) == []
    worker.send({"kind": "born", "pid": 501})
    worker.send({"kind": "ready"})
    assert order.rig.effects.wait(0) == [ev.Spawned(501, 3, 2, 1), ev.WorkerReady(501)]
    worker.send({"kind": "leaving"})
    assert order.rig.effects.wait(0) == [ev.WorkerLeft(501)]
    worker.close()


def test_a_worker_that_was_born_and_died_since_we_looked_is_no_stranger(order: Order, kernel: Kernel) -> None:
    worker = order.give()
    worker.send({"kind": "born", "pid": 501})
    worker.close()
    kernel.dead.append((501, 9))
    events = order.rig.senses._reap()
    assert events[0] == ev.Spawned(501, 3, 2, 1)
    assert isinstance(events[1], ev.ChildExited) and events[1].pid == 501
    assert order.rig.senses.unborn == [] and 501 not in order.rig.senses.children


def test_a_fork_that_a_mold_cannot_make_is_answered_with_the_reason(order: Order, kernel: Kernel) -> None:
    worker = order.give()
    worker.send({"kind": "unborn", "reason": "Cannot allocate memory"})
    worker.close()
    assert order.rig.effects.wait(0) == [ev.SpawnFailed(1, "Cannot allocate memory", 3)]


def test_the_death_of_a_mold_answers_its_orders(order: Order, kernel: Kernel) -> None:
    order.give().close()
    assert order.rig.effects.wait(0) == [ev.SpawnFailed(1, "its mold has ended", 3)]


# Molds that rear their workers


@pytest.fixture
def reared(rig: Rig) -> Order:
    """The mold 500, whose workers are its own children; the first is 501."""
    return Order(rig, rears=True)


def born(order: Order) -> Mailbox:
    worker = order.give()
    worker.send({"kind": "born", "pid": 501})
    order.rig.now()
    return worker


def test_a_death_that_a_mold_reports_is_a_death_with_its_last_words(reared: Order, kernel: Kernel) -> None:
    worker = born(reared)
    worker.send({"kind": "failed", "code": 5, "reason": "no broker"})
    worker.close()
    reared.mold.send({"kind": "ended", "pid": 501, "status": 5 << 8, "peak": 1000})
    failed, exited = reared.rig.now()
    assert isinstance(failed, ev.WorkerFailed)
    assert isinstance(exited, ev.ChildExited) and (exited.pid, exited.code) == (501, 5) and exited.peak_memory >= 1000
    assert reared.rig.now() == []


def test_a_death_is_reported_before_the_birth_was_heard_of(reared: Order) -> None:
    worker = reared.give()
    worker.send({"kind": "born", "pid": 501})
    reared.mold.send({"kind": "ended", "pid": 501, "status": 9, "peak": 0})
    events = reared.rig.senses._mail(500, reared.rig.senses.children[500])
    assert [type(event) for event in events] == [ev.Spawned, ev.ChildExited]
    worker.close()


def test_a_death_of_which_the_mold_could_not_learn_more_is_one_of_unknown_code(reared: Order) -> None:
    born(reared).close()
    assert reared.rig.now() == []  # its mailbox has ended, but the mold will say how
    reared.mold.send({"kind": "ended", "pid": 501, "status": None, "peak": 0})
    assert reared.rig.now() == [ev.ChildExited(501, code=ev.ChildExited.UNKNOWN)]


def test_workers_outlive_their_mold_and_the_end_of_a_mailbox_is_a_death_then(reared: Order, kernel: Kernel) -> None:
    worker = born(reared)
    kernel.dead.append((500, 9))
    assert [event.pid for event in reared.rig.now() if isinstance(event, ev.ChildExited)] == [500]
    assert reared.rig.now() == [] and 501 in reared.rig.senses.children
    worker.close()
    assert reared.rig.now() == [ev.ChildExited(501, code=ev.ChildExited.UNKNOWN)]
    assert reared.rig.now() == []


def test_a_pid_that_is_gone_is_a_death_even_if_its_mailbox_lives_on_in_a_child_of_its_own(
    reared: Order, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = born(reared)
    kernel.dead.append((500, 9))
    reared.rig.now()
    monkeypatch.setattr(forks, "exists", lambda pid: False)
    assert reared.rig.now() == [ev.ChildExited(501, code=ev.ChildExited.UNKNOWN)]
    worker.close()


def test_only_such_a_mold_is_believed_about_deaths(rig: Rig) -> None:
    rig.worker(7)
    theirs = rig.worker(8)
    theirs.sendall(b'{"kind": "ended", "pid": 7, "status": 0, "peak": 0}\n')
    assert rig.now() == [] and 7 in rig.senses.children
