"""Stories of an upgrade, from both sides."""

from __future__ import annotations

import logging
from signal import Signals

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.ledger import Successor
from asgi_arbiter.arbiter.plan import plan
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import Phase, Reason, SuccessorState, Tenure
from asgi_arbiter.arbiter.status import notice
from tests.fleet_support import Story


def upgrading(**rules: object) -> Story:
    story = Story.serving(workers=2, **rules).signal(Order.UPGRADE)
    assert story.obey() == [act.StartSuccessor()]
    return story


def successor(story: Story) -> Successor:
    assert story.fleet.successor is not None
    return story.fleet.successor


def led(story: Story) -> Story:
    """The successor is ready, was offered the lead, and leads."""
    pid = successor(story).pid
    assert story.see(ev.SuccessorReady(pid)).obey() == [act.OfferLead(pid)]
    return story.see(ev.SuccessorLeads(pid, ("127.0.0.1:8000",)))


class TestThePredecessor:
    def test_it_serves_on_until_the_successor_leads_and_then_leaves_the_accept_queue_alone(self) -> None:
        story = upgrading()
        assert story.fleet.phase is Phase.HANDING_OVER and story.orders() == []
        pid, workers = successor(story).pid, story.pids()
        done = led(story).obey()
        assert done[0] == act.StepDown(pid, ("127.0.0.1:8000",))
        assert story.signals(done) == [(worker, Signals.SIGTERM, Reason.HANDED_OVER) for worker in workers]
        assert act.CloseListeners(None) not in done
        for worker in workers:
            story.see(ev.ChildExited(worker))
        assert isinstance(story.obey()[-1], act.Finish)

    def test_it_says_nothing_to_the_service_manager_after_that(self) -> None:
        story = upgrading()
        led(story).obey()
        told = [action for action in plan(story.fleet, story.now) if isinstance(action, act.Notify)]
        assert told == [] and story.fleet.tenure is Tenure.RETIRED

    @pytest.mark.parametrize("event", [{"code": 4}, {"signal": 9}])
    def test_it_goes_on_when_the_successor_ends(self, event: dict[str, int]) -> None:
        story = upgrading()
        story.see(ev.ChildExited(successor(story).pid, **event))
        assert story.fleet.phase is Phase.RUNNING and story.fleet.successor is None
        (failed,) = story.said("upgrade_failed")
        assert ("import" in failed.text) if "code" in event else ("SIGKILL" in failed.text)
        assert "goes on with 2 workers" in failed.text
        assert "last upgrade failed" in notice(story.fleet).status
        assert story.orders() == []

    def test_it_goes_on_when_the_successor_ends_after_the_offer(self) -> None:
        story = upgrading()
        pid = successor(story).pid
        story.see(ev.SuccessorReady(pid)).obey()
        story.see(ev.ChildExited(pid, signal=9))
        assert story.fleet.phase is Phase.RUNNING and story.orders() == []

    def test_a_program_that_cannot_be_executed_changes_nothing(self) -> None:
        story = Story.serving(workers=2).signal(Order.UPGRADE)
        story.see(ev.SuccessorRefused("Permission denied"))
        assert story.fleet.phase is Phase.RUNNING and "Permission denied" in story.said("upgrade_failed")[0].text

    def test_a_successor_that_takes_too_long_is_dismissed_and_then_killed(self) -> None:
        story = upgrading(boot_timeout=5.0, timeout=0.0)
        pid = successor(story).pid
        story.silence(story.rules.upgrade_budget)
        assert story.obey() == [act.DismissSuccessor(pid)]
        story.silence(story.rules.drain_budget)
        assert story.signals(story.obey()) == [(pid, Signals.SIGKILL, Reason.SHUTDOWN)]
        story.see(ev.ChildExited(pid, signal=9))
        assert story.fleet.phase is Phase.RUNNING and "given up" in story.said("upgrade_failed")[0].text

    def test_without_a_boot_timeout_it_waits(self) -> None:
        story = upgrading(boot_timeout=0.0, timeout=0.0).silence(100000)
        assert story.orders() == []

    def test_a_second_upgrade_meanwhile_is_refused_and_told_once(self) -> None:
        story = upgrading().signal(Order.UPGRADE).signal(Order.UPGRADE)
        levels = [said.level for said in story.said("upgrade_ignored")]
        assert levels == [logging.WARNING, logging.DEBUG] and story.orders() == []

    def test_an_upgrade_during_a_reload_is_remembered_once(self) -> None:
        story = Story.serving(workers=1).reloading()
        story.signal(Order.UPGRADE).signal(Order.UPGRADE)
        assert len(story.said("upgrade_remembered")) == 1
        story.see(ev.ChildExited(story.pids(gen=2)[0], code=1))
        assert story.fleet.phase is Phase.HANDING_OVER

    def test_a_reload_during_an_upgrade_waits_for_its_failure(self) -> None:
        story = upgrading().signal(Order.RELOAD)
        assert story.said("reload_remembered")
        story.see(ev.ChildExited(successor(story).pid, code=1))
        assert story.fleet.phase is Phase.RELOADING

    def test_whoever_steps_down_makes_no_worker_in_the_same_breath(self) -> None:
        story = upgrading()
        pid = successor(story).pid
        led(story).see(ev.ChildExited(story.pids()[0], signal=9))
        assert story.orders() == [act.StepDown(pid, ("127.0.0.1:8000",))]
        assert not any(isinstance(action, act.Spawn) for action in story.obey())

    def test_a_reload_that_was_asked_for_during_an_upgrade_is_left_to_whoever_leads_then(self) -> None:
        story = upgrading().signal(Order.RELOAD)
        pid = successor(story).pid
        signals = story.signals(led(story).obey())
        assert signals.count((pid, Signals.SIGHUP, Reason.HANDED_OVER)) == 1
        assert story.said("reload_passed_on") and successor(story).state is SuccessorState.LEADING
        assert not any(number is Signals.SIGHUP for _, number, _ in story.signals(story.orders()))

    def test_a_stop_obeys_at_once_and_takes_the_successor_along(self) -> None:
        story = upgrading()
        pid, workers = successor(story).pid, story.pids()
        done = story.signal(Order.STOP).obey()
        assert act.DismissSuccessor(pid) in done
        assert story.signals(done) == [(worker, Signals.SIGTERM, Reason.SHUTDOWN) for worker in workers]
        for worker in workers:
            story.see(ev.ChildExited(worker))
        assert story.fleet.phase is Phase.DRAINING
        story.see(ev.ChildExited(pid))
        assert story.fleet.phase is Phase.STOPPED

    def test_a_stop_that_crosses_the_lead_dismisses_all_the_same(self) -> None:
        story = upgrading()
        pid = successor(story).pid
        story.see(ev.SuccessorReady(pid)).obey()
        story.signal(Order.STOP).see(ev.SuccessorLeads(pid))
        assert act.DismissSuccessor(pid) in story.obey()
        assert successor(story).state is SuccessorState.DISMISSED

    def test_workers_that_die_meanwhile_are_replaced(self) -> None:
        story = upgrading()
        story.see(ev.ChildExited(story.pids()[0], signal=9))
        assert len(story.spawns(story.orders())) == 1

    def test_an_upgrade_while_stopping_is_refused(self) -> None:
        story = Story.serving(workers=1).signal(Order.STOP).signal(Order.UPGRADE)
        assert story.said("upgrade_ignored")

    @pytest.mark.parametrize(
        ("order", "phase"),
        [(Order.STOP, Phase.DRAINING), (Order.INTERRUPT, Phase.STOPPING), (Order.QUIT, Phase.STOPPING)],
    )
    def test_a_first_stop_after_the_handover_is_not_taken_for_a_second(self, order: Order, phase: Phase) -> None:
        story = upgrading()
        led(story).obey()
        story.signal(order)
        assert story.fleet.phase is phase
        story.later(1.0).signal(Order.STOP)
        assert story.fleet.phase is Phase.KILLING


class TestTheSuccessor:
    def booted(self) -> Story:
        return Story.serving(workers=2, leads=False, settle_time=1.0)

    def test_it_tells_when_all_have_settled_and_leads_when_told(self) -> None:
        story = self.booted()
        assert story.orders() == []
        assert story.fleet.next_deadline() is not None
        assert story.later(1.0).obey() == [act.ReportReadiness()]
        assert story.orders() == []
        assert story.see(ev.Appointed()).obey() == [act.TakeLead()]
        assert story.fleet.tenure is Tenure.LEADING
        assert isinstance(story.fleet.told, act.Notice) and story.fleet.told.state == "READY"

    def test_it_says_nothing_to_the_service_manager_before(self) -> None:
        assert self.booted().later(1.0).fleet.told is None

    def test_it_leads_at_once_when_its_predecessor_dies(self) -> None:
        story = self.booted().see(ev.PredecessorGone())
        assert story.obey() == [act.TakeLead(), act.ReclaimSockets()] and story.said("predecessor_gone")

    def test_the_end_of_a_predecessor_that_has_handed_over_is_no_news_but_the_status_is_told_again(self) -> None:
        story = self.booted().see(ev.Appointed())
        story.obey()
        story.see(ev.PredecessorGone(has_released=True))
        assert not story.said("predecessor_gone") and story.fleet.tenure is Tenure.LEADING
        assert [type(action) for action in plan(story.fleet, story.now)] == [act.Notify]

    def test_one_that_leaves_before_it_led_leaves_the_accept_queue_alone(self) -> None:
        story = self.booted().see(ev.Relieved())
        assert {reason for _, _, reason in story.signals(story.obey())} == {Reason.HANDED_OVER}

    def test_once_it_leads_it_may_be_upgraded_itself(self) -> None:
        story = self.booted().signal(Order.UPGRADE)
        assert story.said("upgrade_remembered")
        story.see(ev.Appointed())
        story.obey()
        assert story.fleet.phase is Phase.HANDING_OVER
