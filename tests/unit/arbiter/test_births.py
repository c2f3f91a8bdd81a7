"""How children are made, with the kernel's calls replaced: nothing here forks."""

from __future__ import annotations

import errno
import os
import signal
from signal import Signals

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import births as module
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.forks import Daemon
from tests.kernel_support import CONFIG, Kernel, Order, Rig


def test_a_fork_gives_a_worker_with_a_mailbox(rig: Rig) -> None:
    rig.listeners.open(1, CONFIG)
    assert rig.effects.do(act.Spawn(2, 1, 1, CONFIG)) == [ev.Spawned(4711, 2, 1, 1)]
    assert rig.senses.children[4711].slot == 2


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_refused_fork_is_an_answer_and_leaves_nothing_open(rig: Rig, kernel: Kernel, number: int) -> None:
    def refuse() -> int:
        raise OSError(number, os.strerror(number))

    rig.listeners.open(1, CONFIG)
    kernel.fork = refuse
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    (answer,) = rig.effects.do(act.Spawn(2, 1, 1, CONFIG))
    assert isinstance(answer, ev.SpawnFailed) and answer.error.startswith(os.strerror(number))
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


def test_a_descriptor_that_was_closed_is_not_closed_in_the_next_worker(rig: Rig) -> None:
    """Its number may belong to that worker's own mailbox by then."""
    reader, writer = os.pipe()
    daemon = rig.births._daemon = Daemon(writer)
    assert writer in rig.births._private()
    daemon.report(0)
    assert writer not in rig.births._private()
    os.close(reader)


def test_a_worker_closes_every_end_that_is_not_its_own(rig: Rig) -> None:
    rig.worker(7)
    rig.worker(8)
    private = rig.births._private()
    mailboxes = {child.mailbox.fileno() for child in rig.senses.children.values()}
    assert mailboxes | {rig.senses._wakeup.reader, rig.senses._wakeup.writer} == set(private)


def test_an_order_to_a_mold_that_is_gone_is_refused_at_once(rig: Rig, kernel: Kernel) -> None:
    assert rig.effects.do(act.Spawn(3, 2, 1, CONFIG, 500)) == [ev.SpawnFailed(1, "its mold takes no orders", 3)]
    assert rig.senses.unborn == []


def test_siblings_do_not_keep_the_mailbox_of_one_that_is_not_born(order: Order) -> None:
    worker = order.give()
    assert order.rig.senses.unborn[0].mailbox.fileno() in order.rig.births._private()
    worker.close()


def test_a_mold_is_a_child_without_a_slot(rig: Rig, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    adopted: list[bool] = []
    monkeypatch.setattr(module.forks, "adopt_orphans", lambda: adopted.append(True))
    rig.listeners.open(1, CONFIG)
    assert rig.effects.do(act.SpawnMold(1, CONFIG)) == [ev.MoldSpawned(4711, 1)]
    assert adopted == [True]
    assert rig.senses._pulses() == []
    rig.listeners.keep(None)


@pytest.mark.parametrize("gives", [True, False])
def test_where_the_kernel_does_not_give_us_orphans_molds_rear_their_workers(
    gives: bool, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.forks, "adopt_orphans", lambda: gives)
    rig.listeners.open(1, CONFIG)
    rig.effects.do(act.SpawnMold(1, CONFIG))
    assert rig.senses.children[4711].rears is not gives
    rig.listeners.keep(None)


@pytest.mark.parametrize("rears", [False, True])
def test_a_worker_knows_which_mold_will_report_its_death(rig: Rig, rears: bool) -> None:
    order = Order(rig, rears=rears)
    order.give().close()
    assert rig.senses.unborn[0].parent == (500 if rears else 0)
