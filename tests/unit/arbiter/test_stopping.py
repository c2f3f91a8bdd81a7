"""What the operator's signals mean."""

from __future__ import annotations

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import Phase
from tests.fleet_support import Story


@pytest.mark.parametrize(
    ("orders", "phase"),
    [
        ([Order.STOP], Phase.DRAINING),
        ([Order.INTERRUPT], Phase.STOPPING),
        ([Order.QUIT], Phase.STOPPING),
        ([Order.STOP, Order.STOP], Phase.KILLING),
        ([Order.STOP, Order.INTERRUPT], Phase.KILLING),
        ([Order.STOP, Order.QUIT], Phase.STOPPING),
        ([Order.INTERRUPT, Order.INTERRUPT], Phase.KILLING),
        ([Order.QUIT, Order.QUIT], Phase.STOPPING),
        ([Order.QUIT, Order.STOP], Phase.KILLING),
    ],
    ids=str,
)
def test_each_further_stop_hurries(orders: list[Order], phase: Phase) -> None:
    story = Story.serving(workers=1)
    for order in orders:
        story.signal(order).later(0.5)
    assert story.fleet.phase is phase


def test_the_same_signal_forwarded_by_a_wrapper_counts_once() -> None:
    story = Story.serving(workers=1).signal(Order.INTERRUPT).later(0.05).signal(Order.INTERRUPT)
    assert story.fleet.phase is Phase.STOPPING


def test_a_stop_during_the_boot_is_obeyed() -> None:
    story = Story(workers=2)
    story.obey()
    story.signal(Order.STOP)
    assert len(story.signals(story.orders())) == 2
    assert story.fleet.phase is Phase.DRAINING


def test_with_a_drain_delay_the_service_serves_on_for_it() -> None:
    story = Story.serving(workers=2, drain_delay=5.0).signal(Order.STOP)
    assert story.fleet.phase is Phase.DELAYING and story.orders() == []
    story.see(ev.ChildExited(story.pids()[0], signal=9))
    assert len(story.spawns(story.obey())) == 1
    assert story.fleet.next_deadline() == story.now + 5.0 or story.fleet.next_deadline() is not None
    story.later(5.0)
    assert story.fleet.phase is Phase.DRAINING


def test_a_second_stop_skips_the_delay() -> None:
    story = Story.serving(workers=1, drain_delay=60.0).signal(Order.STOP).later(1.0).signal(Order.STOP)
    assert story.fleet.phase is Phase.DRAINING


def test_a_stop_tells_its_beginning_and_its_end() -> None:
    story = Story.serving(workers=2).signal(Order.STOP)
    assert "gracefully" in story.said("shutdown_begun")[0].text
    story.obey()
    story.later(2.0).see(*(ev.ChildExited(pid) for pid in story.pids()))
    assert story.said("shutdown_finished")[0].text == "stopped in 2.0 s"


def test_one_worker_is_the_least() -> None:
    story = Story.serving(workers=1).signal(Order.FEWER)
    assert story.fleet.wish == 1 and story.said("workers_unchanged")
    assert story.hooks("nworkers_changed") == []


def test_the_number_of_workers_is_told_to_the_hook() -> None:
    story = Story.serving(workers=2).signal(Order.MORE)
    assert story.hooks("nworkers_changed") == [act.CallHook("nworkers_changed", (3, 2))]


def test_more_workers_than_there_is_room_for_are_refused() -> None:
    story = Story.serving(workers=4, slots=10).signal(Order.MORE)
    assert story.fleet.wish == 4 and story.said("workers_refused")


def test_more_workers_during_a_roll_are_more_new_ones() -> None:
    story = Story.serving(workers=2).rolling().signal(Order.MORE)
    candidate = story.fleet.candidate()
    assert candidate is not None and candidate.wish == 3


def test_a_resized_terminal_is_no_reason_to_stop_the_workers() -> None:
    assert Story.serving(workers=2).signal(Order.EMPTY).orders() == []


def test_a_daemon_can_be_emptied_and_filled_again() -> None:
    story = Story.serving(workers=2, daemon=True).signal(Order.EMPTY)
    assert len(story.signals(story.obey())) == 2
    for pid in story.pids():
        story.see(ev.ChildExited(pid))
    assert story.orders() == []
    story.signal(Order.MORE)
    assert len(story.spawns(story.orders())) == 1


def test_a_reload_fills_an_emptied_daemon() -> None:
    story = Story.serving(workers=2, daemon=True).signal(Order.EMPTY)
    story.obey()
    story.rolling()
    story.obey()
    assert story.fleet.wish == 2


def test_a_successor_that_is_relieved_stops_once() -> None:
    story = Story.serving(workers=1, leads=False).see(ev.Relieved())
    assert story.fleet.phase is Phase.DRAINING
    story.later(5).see(ev.Relieved())
    assert story.fleet.phase is Phase.DRAINING
