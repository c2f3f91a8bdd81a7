"""The joint between the machine and the kernel."""

from __future__ import annotations

from typing import Any

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.fleet import Fleet
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import WorkerState
from asgi_arbiter.arbiter.turn import carry_out, turn
from tests.sim.kernel import SimKernel

CONFIG: Any = None


def fleet_of(kernel: SimKernel, **rules: Any) -> Fleet:
    return Fleet(CONFIG, Rules(**rules), now=kernel.now(), slots=64)


def test_a_turn_waits_then_observes_then_acts() -> None:
    kernel = SimKernel()
    fleet = fleet_of(kernel, workers=2)
    assert carry_out(fleet, kernel) is None
    assert len(kernel.workers) == 2
    assert turn(fleet, kernel) is None
    assert len(fleet.workers(WorkerState.SERVING)) == 2


def test_a_refused_fork_ends_the_plan_of_this_moment() -> None:
    kernel = SimKernel(forks=iter([False, True, True]))
    carry_out(fleet_of(kernel, workers=2), kernel)
    assert len([order for order in kernel.done if isinstance(order, act.Spawn)]) == 1


def test_oversleeping_is_noticed() -> None:
    kernel = SimKernel()
    fleet = fleet_of(kernel, workers=1, timeout=3.0)
    carry_out(fleet, kernel)
    turn(fleet, kernel)
    kernel.pause = 100.0
    turn(fleet, kernel)
    assert [say.event for say in kernel.said if say.event in ("overslept", "worker_stuck")] == ["overslept"]


def test_being_a_little_late_is_nothing() -> None:
    kernel = SimKernel()
    fleet = fleet_of(kernel, workers=1)
    carry_out(fleet, kernel)
    turn(fleet, kernel)
    kernel.pause = 0.9
    turn(fleet, kernel)
    assert not [say for say in kernel.said if say.event == "overslept"]


def test_the_end_is_handed_over() -> None:
    kernel = SimKernel()
    fleet = fleet_of(kernel, workers=1)
    carry_out(fleet, kernel)
    kernel.send(1.0, ev.SignalReceived(Order.STOP, "SIGTERM"))
    finish = None
    while finish is None:
        finish = turn(fleet, kernel)
    assert finish.reason == "asked to stop"


def test_a_plan_without_end_is_given_up_and_counted() -> None:
    class Forgetful(SimKernel):
        def do(self, action: act.Action) -> list[ev.Event]:
            return []

    kernel = Forgetful()
    fleet = fleet_of(kernel, workers=1)
    assert carry_out(fleet, kernel) is None
    assert fleet.contradictions
