"""Whose signal, whose death: told apart by pid."""

from __future__ import annotations

from signal import Signals

from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import MoldState, Reason, SuccessorState, WorkerState
from tests.fleet_support import Story


def test_a_signal_belongs_to_the_child_with_its_pid() -> None:
    story = Story(workers=1, preload_app=True)
    story.obey()
    story.mold_all().obey()
    story.bear_all().ready_all().signal(Order.UPGRADE).obey()
    (mold,), (worker,), successor = story.fleet.molds.values(), story.fleet.handles.values(), story.fleet.successor
    assert successor is not None
    for pid in (mold.pid, worker.pid, successor.pid):
        story.see(ev.Signalled(pid, Signals.SIGKILL, Reason.SHUTDOWN))
    assert (mold.state, worker.state, successor.state) == (
        MoldState.KILLED,
        WorkerState.KILLED,
        SuccessorState.KILLED,
    )
    for pid in (mold.pid, worker.pid, successor.pid):
        story.see(ev.ChildExited(pid, signal=9))
    assert not story.fleet.molds and not story.fleet.handles and story.fleet.successor is None
    assert story.fleet.contradictions == []


def test_a_stranger_is_noted_and_changes_nothing() -> None:
    story = Story.serving(workers=1).see(ev.ChildExited(99999))
    assert story.said("stranger_reaped") and len(story.fleet.handles) == 1
