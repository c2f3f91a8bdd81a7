"""A reload is a transaction."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import GenerationState, Phase, WorkerState
from asgi_arbiter.config.errors import ExitCode
from tests.fleet_support import Story

CONFIG: Any = None


def finish_roll(story: Story) -> Story:
    for _ in range(50):
        story.obey()
        story.ready_all()
    return story


def test_a_reload_ends_with_a_promotion_and_one_line_with_the_counts() -> None:
    story = finish_roll(Story.serving(workers=3).rolling())
    assert story.fleet.current().number == 2
    assert story.fleet.phase is Phase.RUNNING
    (line,) = story.said("reload_promoted")
    assert line.text.startswith("reload promoted: generation 2, 3 workers in 1.0 s, 0 requests served")
    assert story.hooks("reload_finished") == [act.CallHook("reload_finished", ("promoted",))]


def test_requests_served_meanwhile_are_counted_from_the_beginning_of_the_reload() -> None:
    story = Story.serving(workers=1)
    old = story.pids()[0]
    story.see(ev.PulseSeen(old, story.now + 1, served=100)).reloading()
    story.see(ev.PulseSeen(old, story.now + 2, served=107)).ready_all().later(1.0)
    finish_roll(story)
    assert story.said("reload_promoted")[0].facts["served"] == 7


def test_a_candidate_that_dies_while_booting_is_rejected_and_no_old_worker_has_left() -> None:
    story = Story.serving(workers=3).reloading()
    old = story.pids(gen=1)
    story.see(ev.ChildExited(story.pids(gen=2)[0], signal=11))
    assert story.obey() == [act.CloseListeners(1)]
    assert story.pids(WorkerState.SERVING) == old
    assert story.fleet.phase is Phase.RUNNING
    assert "SIGSEGV" in story.said("reload_rejected")[0].text
    assert story.hooks("reload_finished") == [act.CallHook("reload_finished", ("rejected",))]


def test_a_canary_that_dies_before_it_settled_is_rejected() -> None:
    story = Story.serving(workers=2, settle_time=1.0).reloading().ready_all().later(0.5)
    story.see(ev.ChildExited(story.pids(gen=2)[0], code=1))
    assert story.said("reload_rejected") and not story.signals(story.orders())


def test_a_canary_that_reports_a_failure_is_rejected_with_its_reason() -> None:
    story = Story.serving(workers=2).reloading()
    story.see(ev.WorkerFailed(story.pids(gen=2)[0], ExitCode.LIFESPAN, "the database is away", "Traceback ..."))
    assert story.fleet.last_failure == "the database is away"
    assert [say.traceback for say in story.said("worker_failed")] == ["Traceback ..."]


def test_a_canary_that_hangs_in_its_startup_is_rejected_at_the_boot_timeout() -> None:
    story = Story.serving(workers=2, boot_timeout=20.0).reloading()
    story.later(20.0).obey()
    assert "boot_timeout" in story.fleet.last_failure
    assert len(story.pids(WorkerState.SERVING, gen=1)) == 2


def test_a_canary_that_gets_stuck_is_rejected() -> None:
    story = Story.serving(workers=1, timeout=3.0, settle_time=10.0).reloading().ready_all()
    old = story.pids(gen=1)[0]
    for _ in range(3):
        story.now += 1.0
        story.see(ev.PulseSeen(old, story.now), ev.TimePassed())
    assert "stuck" in story.fleet.last_failure
    assert story.pids(WorkerState.SERVING) == [old]


def test_settled_candidates_that_die_again_and_again_are_rejected() -> None:
    story = Story.serving(workers=3, settle_time=0.0).rolling()
    for time in range(3):
        assert not story.said("reload_rejected"), f"after {time} deaths"
        story.obey()
        story.ready_all()
        story.later(1.0)
        story.see(ev.ChildExited(story.pids(WorkerState.SERVING, gen=2)[0], code=1))
    assert story.said("reload_rejected")


def test_without_a_settle_time_the_first_death_just_after_ready_rejects() -> None:
    story = Story.serving(workers=3, settle_time=0.0).rolling()
    old = story.pids(WorkerState.SERVING, gen=1)
    assert len(old) >= 2
    story.later(0.9)
    story.see(ev.ChildExited(story.pids(WorkerState.SERVING, gen=2)[0], code=1))
    assert story.said("reload_rejected")
    story.obey()
    assert story.pids(WorkerState.SERVING, gen=1) == old


def test_without_a_settle_time_a_death_seen_together_with_ready_costs_no_old_worker() -> None:
    story = Story.serving(workers=1, settle_time=0.0).reloading()
    (old,) = story.pids(WorkerState.SERVING, gen=1)
    (candidate,) = story.pids(WorkerState.BOOTING, gen=2)
    story.see(ev.WorkerReady(candidate), ev.ChildExited(candidate, code=1))
    assert story.said("reload_rejected")
    assert not any(isinstance(order, act.Signal) for order in story.obey())
    assert story.pids(WorkerState.SERVING) == [old]


def test_settings_that_cannot_be_read_change_nothing() -> None:
    story = Story.serving(workers=2).signal(Order.RELOAD)
    story.see(ev.ConfigRejected("asgi-arbiter.toml: workers: expected a whole number"))
    assert story.fleet.phase is Phase.RUNNING and story.orders() == []
    assert "asgi-arbiter.toml" in story.said("reload_rejected")[0].text


def test_without_room_for_another_process_a_reload_is_rejected_whoever_it_was_for() -> None:
    story = Story.serving(workers=2)
    story.see(ev.ChildExited(story.pids()[0], signal=9)).signal(Order.RELOAD)
    for action in (act.LoadConfig(), act.OpenListeners(2, story.fleet.current().config)):
        story.see(story.answer(action))
    story.see(ev.SpawnFailed(1, "Resource temporarily unavailable"))
    assert "temporarily unavailable" in story.fleet.last_failure and story.fleet.phase is Phase.RUNNING


def test_an_address_that_cannot_be_opened_rejects_before_any_fork() -> None:
    story = Story.serving(workers=2).signal(Order.RELOAD)
    story.see(story.answer(act.LoadConfig()))
    story.see(ev.ListenersRefused(2, "cannot listen on 127.0.0.1:80: permission denied"))
    assert story.fleet.phase is Phase.RUNNING and story.orders() == []
    assert "permission denied" in story.fleet.last_failure


def test_after_a_rejection_the_next_reload_starts_afresh_with_a_new_number() -> None:
    story = Story.serving(workers=1).reloading()
    story.see(ev.ChildExited(story.pids(gen=2)[0], signal=11))
    finish_roll(story.reloading().ready_all().later(1.0))
    assert story.fleet.current().number == 3
    assert story.fleet.last_failure == ""


def test_a_late_death_of_a_rejected_candidate_is_nobody_elses_fault() -> None:
    story = Story.serving(workers=1).reloading()
    late = story.pids(gen=2)[0]
    story.see(ev.WorkerFailed(late, ExitCode.LIFESPAN, "first")).reloading()
    story.see(ev.ChildExited(late, code=5))
    candidate = story.fleet.candidate()
    assert candidate is not None and candidate.number == 3
    assert len(story.said("reload_rejected")) == 1


def test_a_second_hup_is_remembered_once() -> None:
    story = Story.serving(workers=1).reloading()
    story.signal(Order.RELOAD).signal(Order.RELOAD)
    finish_roll(story.ready_all().later(1.0))
    finish_roll(story.ready_all().later(1.0))
    assert story.fleet.current().number == 3
    assert story.fleet.phase is Phase.RUNNING
    assert len(story.said("reload_promoted")) == 2


def test_a_hup_during_the_boot_is_obeyed_when_the_service_runs() -> None:
    story = Story(workers=1)
    story.obey()
    story.signal(Order.RELOAD)
    assert story.fleet.phase is Phase.STARTING
    story.ready_all()
    assert story.fleet.phase is Phase.RELOADING


def test_a_hup_while_stopping_is_ignored() -> None:
    story = Story.serving(workers=1).signal(Order.STOP).signal(Order.RELOAD)
    assert story.said("reload_ignored") and story.fleet.phase is Phase.DRAINING


@pytest.mark.parametrize("order", [Order.STOP, Order.INTERRUPT, Order.QUIT])
def test_a_stop_during_a_reload_is_obeyed_at_once(order: Order) -> None:
    story = Story.serving(workers=2).reloading().signal(order)
    assert story.fleet.phase in (Phase.DRAINING, Phase.STOPPING)
    assert len(story.signals(story.orders())) == 3
    assert story.fleet.contradictions == []


def test_what_ttin_did_survives_a_reload() -> None:
    story = Story.serving(workers=2).signal(Order.MORE)
    story.obey()
    story.ready_all()
    finish_roll(story.rolling())
    assert story.fleet.wish == 3 and len(story.fleet.serving()) == 3


def test_new_settings_overrule_what_ttin_did() -> None:
    story = Story.serving(workers=2).signal(Order.MORE)
    story.obey()
    story.ready_all()
    story.rules = Rules(workers=5)
    finish_roll(story.rolling())
    assert story.fleet.wish == 5 and len(story.fleet.serving()) == 5


def test_fewer_workers_in_the_new_settings() -> None:
    story = Story.serving(workers=4)
    story.rules = Rules(workers=1)
    finish_roll(story.rolling())
    assert len(story.fleet.living()) == 1


def test_more_workers_than_the_board_has_room_for_need_a_restart() -> None:
    story = Story.serving(workers=2, slots=16).signal(Order.RELOAD)
    story.see(ev.ConfigLoaded(CONFIG, Rules(workers=200)))
    assert "restart" in story.said("reload_rejected")[0].text
    assert story.fleet.phase is Phase.RUNNING


def test_settings_that_need_a_restart_are_refused_by_name() -> None:
    story = Story.serving(workers=1).signal(Order.RELOAD)
    story.see(ev.ConfigLoaded(CONFIG, story.rules, ("pidfile cannot change on a reload",)))
    assert story.said("setting_refused")[0].text.startswith("pidfile")
    proposed = story.fleet.proposed()
    assert proposed is not None and proposed.state is GenerationState.PROPOSED


def test_a_promotion_forgives_former_crashes() -> None:
    story = Story.serving(workers=1, max_restarts=1)
    for _ in range(2):
        story.see(ev.ChildExited(story.pids()[0], signal=9))
        story.later(60.0).obey()
        story.ready_all()
    finish_roll(story.rolling())
    assert not story.fleet.crashes and story.fleet.crash_hold_until == 0.0


def test_generations_that_are_over_are_forgotten() -> None:
    story = Story.serving(workers=1)
    for _ in range(3):
        finish_roll(story.rolling())
        for pid in story.pids(WorkerState.DRAINING):
            story.see(ev.ChildExited(pid))
        story.obey()
    assert list(story.fleet.generations) == [4]


def test_changed_addresses_are_told() -> None:
    story = Story.serving(workers=1).signal(Order.RELOAD)
    story.see(story.answer(act.LoadConfig()), ev.ListenersOpened(2, ("http://127.0.0.1:9000",)))
    assert "http://127.0.0.1:9000" in story.said("addresses_changed")[0].text


def test_changed_files_are_named() -> None:
    story = Story.serving(workers=1, reload=True)
    story.see(ev.FilesChanged(("a.py", "b.py", "c.py", "d.py", "e.py")))
    assert "a.py, b.py, c.py and 2 more" in story.said("reload_begun")[0].text
