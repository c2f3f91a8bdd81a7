"""Given this ledger, these orders: how many workers, which leave, in which order."""

from __future__ import annotations

from signal import Signals

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import Phase, Reason, WorkerState
from asgi_arbiter.config.errors import ExitCode
from tests.fleet_support import Story


def test_at_the_start_all_wished_workers_boot_at_once() -> None:
    story = Story(workers=4)
    orders = story.orders()
    assert story.spawns(orders) == [(1, 1), (1, 2), (1, 3), (1, 4)]
    assert sorted(order.slot for order in orders if isinstance(order, act.Spawn)) == [0, 1, 2, 3]


def test_when_all_serve_there_is_nothing_to_do() -> None:
    assert Story.serving(workers=4).orders() == []


def test_a_dead_worker_is_replaced_and_the_number_is_used_again() -> None:
    story = Story.serving(workers=3)
    dead = story.pids()[1]
    story.see(ev.ChildExited(dead, signal=9))
    assert story.spawns(story.orders()) == [(1, 2)]


def test_a_worker_that_asks_for_a_successor_serves_until_that_serves() -> None:
    story = Story.serving(workers=2)
    old = story.pids()[0]
    story.see(ev.WorkerRetiring(old, "max_requests"))
    assert story.spawns(story.obey()) == [(1, 3)]
    assert story.orders() == []
    story.ready_all()
    assert story.signals(story.orders()) == [(old, Signals.SIGTERM, Reason.LIMIT)]


def test_workers_that_all_ask_at_once_are_replaced_one_at_a_time() -> None:
    story = Story.serving(workers=3)
    old = story.pids()
    story.see(*(ev.WorkerRetiring(pid, "memory") for pid in old))
    left = []
    for _ in old:
        assert len(story.spawns(story.obey())) == 1
        assert len(story.fleet.living()) <= 4
        story.ready_all()
        left += [pid for pid, _, _ in story.signals(story.orders())]
    assert left == old


def test_recycle_surge_allows_more_in_transit() -> None:
    story = Story.serving(workers=3, recycle_surge=2)
    story.see(*(ev.WorkerRetiring(pid, "memory") for pid in story.pids()))
    assert len(story.spawns(story.orders())) == 2


def test_a_successor_that_cannot_boot_keeps_the_old_worker_serving() -> None:
    story = Story.serving(workers=2)
    story.see(ev.WorkerRetiring(story.pids()[0], "memory"))
    story.obey()
    story.see(ev.ChildExited(story.pids(WorkerState.BOOTING)[0], signal=11))
    assert len(story.fleet.serving()) == 2
    assert story.signals(story.orders()) == []


def test_one_worker_more_is_spawned_and_one_fewer_is_the_oldest() -> None:
    story = Story.serving(workers=2)
    oldest = story.pids()[0]
    story.signal(Order.MORE)
    assert story.spawns(story.obey()) == [(1, 3)]
    story.ready_all().signal(Order.FEWER)
    assert story.signals(story.orders()) == [(oldest, Signals.SIGTERM, Reason.SURPLUS)]


def test_a_surplus_worker_that_still_boots_leaves_before_one_that_serves() -> None:
    story = Story.serving(workers=2)
    story.signal(Order.MORE)
    story.obey()
    booting = story.pids(WorkerState.BOOTING)[0]
    story.signal(Order.FEWER)
    assert story.signals(story.orders()) == [(booting, Signals.SIGTERM, Reason.SURPLUS)]


def test_a_boot_that_takes_too_long_is_aborted() -> None:
    story = Story.serving(workers=2, boot_timeout=20.0)
    story.see(ev.ChildExited(story.pids()[0], signal=9))
    story.obey()
    booting = story.pids(WorkerState.BOOTING)[0]
    assert story.later(19.9).orders() == []
    assert story.signals(story.later(0.1).orders()) == [(booting, Signals.SIGABRT, Reason.BOOT_TIMEOUT)]


def test_who_does_not_die_of_an_abort_is_killed() -> None:
    story = Story.serving(workers=2, boot_timeout=20.0, abort_timeout=2.0)
    story.see(ev.ChildExited(story.pids()[0], signal=9))
    story.obey()
    booting = story.pids(WorkerState.BOOTING)[0]
    story.later(20.0).obey()
    killed = story.signals(story.later(2.0).orders())
    assert (booting, Signals.SIGKILL, Reason.BOOT_TIMEOUT) in killed
    story.obey()
    assert booting not in [pid for pid, _, _ in story.signals(story.later(600.0).orders())]


def test_a_stuck_worker_is_examined_and_its_replacement_boots_before_it_is_aborted() -> None:
    story = Story.serving(workers=2, timeout=10.0)
    stuck, fine = story.pids()
    story.now += 10.0
    story.see(ev.PulseSeen(fine, story.now), ev.TimePassed())
    assert story.handle(stuck).state is WorkerState.STUCK
    first = story.obey()
    assert act.Examine(stuck) in first
    assert story.spawns(first) == [(1, 3)] and story.signals(first) == []
    story.ready_all()
    assert story.signals(story.orders()) == [(stuck, Signals.SIGABRT, Reason.STALE_PULSE)]


def test_a_stuck_worker_does_not_wait_for_ever_for_its_replacement() -> None:
    story = Story.serving(workers=1, timeout=10.0)
    (stuck,) = story.pids()
    story.silence(10.0).obey()
    assert story.signals(story.orders()) == []
    assert story.signals(story.silence(10.0).orders()) == [(stuck, Signals.SIGABRT, Reason.STALE_PULSE)]


def test_a_stuck_worker_that_turns_again_stays_and_the_oldest_leaves_for_its_replacement() -> None:
    story = Story.serving(workers=1, timeout=10.0)
    (stuck,) = story.pids()
    story.silence(10.0).obey()
    story.see(ev.PulseSeen(stuck, story.now + 1))
    assert story.handle(stuck).state is WorkerState.SERVING
    story.ready_all()
    assert story.signals(story.orders()) == [(stuck, Signals.SIGTERM, Reason.SURPLUS)]


def test_a_drain_that_takes_too_long_is_ended_by_a_kill() -> None:
    story = Story.serving(workers=2, graceful_timeout=30.0, kill_timeout=5.0)
    story.signal(Order.FEWER).obey()
    (leaving,) = story.pids(WorkerState.DRAINING)
    assert story.signals(story.later(34.9).orders()) == []
    assert story.signals(story.later(0.1).obey()) == [(leaving, Signals.SIGKILL, Reason.SURPLUS)]


def test_without_a_free_slot_nobody_is_spawned() -> None:
    story = Story(workers=4, slots=3)
    assert len(story.spawns(story.orders())) == 3


def test_a_reload_asks_for_settings_then_for_listeners_then_for_one_canary() -> None:
    story = Story.serving(workers=3)
    story.signal(Order.RELOAD)
    assert story.orders() == [act.LoadConfig()]
    story.see(story.answer(act.LoadConfig()))
    (opening,) = story.orders()
    assert isinstance(opening, act.OpenListeners) and opening.generation == 2
    story.see(story.answer(opening))
    assert story.spawns(story.orders()) == [(2, 1)]


def test_no_old_worker_leaves_before_the_canary_has_settled() -> None:
    story = Story.serving(workers=2, settle_time=1.0).reloading().ready_all()
    assert story.later(0.9).orders() == []
    assert story.signals(story.later(0.1).orders()) == [(story.pids()[0], Signals.SIGTERM, Reason.SUPERSEDED)]


def test_a_roll_retires_one_old_worker_for_each_new_one_and_never_serves_with_fewer_than_wished() -> None:
    story = Story.serving(workers=3).rolling()
    for _ in range(20):
        story.obey()
        assert len(story.fleet.serving()) >= 3
        assert len(story.fleet.living()) <= 4
        story.ready_all()
    assert {handle.generation for handle in story.fleet.living()} == {2}
    assert len(story.fleet.serving()) == 3


def test_reload_surge_trades_memory_for_time() -> None:
    story = Story.serving(workers=4, reload_surge=3).rolling()
    assert len(story.spawns(story.obey())) == 3  # the canary's old worker left, so: 4 + 3 - 4


def test_a_current_worker_that_dies_while_the_canary_is_tried_is_replaced_with_old_settings() -> None:
    story = Story.serving(workers=2).reloading()
    story.see(ev.ChildExited(story.pids(gen=1)[0], signal=9))
    assert story.spawns(story.orders()) == [(1, 1)]


def test_a_current_worker_that_dies_during_the_roll_is_replaced_by_a_new_one() -> None:
    story = Story.serving(workers=3).rolling()
    story.obey()
    story.see(ev.ChildExited(story.pids(WorkerState.SERVING, gen=1)[0], signal=9))
    assert {generation for generation, _ in story.spawns(story.orders())} == {2}


def test_a_current_worker_that_still_boots_when_the_roll_begins_is_not_waited_for() -> None:
    story = Story.serving(workers=2).reloading()
    story.see(ev.ChildExited(story.pids(gen=1)[0], signal=9))
    story.obey()
    (refill,) = story.pids(WorkerState.BOOTING, gen=1)
    story.see(ev.WorkerReady(story.pids(gen=2)[0]))
    story.later(1.0)
    assert (refill, Signals.SIGTERM, Reason.SUPERSEDED) in story.signals(story.orders())


def test_after_a_rejection_in_mid_roll_candidates_serve_until_the_old_generation_stands_again() -> None:
    story = Story.serving(workers=3).rolling()
    story.obey()
    story.ready_all()
    story.obey()
    failing = story.pids(WorkerState.BOOTING, gen=2)[0]
    story.see(ev.WorkerFailed(failing, ExitCode.LIFESPAN, "no database"))
    assert story.fleet.phase is Phase.RUNNING
    while story.pids(WorkerState.SERVING, gen=2):
        story.obey()
        assert len(story.fleet.serving()) >= 3
        story.ready_all()
    assert len(story.pids(WorkerState.SERVING, gen=1)) == 3


def test_candidates_that_boot_when_their_generation_is_rejected_leave_at_once() -> None:
    story = Story.serving(workers=4, reload_surge=2).rolling()
    story.obey()
    first, second = story.pids(WorkerState.BOOTING, gen=2)[:2]
    story.see(ev.WorkerFailed(first, ExitCode.APP_IMPORT, "gone"))
    assert (second, Signals.SIGTERM, Reason.REJECTED) in story.signals(story.orders())


def test_former_listeners_are_closed_when_the_last_former_worker_has_left_off_serving() -> None:
    story = Story.serving(workers=1).rolling()
    assert story.obey()[-1] == act.CloseListeners(2)


def test_a_graceful_stop_closes_the_listeners_before_it_tells_the_workers() -> None:
    story = Story.serving(workers=2).signal(Order.STOP)
    orders = story.orders()
    assert orders[0] == act.CloseListeners(None)
    assert [signal for _, signal, _ in story.signals(orders)] == [Signals.SIGTERM] * 2


@pytest.mark.parametrize("order", [Order.INTERRUPT, Order.QUIT])
def test_a_quick_stop_tells_the_workers_to_be_quick(order: Order) -> None:
    story = Story.serving(workers=2, quick_timeout=5.0, kill_timeout=5.0).signal(order)
    assert [signal for _, signal, _ in story.signals(story.obey())] == [Signals.SIGQUIT] * 2
    assert story.signals(story.later(9.9).orders()) == []
    assert [signal for _, signal, _ in story.signals(story.later(0.1).obey())] == [Signals.SIGKILL] * 2


def test_a_stop_asks_each_worker_only_once() -> None:
    story = Story.serving(workers=2).signal(Order.STOP)
    story.obey()
    assert story.later(1.0).orders() == []


def test_a_second_stop_kills() -> None:
    story = Story.serving(workers=2).signal(Order.STOP)
    story.obey()
    story.later(1.0).signal(Order.STOP)
    assert [signal for _, signal, _ in story.signals(story.orders())] == [Signals.SIGKILL] * 2


def test_sigquit_hurries_a_graceful_stop() -> None:
    story = Story.serving(workers=1, quick_timeout=5.0, kill_timeout=5.0).signal(Order.STOP)
    story.obey()
    (pid,) = story.pids()
    story.later(1.0).signal(Order.QUIT)
    assert story.signals(story.obey()) == [(pid, Signals.SIGQUIT, Reason.SHUTDOWN)]
    assert story.signals(story.later(10.0).obey()) == [(pid, Signals.SIGKILL, Reason.SHUTDOWN)]


def test_the_end_comes_when_the_last_worker_is_gone() -> None:
    story = Story.serving(workers=2).signal(Order.STOP)
    story.obey()
    first, second = story.pids()
    story.see(ev.ChildExited(first))
    assert story.orders() == []
    story.see(ev.ChildExited(second))
    assert story.orders() == [act.Finish(ExitCode.OK, "asked to stop")]


def test_log_files_are_opened_anew_once() -> None:
    story = Story.serving(workers=2).signal(Order.REOPEN)
    assert story.orders() == [act.ReopenLogs(tuple(story.pids()))]
    story.obey()
    assert story.orders() == []


def test_the_watchdog_is_petted_while_somebody_serves() -> None:
    story = Story.serving(workers=1, watchdog=5.0)
    assert story.later(4.9).orders() == []
    assert story.later(0.1).orders() == [act.PetWatchdog()]
    story.obey()
    assert story.orders() == []


def test_the_watchdog_is_not_petted_while_nobody_serves() -> None:
    story = Story.serving(workers=1, watchdog=5.0)
    story.see(ev.ChildExited(story.pids()[0], signal=9))
    assert act.PetWatchdog() not in story.later(6.0).orders()
