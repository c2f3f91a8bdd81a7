"""What others are told about the fleet."""

from __future__ import annotations

import json

from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import WorkerState
from asgi_arbiter.arbiter.status import notice, snapshot
from asgi_arbiter.config.errors import ExitCode
from tests.fleet_support import Story


def test_ready_is_said_when_the_wished_number_serves_and_not_before() -> None:
    story = Story(workers=2)
    story.obey()
    first, second = story.pids()
    story.see(ev.WorkerReady(first))
    assert notice(story.fleet).state == ""
    story.see(ev.WorkerReady(second))
    assert notice(story.fleet).state == "READY"
    assert notice(story.fleet).status == "2/2 workers serving, generation 1"


def test_ready_stays_said_when_a_worker_dies() -> None:
    story = Story.serving(workers=2)
    story.see(ev.ChildExited(story.pids()[0], signal=9))
    assert notice(story.fleet).state == "READY"
    assert notice(story.fleet).status.startswith("1/2")


def test_a_reload_is_told_and_ready_again_whichever_way_it_ends() -> None:
    story = Story.serving(workers=1).reloading()
    assert notice(story.fleet).state == "RELOADING"
    assert "generation 2 is candidate" in notice(story.fleet).status
    story.see(ev.WorkerFailed(story.pids(gen=2)[0], ExitCode.LIFESPAN, "the database is away"))
    assert notice(story.fleet).state == "READY"
    assert "last reload rejected: the database is away" in notice(story.fleet).status


def test_a_stop_is_told_with_how_long_it_may_take() -> None:
    story = Story.serving(workers=3, graceful_timeout=30.0, kill_timeout=5.0).signal(Order.STOP)
    assert notice(story.fleet).state == "STOPPING"
    assert notice(story.fleet).status == "stopping: 3 workers left"
    assert notice(story.fleet).extend == 35.0


def test_boots_are_told_with_how_long_they_may_take() -> None:
    story = Story(workers=1, boot_timeout=120.0)
    story.obey()
    assert notice(story.fleet).extend == 120.0
    story.see(ev.WorkerReady(story.pids()[0]))
    assert notice(story.fleet).extend == 0.0
    assert notice(story.reloading().fleet).extend == 120.0 + story.fleet.current().rules.settle_time


def test_a_delayed_stop_is_told_while_all_serve() -> None:
    story = Story.serving(workers=1, drain_delay=60.0).signal(Order.STOP)
    told = notice(story.fleet)
    assert (told.state, told.status) == ("STOPPING", "1/1 workers serving, generation 1; about to stop (drain_delay)")


def test_a_boot_failure_is_in_the_status() -> None:
    story = Story(workers=1)
    story.obey()
    story.see(ev.WorkerFailed(story.pids()[0], ExitCode.APP_IMPORT, "no module named 'mian'"))
    assert "mian" in notice(story.fleet).status


def test_degraded_is_in_the_status() -> None:
    story = Story.serving(workers=1, max_restarts=1)
    for _ in range(2):
        story.see(ev.ChildExited(story.pids()[0], signal=9))
        story.obey()
        story.ready_all()
    assert "degraded" in notice(story.fleet).status


def test_the_snapshot_is_plain_data() -> None:
    story = Story.serving(workers=2)
    story.see(ev.PulseSeen(story.pids()[0], story.now + 1, connections=3, in_flight=2, served=40))
    shown = json.loads(json.dumps(snapshot(story.fleet, story.now + 1)))
    assert shown["phase"] == "RUNNING" and shown["wish"] == 2
    assert shown["generations"] == [
        {"number": 1, "state": "CURRENT", "wish": 2, "addresses": ["http://127.0.0.1:8000"]}
    ]
    worker = shown["workers"][0]
    assert (worker["state"], worker["connections"], worker["in_flight"], worker["served"]) == ("SERVING", 3, 2, 40)
    assert WorkerState[worker["state"]] is WorkerState.SERVING
