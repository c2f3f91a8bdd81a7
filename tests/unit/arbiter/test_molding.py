"""Stories of molds: who forks whom, and what follows from the death of one."""

from __future__ import annotations

from signal import Signals

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.ledger import Mold
from asgi_arbiter.arbiter.policy import FORK_PATIENCE
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import GenerationState, MoldState, Phase, Reason
from asgi_arbiter.config.errors import ExitCode
from tests.fleet_support import Story


def preloading(workers: int = 2, **rules: object) -> Story:
    return Story(workers=workers, preload_app=True, **rules)


def serving(workers: int = 2, **rules: object) -> Story:
    story = preloading(workers, **rules)
    story.obey()
    story.mold_all().obey()
    story.bear_all().ready_all().obey()
    assert story.fleet.phase is Phase.RUNNING
    return story


def mold(story: Story, generation: int = 1) -> Mold:
    (found,) = [mold for mold in story.fleet.molds.values() if mold.generation == generation]
    return found


def molds(actions: list[act.Action]) -> list[int]:
    return [action.generation for action in actions if isinstance(action, act.SpawnMold)]


def test_first_a_mold_and_workers_only_when_it_has_the_application() -> None:
    story = preloading()
    assert molds(story.obey()) == [1]
    assert story.orders() == []
    actions = story.mold_all().obey()
    assert [(a.slot, a.number, a.mold) for a in actions if isinstance(a, act.Spawn)] == [
        (0, 1, mold(story).pid),
        (1, 2, mold(story).pid),
    ]
    assert story.orders() == []  # ordered and not yet born: nobody is ordered twice
    story.bear_all()
    assert len(story.fleet.handles) == 2 and not story.fleet.requests


def test_without_preload_the_arbiter_forks_by_itself() -> None:
    story = Story(workers=1)
    (spawn,) = story.obey()
    assert isinstance(spawn, act.Spawn) and spawn.mold == 0


def test_what_it_found_running_is_a_warning() -> None:
    story = preloading()
    story.obey()
    story.see(ev.MoldReady(mold(story).pid, ("threads do not survive the fork",)))
    assert "threads do not survive" in story.said("mold_remark")[0].text


def test_an_application_that_cannot_be_imported_ends_the_boot_with_its_code_and_one_traceback() -> None:
    story = preloading(4)
    story.obey()
    story.see(ev.MoldFailed(mold(story).pid, ExitCode.APP_IMPORT, "no module named 'mian'", "Traceback"))
    assert story.fleet.outcome == (ExitCode.APP_IMPORT, "no module named 'mian'")
    assert [say.traceback for say in story.said("mold_failed")] == ["Traceback"]
    assert story.signals(story.orders()) == []  # it is on its way out
    story.see(ev.ChildExited(mold(story).pid, code=4))
    assert story.fleet.phase is Phase.STOPPED


def test_an_import_that_hangs_is_aborted_and_then_killed() -> None:
    story = preloading(boot_timeout=5.0, abort_timeout=2.0)
    story.obey()
    pid = mold(story).pid
    story.silence(5)
    assert story.signals(story.obey()) == [(pid, Signals.SIGABRT, Reason.BOOT_TIMEOUT)]
    assert story.fleet.outcome is not None and story.fleet.outcome[0] is ExitCode.BOOT
    story.silence(2)
    assert story.signals(story.obey()) == [(pid, Signals.SIGKILL, Reason.SHUTDOWN)]


def test_a_worker_that_dies_is_forked_anew_by_the_same_mold() -> None:
    story = serving()
    first = story.pids()[0]
    story.see(ev.ChildExited(first, signal=9))
    (spawn,) = story.obey()
    assert isinstance(spawn, act.Spawn) and spawn.mold == mold(story).pid


def test_a_reload_has_a_mold_of_its_own_and_the_old_one_leaves_with_its_generation() -> None:
    story = serving()
    old = mold(story).pid
    assert molds(story.reloading().obey()) == []
    new = mold(story, 2).pid
    assert new != old and not [a for a in story.orders() if isinstance(a, act.Spawn)]
    for _ in range(6):
        story.mold_all().obey()
        story.bear_all().ready_all().later(1.0)
        done = story.obey()
        for pid, signal, _ in story.signals(done):
            if signal is Signals.SIGTERM and pid in story.fleet.handles:
                story.see(ev.ChildExited(pid))
    assert story.fleet.current().number == 2
    assert mold(story, 1).state is MoldState.LEAVING
    story.see(ev.ChildExited(old))
    assert set(story.fleet.molds) == {new}


def test_a_rejected_generation_leaves_no_mold_and_the_old_one_serves_on() -> None:
    story = serving()
    old = mold(story).pid
    story.reloading().obey()
    new = mold(story, 2).pid
    story.see(ev.MoldFailed(new, ExitCode.APP_IMPORT, "SyntaxError", "Traceback"))
    assert story.fleet.phase is Phase.RUNNING
    assert "SyntaxError" in story.said("reload_rejected")[0].text
    story.obey()
    story.see(ev.ChildExited(new, code=4))
    assert set(story.fleet.molds) == {old} and story.orders() == []


def test_a_mold_that_dies_during_the_trial_rejects_it() -> None:
    story = serving()
    story.reloading().obey()
    story.see(ev.ChildExited(mold(story, 2).pid, signal=11))
    assert "SIGSEGV" in story.said("reload_rejected")[0].text
    assert all(g.state is not GenerationState.CANDIDATE for g in story.fleet.generations.values())


def test_a_mold_of_the_current_generation_that_dies_is_made_anew_and_the_log_is_honest() -> None:
    story = serving()
    story.see(ev.ChildExited(mold(story).pid, signal=9))
    (lost,) = story.said("mold_lost")
    assert "goes on with 2 workers" in lost.text and "newer than what serves" in lost.text
    assert len(story.fleet.handles) == 2 and story.orders() == []
    story.later(0.25)
    assert molds(story.obey()) == [1]


def test_attempts_are_spaced_ever_wider() -> None:
    story = serving()
    waits = []
    for _ in range(5):
        story.see(ev.ChildExited(mold(story).pid, signal=9))
        hold = story.fleet.mold_hold_until
        waits.append(hold - story.now)
        story.silence(waits[-1])
        assert molds(story.obey()) == [1]
    assert waits == sorted(waits) and waits[-1] >= 4.0


def test_a_long_life_clears_the_record() -> None:
    story = serving(restart_window=60.0, timeout=0.0)
    story.fleet.mold_streak = 5
    story.later(61.0)
    story.see(ev.ChildExited(mold(story).pid, signal=9))
    assert story.fleet.mold_streak == 1


def test_a_mold_that_does_not_fork_is_told_to_die() -> None:
    story = preloading()
    story.obey()
    story.mold_all().obey()
    pid = mold(story).pid
    story.silence(FORK_PATIENCE)
    assert story.signals(story.orders()) == [(pid, Signals.SIGABRT, Reason.UNANSWERED)]


def test_orders_to_a_dead_mold_come_back_and_hold_forks_once() -> None:
    story = serving(timeout=0.0)
    for pid in story.pids():
        story.see(ev.ChildExited(pid, signal=9))
    story.obey()
    assert len(story.fleet.requests) == 2
    for slot in list(story.fleet.requests):
        story.see(ev.SpawnFailed(1, "its mold has ended", slot))
    assert story.fleet.fork_failures == 1 and not story.fleet.requests


@pytest.mark.parametrize("order", [Order.STOP, Order.INTERRUPT])
def test_a_stop_tells_the_mold_and_waits_for_its_end(order: Order) -> None:
    story = serving(workers=1)
    pid = mold(story).pid
    (worker,) = story.pids()
    story.signal(order)
    assert (pid, Signals.SIGTERM, Reason.SHUTDOWN) in story.signals(story.obey())
    story.see(ev.ChildExited(worker))
    assert story.fleet.phase is not Phase.STOPPED
    story.see(ev.ChildExited(pid))
    assert story.fleet.phase is Phase.STOPPED


def test_a_mold_that_ignores_the_stop_is_killed() -> None:
    story = serving(workers=1, kill_timeout=5.0)
    pid = mold(story).pid
    story.signal(Order.STOP)
    story.obey()
    story.silence(5.0)
    assert (pid, Signals.SIGKILL, Reason.SHUTDOWN) in story.signals(story.orders())


def test_oversleeping_gives_the_mold_its_time_back() -> None:
    story = preloading(boot_timeout=5.0)
    story.obey()
    story.now += 60
    story.see(ev.Overslept(60.0), ev.TimePassed())
    assert story.signals(story.orders()) == []
