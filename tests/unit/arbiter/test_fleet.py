"""The ledger: questions, deadlines, and states that change by table only."""

from __future__ import annotations

from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.policy import look_interval
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import Phase, WorkerState
from tests.fleet_support import Story


def test_every_change_of_state_is_traced_in_one_place() -> None:
    story = Story.serving(workers=1)
    texts = [say.text for say in story.said("state_changed")]
    assert texts == ["worker=1 gen=1 pid=2 BOOTING --READY--> SERVING", "arbiter STARTING --SERVED--> RUNNING"]


def test_remarks_are_taken_once() -> None:
    story = Story(workers=1)
    story.fleet.observe(ev.SignalReceived(Order.STOP, "SIGTERM"), story.now)
    assert story.fleet.take_remarks()
    assert story.fleet.take_remarks() == []


def test_workers_are_listed_oldest_first() -> None:
    story = Story.serving(workers=2)
    story.later(1.0).signal(Order.MORE)
    story.obey()
    assert story.pids() == sorted(story.pids())
    assert story.pids(WorkerState.BOOTING) == [max(story.pids())]


def test_an_idle_fleet_wakes_only_to_read_the_pulses() -> None:
    story = Story.serving(workers=4, timeout=30.0)
    assert story.fleet.next_deadline() == story.now + look_interval(30.0) == story.now + 3.0


def test_a_boot_is_waited_for_until_its_timeout() -> None:
    story = Story(workers=1, boot_timeout=120.0)
    story.obey()
    assert story.fleet.next_deadline() == story.now + 120.0


def test_without_a_boot_timeout_a_boot_is_waited_for_until_something_happens() -> None:
    story = Story(workers=1, boot_timeout=0.0)
    story.obey()
    assert story.fleet.next_deadline() is None


def test_the_settling_of_the_canary_is_a_deadline() -> None:
    story = Story.serving(workers=1, timeout=0.0, settle_time=2.5).reloading().ready_all()
    assert story.fleet.next_deadline() == story.now + 2.5


def test_a_held_restart_is_a_deadline_and_then_no_longer() -> None:
    story = Story.serving(workers=2, timeout=0.0)
    story.see(ev.ChildExited(story.pids()[0], signal=9))
    story.obey()
    story.see(ev.ChildExited(story.pids(WorkerState.BOOTING)[0], signal=9))
    assert story.fleet.next_deadline() == story.now + 0.25
    story.later(0.25)
    assert story.fleet.crash_hold_until == 0.0


def test_the_watchdog_is_a_deadline_only_while_it_may_be_petted() -> None:
    story = Story.serving(workers=1, timeout=0.0, watchdog=7.0)
    assert story.fleet.next_deadline() == story.now + 7.0
    story.see(ev.ChildExited(story.pids()[0], signal=9))
    assert story.fleet.next_deadline() is None


def test_slots_of_workers_that_drain_are_not_free() -> None:
    story = Story.serving(workers=2, slots=4).signal(Order.STOP)
    story.obey()
    assert story.fleet.free_slots() == [2, 3]


def test_the_wish_of_a_trial_is_the_current_one_and_of_a_roll_the_new_one() -> None:
    story = Story.serving(workers=2)
    story.rules = type(story.rules)(workers=5)
    story.reloading()
    assert story.fleet.wish == 2
    story.ready_all().later(1.0)
    assert story.fleet.wish == 5


def test_a_phase_that_cannot_take_a_fact_keeps() -> None:
    from asgi_arbiter.arbiter.states import PhaseFact

    story = Story(workers=1)
    story.fleet.move_phase(PhaseFact.EMPTY)
    assert story.fleet.phase is Phase.STARTING and story.fleet.contradictions


def test_a_generation_that_cannot_take_a_fact_keeps() -> None:
    from asgi_arbiter.arbiter.states import GenerationFact, GenerationState

    story = Story(workers=1)
    story.fleet.move_generation(story.fleet.current(), GenerationFact.SETTLED)
    assert story.fleet.current().state is GenerationState.CURRENT and story.fleet.contradictions
