"""What facts about single workers mean."""

from __future__ import annotations

import pytest

from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import Phase, Reason, WorkerState
from asgi_arbiter.config.errors import ExitCode
from tests.fleet_support import FAILURE, Story, booting, kill

# The first generation


def test_the_first_worker_that_serves_makes_the_service_run_and_the_last_makes_it_ready() -> None:
    story = booting(workers=2)
    first, second = story.pids()
    story.later(0.4).see(ev.WorkerReady(first))
    assert story.fleet.phase is Phase.RUNNING and not story.said("ready")
    story.see(ev.WorkerReady(second))
    (ready,) = story.said("ready")
    assert ready.text.startswith("ready: 2 workers in 400 ms, listening on http://127.0.0.1:8000")
    assert len(story.hooks("worker_ready")) == 2


# Leaving unasked


def test_a_worker_that_somebody_else_told_to_leave_is_replaced_after_a_moment() -> None:
    story = Story.serving(workers=2)
    pid = story.pids()[0]
    story.see(ev.WorkerLeft(pid))
    assert story.handle(pid).state is WorkerState.DRAINING
    assert story.handle(pid).reason is Reason.OWN_ACCORD
    assert story.orders() == []  # our own SIGTERM may be on its way, if the whole group got one
    assert len(story.spawns(story.later(0.2).orders())) == 1


def test_a_term_to_the_whole_group_spawns_nobody() -> None:
    story = Story.serving(workers=2)
    story.see(*(ev.WorkerLeft(pid) for pid in story.pids())).signal(Order.STOP)
    orders = story.obey()
    assert story.spawns(orders) == [] and story.signals(orders) == []


def test_draining_because_we_asked_is_no_news() -> None:
    story = Story.serving(workers=1).signal(Order.STOP)
    story.obey()
    story.see(ev.WorkerLeft(story.pids()[0]))
    assert story.said("worker_left") == []


def test_a_failure_after_ready_is_a_crash() -> None:
    story = Story.serving(workers=1)
    pid = story.pids()[0]
    story.see(ev.WorkerFailed(pid, ExitCode.FAILED, "the loop broke"), ev.ChildExited(pid, code=1))
    assert len(story.fleet.crashes) == 1
    assert story.spawns(story.orders()) == [(1, 1)]


# Pulse


def test_who_beats_is_never_stuck() -> None:
    story = Story.serving(workers=1, timeout=3.0)
    for _ in range(20):
        story.later(2.9)
    assert story.pids(WorkerState.SERVING)


def test_an_old_beat_is_not_a_new_one() -> None:
    story = Story.serving(workers=1, timeout=3.0)
    pid = story.pids()[0]
    story.now += 3.0
    story.see(ev.PulseSeen(pid, story.now - 3.0, served=7), ev.TimePassed())
    assert story.handle(pid).state is WorkerState.STUCK
    assert story.handle(pid).served == 7


def test_a_slow_boot_is_not_judged_by_the_pulse() -> None:
    story = booting(workers=1, timeout=3.0, boot_timeout=120.0)
    story.silence(100.0)
    assert story.pids(WorkerState.BOOTING)


def test_without_a_timeout_nobody_is_judged() -> None:
    story = Story.serving(workers=1, timeout=0.0)
    story.silence(1e6)
    assert story.pids(WorkerState.SERVING)
    assert story.fleet.next_deadline() is None


def test_nobody_is_judged_for_the_time_in_which_we_slept() -> None:
    story = Story.serving(workers=2, timeout=3.0)
    story.now += 3600.0
    story.see(ev.Overslept(3597.0), ev.TimePassed())
    assert len(story.pids(WorkerState.SERVING)) == 2
    story.silence(3.0)
    assert len(story.pids(WorkerState.STUCK)) == 2


def test_boots_and_drains_get_back_the_time_in_which_we_slept() -> None:
    story = Story.serving(workers=2, graceful_timeout=10.0, kill_timeout=5.0)
    story.signal(Order.FEWER).obey()
    story.now += 1000.0
    story.see(ev.Overslept(990.0), ev.TimePassed())
    assert story.signals(story.orders()) == []
    assert len(story.signals(story.later(5.0).obey())) == 1


def test_a_retiring_worker_that_was_stuck_retires_still() -> None:
    story = Story.serving(workers=1, timeout=3.0)
    pid = story.pids()[0]
    story.see(ev.WorkerRetiring(pid, "memory")).silence(3.0)
    assert story.handle(pid).state is WorkerState.STUCK
    story.see(ev.PulseSeen(pid, story.now))
    assert story.handle(pid).state is WorkerState.RETIRING


# Strangers and contradictions


@pytest.mark.parametrize(
    "event",
    [
        ev.ChildExited(999),
        ev.WorkerReady(999),
        ev.WorkerRetiring(999, "memory"),
        ev.WorkerLeft(999),
        ev.WorkerFailed(999, *FAILURE),
        ev.PulseSeen(999, 1.0),
        ev.Examined(999, ""),
    ],
    ids=lambda event: type(event).__name__,
)
def test_facts_about_strangers_change_nothing(event: ev.Event) -> None:
    story = Story.serving(workers=1)
    story.see(event)
    assert story.orders() == [] and story.fleet.contradictions == []


def test_what_cannot_happen_is_told_and_counted_and_changes_nothing() -> None:
    story = Story.serving(workers=1)
    story.see(ev.WorkerReady(story.pids()[0]))
    assert len(story.fleet.contradictions) == 1
    assert story.said("contradiction")
    assert story.pids(WorkerState.SERVING)


def test_every_exit_is_offered_to_the_hook() -> None:
    story = Story.serving(workers=1)
    kill(story, story.pids()[0])
    assert len(story.hooks("child_exit")) == 1


def test_requests_of_workers_that_are_gone_stay_counted() -> None:
    story = Story.serving(workers=2)
    first, second = story.pids()
    story.see(ev.PulseSeen(first, story.now + 1, served=30), ev.PulseSeen(second, story.now + 1, served=12))
    kill(story, first)
    assert story.fleet.total_served() == 42
