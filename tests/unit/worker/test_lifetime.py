"""The outermost border of a child, in the process of the test."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.config.errors import AppImportError, ExitCode
from asgi_arbiter.worker.lifetime import live_through
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.orders import Dismissed


class Child:
    """A child whose steps are noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = open_pair()
        self.arbiter, self.mailbox = Mailbox(ours), Mailbox(theirs)
        self.steps: list[str] = []
        self.orders: Any = SimpleNamespace(close=lambda: self.steps.append("deaf"))
        monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: self.steps.append("atexit"))

    def live(self, outcome: Any) -> ExitCode:
        def live() -> ExitCode:
            self.steps.append("live")
            if isinstance(outcome, BaseException):
                raise outcome
            return ExitCode(outcome)

        return live_through(live, self.orders, self.mailbox, self.farewell)

    def farewell(self) -> None:
        self.steps.append("farewell")


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    child = Child(monkeypatch)
    yield child
    child.arbiter.close()
    child.mailbox.close()


def test_the_last_things_come_in_their_order_and_undisturbed(child: Child) -> None:
    assert child.live(ExitCode.OK) is ExitCode.OK
    assert child.steps == ["live", "deaf", "farewell", "atexit"]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            AppImportError("no such module", traceback_text="Traceback of the user's"),
            ExitCode.APP_IMPORT,
            "of the user",
        ),
        (SystemExit(3), ExitCode.FAILED, "SystemExit"),
        (RuntimeError("a bug"), ExitCode.FAILED, "RuntimeError: a bug"),
    ],
    ids=repr,
)
def test_a_failure_is_told_with_its_traceback_and_nothing_is_raised(
    error: BaseException, code: ExitCode, text: str, child: Child
) -> None:
    assert child.live(error) is code
    (message,) = child.arbiter.receive()
    assert (message["kind"], message["code"]) == ("failed", code) and text in message["traceback"]


def test_one_that_was_told_to_leave_has_not_failed(child: Child) -> None:
    assert child.live(Dismissed()) is ExitCode.OK
    assert child.arbiter.receive() == []


def test_what_fails_at_the_end_is_logged_and_changes_nothing(
    child: Child, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise SystemExit("no more")

    monkeypatch.setattr(atexit, "_run_exitfuncs", fail)
    monkeypatch.setattr(sys, "stdout", None)
    assert child.live(ExitCode.OK) is ExitCode.OK
    assert [record.event for record in caplog.records] == ["hook_failed"]  # type: ignore[attr-defined]
