"""Orders to the kernel, with the kernel's calls replaced: nothing here forks, kills or waits."""

from __future__ import annotations

import errno
import json
import logging
import os
from signal import Signals
from typing import Any

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.arbiter.states import Reason
from asgi_arbiter.config.errors import BindError, InvalidSetting
from asgi_arbiter.config.records import replace
from tests.kernel_support import CONFIG, Heir, Kernel, Order, Rig


def test_a_signal_comes_after_its_reason(rig: Rig, kernel: Kernel) -> None:
    theirs = rig.worker(7)
    (answer,) = rig.effects.do(act.Signal(7, Signals.SIGTERM, Reason.SUPERSEDED))
    assert answer == ev.Signalled(7, Signals.SIGTERM, Reason.SUPERSEDED)
    assert json.loads(theirs.recv(1000)) == {"kind": "leave", "reason": "reload"}
    assert kernel.killed == [(7, Signals.SIGTERM)]


@pytest.mark.parametrize("error", [ProcessLookupError(), PermissionError(errno.EPERM, "no")])
def test_a_worker_that_cannot_be_signalled_counts_as_signalled(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(_pid: int, _number: int) -> None:
        raise error

    monkeypatch.setattr(os, "kill", fail)
    assert rig.effects.do(act.Signal(7, Signals.SIGKILL, Reason.SHUTDOWN)) == [
        ev.Signalled(7, Signals.SIGKILL, Reason.SHUTDOWN)
    ]


def test_settings_are_read_again_or_the_complaint_is_the_answer(rig: Rig) -> None:
    rig.loaded = ev.ConfigLoaded(CONFIG, Rules())
    assert rig.effects.do(act.LoadConfig()) == [rig.loaded]
    rig.loaded = InvalidSetting("asgi-arbiter.toml: workers: nonsense")
    assert rig.effects.do(act.LoadConfig()) == [ev.ConfigRejected("asgi-arbiter.toml: workers: nonsense")]


def test_listeners_are_opened_told_and_closed(rig: Rig) -> None:
    (answer,) = rig.effects.do(act.OpenListeners(1, CONFIG))
    assert isinstance(answer, ev.ListenersOpened) and answer.addresses[0].startswith("http://127.0.0.1:")
    assert rig.effects.do(act.CloseListeners(None)) == [ev.ListenersClosed(None)]


def test_an_address_that_cannot_be_opened_is_an_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BindError("cannot listen on 127.0.0.1:80: permission denied")

    monkeypatch.setattr(rig.listeners, "_bind", fail)
    assert rig.effects.do(act.OpenListeners(2, CONFIG)) == [
        ev.ListenersRefused(2, "cannot listen on 127.0.0.1:80: permission denied")
    ]


def test_certificates_are_read_with_the_listeners_and_what_is_wrong_is_an_answer(rig: Rig) -> None:
    (answer,) = rig.effects.do(act.OpenListeners(2, replace(CONFIG, certfile="/nowhere/cert.pem")))
    complaint = "certfile: cannot read /nowhere/cert.pem: No such file or directory"
    assert answer == ev.ListenersRefused(2, complaint)


def test_an_order_that_fails_in_an_unforeseen_way_is_logged_and_answered(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.loaded = RuntimeError("a bug")
    with caplog.at_level(logging.ERROR, "asgi_arbiter.arbiter"):
        (answer,) = rig.effects.do(act.LoadConfig())
    assert isinstance(answer, ev.ConfigRejected) and "a bug" in answer.complaint
    assert caplog.records[0].event == "effect_failed"  # type: ignore[attr-defined]


def test_log_files_are_opened_anew_everywhere(rig: Rig, kernel: Kernel) -> None:
    assert rig.effects.do(act.ReopenLogs((7, 8))) == [ev.LogsReopened()]
    assert kernel.killed == [(7, Signals.SIGUSR1), (8, Signals.SIGUSR1)]


def test_notices_are_answered(rig: Rig) -> None:
    notice = act.Notice("READY", "fine")
    assert rig.effects.do(act.Notify(notice)) == [ev.Notified(notice)]
    assert rig.effects.do(act.PetWatchdog()) == [ev.WatchdogPetted()]


# Remarks


def test_a_remark_is_a_log_record_with_its_event_its_facts_and_the_traceback(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    say = act.Say("worker_failed", "worker=1 failed: 100 %", logging.ERROR, "Traceback ...\n", {"worker": 1})
    with caplog.at_level(logging.DEBUG, "asgi_arbiter.arbiter"):
        rig.effects.relay(say)
    (record,) = caplog.records
    assert record.getMessage() == "worker=1 failed: 100 %" and record.exc_text == "Traceback ..."
    assert (record.event, record.worker) == ("worker_failed", 1)  # type: ignore[attr-defined]


def test_a_remark_below_the_level_costs_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "asgi_arbiter.arbiter"):
        rig.effects.relay(act.Say("state_changed", "...", logging.DEBUG))
    assert caplog.records == []


def test_a_mold_opens_its_logs_by_a_message_since_it_must_not_be_interrupted(order: Order, kernel: Kernel) -> None:
    order.rig.effects.do(act.ReopenLogs((500, 77)))
    assert order.mold.receive() == [{"kind": "reopen"}]
    assert kernel.killed == [(77, Signals.SIGUSR1)]


# Upgrades


def test_a_successor_is_started_offered_the_lead_and_left_alone(rig: Rig, heir: Heir, kernel: Kernel) -> None:
    assert rig.effects.do(act.StartSuccessor()) == [ev.SuccessorStarted(600)]
    heir.theirs.send({"kind": "ready"})
    assert rig.effects.wait(0) == [ev.SuccessorReady(600)]
    assert rig.effects.do(act.OfferLead(600)) == [ev.LeadOffered(600)]
    heir.theirs.send({"kind": "leading", "taken": ["127.0.0.1:8000"]})
    assert rig.effects.wait(0) == [ev.SuccessorLeads(600, ("127.0.0.1:8000",))]
    assert rig.effects.do(act.StepDown(600, ())) == [ev.SteppedDown(600)]
    assert rig.effects.do(act.DismissSuccessor(600)) == [ev.SuccessorDismissed(600)]
    assert [message["kind"] for message in heir.theirs.receive()] == ["lead", "released", "leave"]


def test_a_successor_reports_takes_the_lead_and_reclaims(rig: Rig, heir: Heir) -> None:
    assert rig.effects.do(act.ReportReadiness()) == [ev.ReadinessReported()]
    assert rig.effects.do(act.TakeLead()) == [ev.LeadTaken()]
    assert rig.effects.do(act.ReclaimSockets()) == [ev.SocketsReclaimed()]
    assert heir.done == [{"kind": "ready"}, "lead"]


def test_a_process_that_cannot_be_made_is_no_successor(rig: Rig, heir: Heir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> Any:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(heir, "start", refuse)
    (answer,) = rig.effects.do(act.StartSuccessor())
    assert isinstance(answer, ev.SuccessorRefused) and "temporarily unavailable" in answer.error
