"""What a worker tells about itself, on its way into the log."""

from __future__ import annotations

import logging
from signal import Signals

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.policy import TESTIMONY_PATIENCE, TESTIMONY_PAUSE
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import Reason, WorkerState
from tests.fleet_support import Story


def told(story: Story) -> list[act.Say]:
    return [remark for remark in story.remarks if isinstance(remark, act.Say) and remark.event == "worker_evidence"]


def stuck(**rules: int) -> tuple[Story, int]:
    """A worker whose loop does not turn, examined; its replacement serves."""
    story = Story.serving(workers=1, timeout=3.0, **rules)
    (pid,) = story.pids()
    story.silence(3.0)
    for action in story.orders():
        if isinstance(action, act.Examine):
            story.see(ev.Examined(pid, "it is burning CPU", will_tell=True))
        else:
            story.see(story.answer(action))
    story.ready_all()
    return story, pid


def test_the_pieces_make_one_record_when_nothing_more_comes() -> None:
    story = Story.serving(workers=1)
    (pid,) = story.pids()
    story.see(ev.WorkerTestified(pid, "Thread 1\n"), ev.WorkerTestified(pid, "\n1 task\n"))
    assert told(story) == []
    assert story.fleet.next_deadline() == pytest.approx(story.now + TESTIMONY_PAUSE)
    story.later(TESTIMONY_PAUSE)
    (remark,) = told(story)
    assert remark.traceback == "Thread 1\n\n1 task"
    assert f"pid={pid}" in remark.text
    assert remark.level == logging.WARNING  # somebody asked
    assert story.fleet.next_deadline() != story.now


def test_a_stuck_worker_is_not_aborted_before_it_has_told() -> None:
    story, pid = stuck()
    assert story.signals(story.orders()) == []
    story.see(ev.WorkerTestified(pid, "Thread 1\n")).silence(TESTIMONY_PAUSE)
    (remark,) = told(story)
    assert remark.level == logging.ERROR
    assert "it is burning CPU" in remark.text
    assert story.signals(story.orders()) == [(pid, Signals.SIGABRT, Reason.STALE_PULSE)]


def test_who_says_nothing_is_aborted_after_a_moment() -> None:
    story, pid = stuck()
    assert story.fleet.next_deadline() <= story.now + TESTIMONY_PATIENCE  # type: ignore[operator]
    story.silence(TESTIMONY_PATIENCE)
    assert told(story) == []
    assert story.signals(story.orders()) == [(pid, Signals.SIGABRT, Reason.STALE_PULSE)]


def test_what_it_repeats_when_it_is_aborted_is_not_told_again() -> None:
    story, pid = stuck()
    story.see(ev.WorkerTestified(pid, "Thread 1\n")).silence(TESTIMONY_PAUSE).obey()
    story.see(ev.WorkerTestified(pid, "Fatal Python error: Aborted\nThread 1\n"), ev.ChildExited(pid, signal=6))
    assert len(told(story)) == 1


def test_the_hook_gets_the_stacks() -> None:
    story, pid = stuck()
    story.see(ev.WorkerTestified(pid, "Thread 1\n")).silence(TESTIMONY_PAUSE).obey()
    (call,) = [r for r in story.remarks if isinstance(r, act.CallHook) and r.hook == "on_timeout"]
    assert call.arguments[0].pid == pid
    assert call.arguments[1] == "Thread 1"


def test_a_boot_that_takes_too_long_tells_while_it_is_aborted() -> None:
    story = Story(workers=1, boot_timeout=5.0)
    story.obey()
    (pid,) = story.pids()
    story.silence(5.0).obey()
    assert story.handle(pid).state is WorkerState.ABORTING
    story.see(ev.WorkerTestified(pid, "Fatal Python error: Aborted\n"), ev.ChildExited(pid, signal=6))
    (remark,) = told(story)
    assert "when it died" in remark.text
    said = [remark.event for remark in story.remarks if isinstance(remark, act.Say)]
    assert said.index("worker_evidence") < said.index("worker_exited")


def test_a_crash_is_told_before_the_exit() -> None:
    story = Story.serving(workers=1)
    (pid,) = story.pids()
    story.see(ev.WorkerTestified(pid, "Fatal Python error: Segmentation fault\n"), ev.ChildExited(pid, signal=11))
    said = [remark.event for remark in story.remarks if isinstance(remark, act.Say)]
    assert said.index("worker_evidence") < said.index("worker_crashed")
    assert told(story)[0].level == logging.ERROR


@pytest.mark.parametrize("answers", [True, False])
def test_who_does_not_leave_in_time_is_asked_before_it_is_killed(answers: bool) -> None:
    story = Story.serving(workers=1, graceful_timeout=3.0, kill_timeout=2.0).signal(Order.STOP)
    story.obey()
    (pid,) = story.pids()
    assert story.later(5.0).orders() == [act.Examine(pid)]
    story.see(ev.Examined(pid, "it is burning CPU", will_tell=True))
    assert story.orders() == []
    if answers:
        story.see(ev.WorkerTestified(pid, "Thread 1\n"))
    story.silence(TESTIMONY_PAUSE if answers else TESTIMONY_PATIENCE)
    assert len(told(story)) == answers
    assert story.signals(story.orders()) == [(pid, Signals.SIGKILL, Reason.SHUTDOWN)]


def test_at_once_means_at_once() -> None:
    story = Story.serving(workers=1).signal(Order.STOP)
    story.obey()
    (pid,) = story.pids()
    story.later(1.0).signal(Order.STOP)
    assert story.signals(story.orders()) == [(pid, Signals.SIGKILL, Reason.SHUTDOWN)]


def test_a_mold_is_heard_at_once() -> None:
    story = Story(workers=1, preload_app=True)
    story.obey()
    (pid,) = story.fleet.molds
    story.see(ev.WorkerTestified(pid, "Fatal Python error: Aborted\n"))
    assert "mold" in told(story)[0].text


def test_strangers_and_empty_reports_are_nothing() -> None:
    story = Story.serving(workers=1)
    (pid,) = story.pids()
    story.see(ev.WorkerTestified(4711, "x"), ev.Examined(4711, "x"), ev.WorkerTestified(pid, "\n"))
    story.later(TESTIMONY_PAUSE)
    assert told(story) == []
