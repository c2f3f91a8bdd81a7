"""What the operator reads."""

from __future__ import annotations

import logging
from signal import Signals
from typing import Any

import pytest

from asgi_arbiter.arbiter import remarks
from asgi_arbiter.arbiter.events import ChildExited, WorkerFailed
from asgi_arbiter.arbiter.ledger import Generation, WorkerHandle
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.arbiter.states import GenerationState, Reason, WorkerState
from asgi_arbiter.config.errors import ExitCode


def worker(state: WorkerState = WorkerState.SERVING, reason: Reason | None = None) -> WorkerHandle:
    handle = WorkerHandle(4711, 1, 2, 5, 100.0, 100.0, None, state, reason)
    handle.ready_at = None if state is WorkerState.BOOTING else 100.5
    return handle


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.312, "312 ms"), (4.25, "4.2 s"), (75, "1 min 15 s"), (90000, "25 h 0 min")],
)
def test_a_length_of_time_as_people_say_it(seconds: float, text: str) -> None:
    assert remarks.duration(seconds) == text


def test_one_worker_and_two_workers() -> None:
    assert [remarks.plural(n, "worker") for n in (0, 1, 2)] == ["0 workers", "1 worker", "2 workers"]


def test_ready_tells_who_and_how_long_it_took() -> None:
    say = remarks.ready(worker(), 100.312)
    assert say.text == "worker=2 gen=5 pid=4711 ready in 312 ms"
    assert (say.event, say.facts["worker"], say.facts["generation"], say.facts["pid"]) == ("worker_ready", 2, 5, 4711)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (ChildExited(4711, signal=Signals.SIGSEGV), ["SIGSEGV", "native code"]),
        (ChildExited(4711, signal=Signals.SIGSEGV, core_dumped=True), ["SIGSEGV", "core dumped"]),
        (ChildExited(4711, signal=Signals.SIGKILL), ["SIGKILL", "not by the arbiter", "out of memory?"]),
        (ChildExited(4711, signal=Signals.SIGKILL, oom_killed=True), ["SIGKILL", "out of memory, says the kernel"]),
        (ChildExited(4711, signal=33), ["signal 33"]),
        (ChildExited(4711, code=5), ["exited with 5", "startup failed"]),
        (ChildExited(4711, code=77), ["exited with 77", "application's own"]),
        (ChildExited(4711, code=1, peak_memory=200 * 2**20), ["peak memory 200 MiB"]),
    ],
)
def test_a_crash_is_an_error_and_its_reason_is_decoded(event: ChildExited, words: list[str]) -> None:
    say = remarks.exited(worker(), event, 160.0)
    assert say.event == "worker_crashed" and say.level == logging.ERROR
    assert say.text.startswith("worker=2 gen=5 pid=4711 crashed after 1 min 0 s: ")
    for word in words:
        assert word in say.text


def test_a_crash_while_booting_says_so() -> None:
    say = remarks.exited(worker(WorkerState.BOOTING), ChildExited(4711, code=1), 101.0)
    assert "crashed while booting" in say.text


def test_who_was_asked_to_leave_and_left_is_a_quiet_line() -> None:
    say = remarks.exited(worker(WorkerState.DRAINING, Reason.SUPERSEDED), ChildExited(4711), 101.0)
    assert say.event == "worker_exited" and say.level == logging.INFO
    assert "replaced by a new generation" in say.text


def test_at_shutdown_a_clean_exit_is_not_worth_a_line() -> None:
    say = remarks.exited(worker(WorkerState.DRAINING, Reason.SHUTDOWN), ChildExited(4711), 101.0)
    assert say.level == logging.DEBUG


def test_who_was_asked_to_leave_and_crashed_is_a_warning() -> None:
    say = remarks.exited(worker(WorkerState.DRAINING, Reason.SHUTDOWN), ChildExited(4711, signal=11), 101.0)
    assert say.level == logging.WARNING


def test_dying_of_our_own_signal_is_no_surprise() -> None:
    handle = worker(WorkerState.KILLED, Reason.SUPERSEDED)
    handle.sent.add(Signals.SIGKILL)
    say = remarks.exited(handle, ChildExited(4711, signal=9), 101.0)
    assert say.level == logging.INFO and "ended by SIGKILL" in say.text


def test_a_failure_is_told_in_full_once() -> None:
    config: Any = None
    generation = Generation(5, config, Rules(), 4, 0.0, GenerationState.CURRENT)
    event = WorkerFailed(4711, ExitCode.APP_IMPORT, "no module named 'mian'", "Traceback ...")
    first, second = (remarks.failed(worker(), generation, event) for _ in range(2))
    assert first.traceback == "Traceback ..." and "mian" in first.text and first.level == logging.ERROR
    assert second.traceback == "" and "mian" not in second.text
    other = remarks.failed(worker(), generation, WorkerFailed(4711, ExitCode.APP_IMPORT, "other"))
    assert "other" in other.text


def test_being_asked_to_leave_is_told_with_the_reason() -> None:
    handle = worker(WorkerState.RETIRING, Reason.LIMIT)
    handle.limit = "max_requests"
    assert "max_requests" in remarks.asked_to_leave(handle, Signals.SIGTERM, 101.0).text


def test_an_abort_is_told_with_what_was_found() -> None:
    handle = worker(WorkerState.STUCK, Reason.STALE_PULSE)
    handle.finding = "it is burning CPU"
    say = remarks.asked_to_leave(handle, Signals.SIGABRT, 101.0)
    assert say.event == "worker_aborted" and "burning CPU" in say.text and say.level == logging.ERROR


def test_a_kill_is_told_with_how_long_was_waited() -> None:
    say = remarks.asked_to_leave(worker(WorkerState.DRAINING, Reason.SHUTDOWN), Signals.SIGKILL, 135.0)
    assert say.event == "worker_killed" and "35.0 s" in say.text


def test_holding_back_says_why() -> None:
    assert "each of the last 3 workers" in remarks.held_back(1.0, 3, 3, 60.0).text
    assert "12 unexpected exits within 1 min 0 s" in remarks.held_back(6.0, 12, 0, 60.0).text


def test_a_stranger_is_only_worth_a_debug_line() -> None:
    assert remarks.stranger(ChildExited(99)).level == logging.DEBUG


def test_a_stop_tells_how_long_it_may_take() -> None:
    assert remarks.stop_begun(4, 35.0, "gracefully").text == "stopping gracefully: 4 workers, at most 35.0 s"
