"""Stories of ends that nobody wished: who is to blame, and how fast the dead are replaced."""

from __future__ import annotations

import math

from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.policy import BOOT_TRIES
from asgi_arbiter.arbiter.states import Health, Phase, WorkerState
from asgi_arbiter.config.errors import ExitCode
from tests.fleet_support import FAILURE, Story, booting, kill

# The first generation


def test_a_reported_boot_failure_ends_the_program_at_once_with_its_code() -> None:
    story = booting(workers=4)
    story.see(ev.WorkerFailed(story.pids()[0], *FAILURE))
    assert story.fleet.phase is Phase.STOPPING
    assert story.fleet.outcome == (ExitCode.APP_IMPORT, FAILURE[1])


def test_workers_that_fail_alike_print_one_traceback() -> None:
    story = booting(workers=4)
    story.see(*(ev.WorkerFailed(pid, *FAILURE) for pid in story.pids()))
    tracebacks = [say.traceback for say in story.said("worker_failed")]
    assert tracebacks == ["Traceback ...", "", "", ""]
    assert sum("mian" in remark.text for remark in story.remarks if hasattr(remark, "text")) == 1


def test_a_worker_that_reported_its_failure_is_not_told_to_leave() -> None:
    story = booting(workers=1)
    story.see(ev.WorkerFailed(story.pids()[0], *FAILURE))
    assert story.signals(story.obey()) == []


def test_an_exit_code_that_explains_itself_is_as_good_as_a_report() -> None:
    story = booting(workers=2)
    story.see(ev.ChildExited(story.pids()[0], code=ExitCode.LIFESPAN))
    assert story.fleet.outcome is not None and story.fleet.outcome[0] is ExitCode.LIFESPAN


def test_unexplained_deaths_at_boot_are_tried_again_a_few_times_with_growing_pauses() -> None:
    story = booting(workers=1)
    waits = []
    for _ in range(BOOT_TRIES - 1):
        kill(story, story.pids()[0], 11)
        assert story.orders() == []
        deadline = story.fleet.next_deadline()
        assert deadline is not None
        waits.append(deadline - story.now)
        story.later(waits[-1]).obey()
    kill(story, story.pids()[0], 11)
    assert waits == sorted(waits) and waits[0] < waits[1]
    assert story.fleet.outcome is not None and story.fleet.outcome[0] is ExitCode.BOOT
    assert not story.spawns(story.orders())


def test_a_boot_that_hangs_ends_the_program() -> None:
    story = booting(workers=1, boot_timeout=10.0)
    story.later(10.0).obey()
    assert story.fleet.outcome is not None
    assert story.fleet.outcome[0] is ExitCode.BOOT and "boot_timeout" in story.fleet.outcome[1]


def test_a_kernel_that_never_forks_ends_the_program() -> None:
    story = Story(workers=2)
    for _ in range(BOOT_TRIES):
        story.see(ev.SpawnFailed(1, "Resource temporarily unavailable"))
    assert story.fleet.outcome is not None and "Resource temporarily unavailable" in story.fleet.outcome[1]


def test_once_something_served_a_boot_failure_no_longer_ends_the_program() -> None:
    story = booting(workers=2)
    first, second = story.pids()
    story.see(ev.WorkerReady(first), ev.WorkerFailed(second, *FAILURE))
    assert story.fleet.phase is Phase.RUNNING and story.fleet.outcome is None


def test_a_watched_service_waits_for_a_change_instead_of_giving_up() -> None:
    story = booting(workers=1, reload=True, settle_time=0.0)
    story.see(ev.WorkerFailed(story.pids()[0], *FAILURE), ev.ChildExited(story.pids()[0], code=4))
    assert story.fleet.outcome is None and story.orders() == []
    assert story.said("waiting_for_change")
    story.see(ev.FilesChanged(("main.py",)))
    assert story.fleet.phase is Phase.RELOADING
    story.obey()
    story.ready_all().later(0.0).obey()
    assert story.fleet.current().number == 2 and story.fleet.phase is Phase.RUNNING


# Restarts


def test_a_worker_killed_from_outside_is_replaced_without_delay() -> None:
    story = Story.serving(workers=4)
    for pid in story.pids():
        kill(story, pid)
    assert len(story.spawns(story.orders())) == 4


def test_deaths_at_boot_are_retried_one_at_a_time_with_growing_pauses_and_never_end_the_program() -> None:
    story = Story.serving(workers=4)
    for pid in story.pids():
        kill(story, pid)
    story.obey()
    for pid in story.pids(WorkerState.BOOTING):
        kill(story, pid, 11)
    spawned = 0
    for _ in range(600):
        spawned += len(story.spawns(story.later(0.5).obey()))
        for pid in story.pids(WorkerState.BOOTING):
            kill(story, pid, 11)
    assert story.fleet.phase is Phase.RUNNING
    assert story.fleet.health is Health.DEGRADED
    assert spawned <= 30  # in five minutes


def test_more_crashes_than_the_limit_are_spread_over_the_window() -> None:
    story = Story.serving(workers=1, max_restarts=3, restart_window=60.0)
    for _ in range(3):
        kill(story, story.pids()[0])
        assert len(story.spawns(story.obey())) == 1
        story.ready_all()
    kill(story, story.pids()[0])
    assert story.orders() == []
    assert story.fleet.health is Health.DEGRADED
    assert story.spawns(story.later(20.0).orders()) == [(1, 1)]


def test_a_degraded_service_recovers_when_the_crashes_are_old_enough() -> None:
    story = Story.serving(workers=1, max_restarts=1, restart_window=60.0)
    for _ in range(2):
        kill(story, story.pids()[0])
        story.later(60.0 if story.fleet.crash_hold_until else 0.0).obey()
        story.ready_all()
    story.now = max(story.now, 0)
    deadline = story.fleet.next_deadline()
    assert deadline is not None and deadline < math.inf
    story.later(61.0)
    assert story.fleet.health is Health.HEALTHY


def test_a_worker_that_serves_ends_the_streak() -> None:
    story = Story.serving(workers=2)
    kill(story, story.pids()[0])
    story.obey()
    kill(story, story.pids(WorkerState.BOOTING)[0], 11)
    assert story.fleet.streak == 1
    story.later(1.0).obey()
    story.ready_all()
    assert story.fleet.streak == 0


def test_a_refused_fork_is_tried_again_later() -> None:
    story = Story.serving(workers=1)
    kill(story, story.pids()[0])
    story.see(ev.SpawnFailed(1, "Cannot allocate memory"))
    assert story.orders() == []
    assert "Cannot allocate memory" in story.said("fork_failed")[0].text
    assert story.spawns(story.later(0.5).orders()) == [(1, 1)]
