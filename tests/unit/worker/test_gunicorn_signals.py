"""What surrounds the signal handlers of a worker under gunicorn."""

from __future__ import annotations

import faulthandler
import signal
import sys
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.worker.gunicorn_signals import TO_LEAVE, do_nothing, point_faulthandler, queued, stop_listening


class Arbiter:
    """gunicorn's, as far as its forked child meets it."""

    def __init__(self, queue: Any) -> None:
        self.SIG_QUEUE = queue

    def signal(self, number: int, frame: Any) -> None:
        """Its handler."""


def simple_queue(*numbers: int) -> Any:
    made: SimpleQueue[int] = SimpleQueue()
    for number in numbers:
        made.put(number)
    return made


@pytest.mark.parametrize(
    ("queue", "found"),
    [
        ([], []),
        ([signal.SIGHUP, signal.SIGTERM], [signal.SIGHUP, signal.SIGTERM]),
        (simple_queue(), []),
        (simple_queue(signal.SIGHUP, signal.SIGQUIT), [signal.SIGHUP, signal.SIGQUIT]),
        (None, []),
    ],
)
def test_the_queue_of_any_gunicorn_is_read(queue: Any, found: list[int]) -> None:
    assert queued(Arbiter(queue).signal) == found


@pytest.mark.parametrize("handler", [signal.SIG_DFL, None, do_nothing])
def test_without_an_arbiter_there_is_no_queue(handler: object) -> None:
    assert queued(handler) == []


def test_at_the_end_whatever_would_kill_is_ignored_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    actions: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", actions.__setitem__)
    stop_listening()
    assert set(actions.values()) == {signal.SIG_IGN}
    assert actions.keys() >= TO_LEAVE


def test_stacks_go_to_the_error_log_at_crashes_and_at_usr2(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(faulthandler, "enable", lambda stream, all_threads: seen.append(stream))
    monkeypatch.setattr(faulthandler, "register", lambda number, stream, all_threads: seen.append((number, stream)))
    point_faulthandler(SimpleNamespace())
    assert seen == [sys.__stderr__, (signal.SIGUSR2, sys.__stderr__)]
