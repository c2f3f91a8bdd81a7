"""The drain machine: when it waits, when it cancels, when it cuts, and that it always ends."""

from __future__ import annotations

import pytest

from asgi_arbiter.worker.drain import Drain, DrainOrder, DrainPhase, DrainReport


def begun(timeout: float = 30.0) -> Drain:
    """A drain that began at 100 and has let the loop turn."""
    drain = Drain()
    assert drain.begin(100.0, "reload", timeout)
    assert drain.step(100.0, 0) is DrainOrder.TURN
    assert drain.step(100.0, 0) is DrainOrder.TURN
    return drain


def test_the_loop_turns_twice_before_nothing_left_is_believed() -> None:
    assert begun().step(100.0, 0) is DrainOrder.FINISH


def test_a_connection_that_appears_while_the_loop_turns_is_waited_for() -> None:
    drain = begun()
    assert drain.step(100.1, 1) is DrainOrder.WAIT
    assert drain.step(129.9, 1) is DrainOrder.WAIT
    assert drain.step(129.9, 0) is DrainOrder.FINISH


def test_at_the_deadline_tasks_are_cancelled_then_connections_cut_then_it_ends() -> None:
    drain = begun()
    assert drain.step(130.0, 2) is DrainOrder.CANCEL
    assert drain.step(130.9, 2) is DrainOrder.WAIT
    assert drain.step(131.0, 2) is DrainOrder.CUT
    assert drain.step(131.9, 1) is DrainOrder.WAIT
    assert drain.step(132.0, 1) is DrainOrder.FINISH
    assert drain.phase is DrainPhase.DONE
    assert drain.step(133.0, 1) is DrainOrder.FINISH


def test_tasks_that_end_after_their_cancellation_are_not_cut() -> None:
    drain = begun()
    assert drain.step(130.0, 2) is DrainOrder.CANCEL
    assert drain.step(130.1, 0) is DrainOrder.FINISH


def test_beginning_again_keeps_the_first_reason_and_never_extends_the_time() -> None:
    drain = begun(timeout=10)
    assert not drain.begin(105.0, "shutdown", 30)
    assert drain.reason == "reload"
    assert drain.deadline == 110.0


def test_beginning_again_with_less_time_shortens_it() -> None:
    drain = begun(timeout=30)
    assert not drain.begin(101.0, "shutdown", 5)
    assert drain.step(106.0, 1) is DrainOrder.CANCEL


def test_a_late_hurry_does_not_prolong_the_cancellation() -> None:
    drain = begun(timeout=1)
    drain.step(101.0, 1)
    drain.begin(101.5, "shutdown", 0)
    assert drain.step(102.0, 1) is DrainOrder.CUT


def test_aborting_cancels_and_cuts_at_once_and_still_awaits_the_closing() -> None:
    drain = Drain()
    drain.begin(100.0, "shutdown", 0)
    drain.abort()
    orders = [drain.step(100.0, 1) for _ in range(5)]
    assert orders == [DrainOrder.TURN, DrainOrder.TURN, DrainOrder.CANCEL, DrainOrder.CUT, DrainOrder.WAIT]
    assert drain.step(101.0, 1) is DrainOrder.FINISH


def test_no_time_at_all_still_lets_the_loop_turn() -> None:
    drain = begun(timeout=0)
    assert drain.step(100.0, 0) is DrainOrder.FINISH


def test_a_step_before_the_beginning_is_an_error_of_ours() -> None:
    with pytest.raises(AssertionError, match="not begun"):
        Drain().step(0.0, 0)


def test_a_report_is_clean_if_nobody_was_cancelled_or_cut() -> None:
    assert DrainReport("reload", 0.1).is_clean
    assert not DrainReport("reload", 0.1, cancelled=1).is_clean
    assert not DrainReport("reload", 0.1, cut=1).is_clean
