"""Between the kernel's words and the machine's."""

from __future__ import annotations

from signal import Signals
from typing import Any

import pytest

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.answers import from_mold, from_successor, refused, translated
from asgi_arbiter.arbiter.states import Reason
from asgi_arbiter.config.errors import ExitCode

CONFIG: Any = None
ERROR = RuntimeError("out of luck")


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"kind": "ready"}, ev.WorkerReady(7)),
        ({"kind": "retiring", "reason": "memory"}, ev.WorkerRetiring(7, "memory")),
        ({"kind": "leaving"}, ev.WorkerLeft(7)),
        (
            {"kind": "failed", "code": 4, "reason": "no module", "traceback": "Traceback"},
            ev.WorkerFailed(7, ExitCode.APP_IMPORT, "no module", "Traceback"),
        ),
        ({"kind": "failed", "code": 4, "reason": "no"}, ev.WorkerFailed(7, ExitCode.APP_IMPORT, "no")),
        ({"kind": "failed", "code": 99, "reason": "no"}, ev.WorkerFailed(7, ExitCode.FAILED, "no")),
        ({"kind": "failed", "code": "4", "reason": "no"}, None),
        ({"kind": "retiring"}, None),
        ({"kind": "hello"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_a_message_is_an_event_or_nothing(message: dict[str, object], event: ev.Event | None) -> None:
    assert translated(7, message) == event


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        (act.Spawn(0, 1, 2, CONFIG), ev.SpawnFailed(2, repr(ERROR))),
        (
            act.Signal(7, Signals.SIGTERM, Reason.SHUTDOWN),
            ev.Signalled(7, Signals.SIGTERM, Reason.SHUTDOWN),
        ),
        (act.Examine(7), ev.Examined(7, "not examined")),
        (act.LoadConfig(), ev.ConfigRejected(f"unexpectedly: {ERROR!r}")),
        (act.OpenListeners(2, CONFIG), ev.ListenersRefused(2, f"unexpectedly: {ERROR!r}")),
        (act.CloseListeners(2), ev.ListenersClosed(2)),
        (act.AdoptSettings(2, CONFIG), ev.SettingsAdopted(2)),
        (act.ReopenLogs(()), ev.LogsReopened()),
        (act.Notify(act.Notice("READY", "fine")), ev.Notified(act.Notice("READY", "fine"))),
        (act.PetWatchdog(), ev.WatchdogPetted()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failed_order_has_an_answer_so_that_it_is_not_given_for_ever(order: act.Action, answer: ev.Event) -> None:
    assert refused(order, ERROR) == answer


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"kind": "ready", "remarks": ["a thread"]}, ev.MoldReady(7, ("a thread",))),
        (
            {"kind": "failed", "code": 4, "reason": "no module", "traceback": "Traceback"},
            ev.MoldFailed(7, ExitCode.APP_IMPORT, "no module", "Traceback"),
        ),
        ({"kind": "ready"}, None),
        ({"kind": "leaving"}, None),
    ],
    ids=str,
)
def test_a_mold_s_message_is_another_event_than_a_worker_s(message: dict[str, object], event: ev.Event | None) -> None:
    assert from_mold(7, message) == event


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"kind": "ready"}, ev.SuccessorReady(7)),
        ({"kind": "leading", "taken": ["[::1]:80"]}, ev.SuccessorLeads(7, ("[::1]:80",))),
        ({"kind": "leading"}, None),
    ],
    ids=str,
)
def test_a_successor_s_message_is_an_event(message: dict[str, object], event: ev.Event | None) -> None:
    assert from_successor(7, message) == event


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        (act.Spawn(3, 1, 2, CONFIG, mold=500), ev.SpawnFailed(2, repr(ERROR), 3)),
        (act.SpawnMold(2, CONFIG), ev.SpawnFailed(2, repr(ERROR))),
        (act.StartSuccessor(), ev.SuccessorRefused(repr(ERROR))),
        (act.OfferLead(7), ev.LeadOffered(7)),
        (act.DismissSuccessor(7), ev.SuccessorDismissed(7)),
        (act.StepDown(7, ()), ev.SteppedDown(7)),
        (act.ReportReadiness(), ev.ReadinessReported()),
        (act.TakeLead(), ev.LeadTaken()),
        (act.ReclaimSockets(), ev.SocketsReclaimed()),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_failed_step_of_a_mold_or_an_upgrade_has_an_answer(action: act.Action, answer: ev.Event) -> None:
    assert refused(action, ERROR) == answer
