"""Who lets whom go first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asgi_arbiter.worker.fairness import LONG_PATIENCE, PATIENCE, Fairness
from asgi_arbiter.worker.pulse import PulseBoard, PulsePhase

NOW = 1000.0


@pytest.fixture
def board() -> Iterator[PulseBoard]:
    board = PulseBoard(4)
    yield board
    board.close()


def beat(
    board: PulseBoard, slot: int, connections: int, *, age: float = 0.1, phase: PulsePhase = PulsePhase.SERVING
) -> None:
    board.writer(slot).beat(phase=phase, connections=connections, now_ns=int((NOW - age) * 1e9))


def fairness(board: PulseBoard, *, accepted: int = 0, open_now: int = 0) -> Fairness:
    mine = Fairness(board, 0)
    mine.refresh(NOW, accepted=accepted, open_now=open_now)
    return mine


def test_alone_nobody_is_ahead(board: PulseBoard) -> None:
    assert not fairness(board).patience(1000)


def test_ahead_is_more_than_an_eighth_over_the_least_loaded_sibling(board: PulseBoard) -> None:
    beat(board, 1, 80)
    beat(board, 2, 200)
    mine = fairness(board)
    assert not mine.patience(91)
    assert mine.patience(92)


def test_one_connection_more_than_an_empty_sibling_is_not_ahead_but_two_are(board: PulseBoard) -> None:
    beat(board, 1, 0)
    assert not fairness(board).patience(1)
    assert fairness(board).patience(2)


def test_far_ahead_patience_is_longer(board: PulseBoard) -> None:
    beat(board, 1, 80)
    mine = fairness(board)
    assert mine.patience(128) == PATIENCE
    assert mine.patience(129) == LONG_PATIENCE


def test_ones_own_line_is_no_rival(board: PulseBoard) -> None:
    beat(board, 0, 0)
    assert not fairness(board).patience(50)


@pytest.mark.parametrize("phase", [PulsePhase.BOOTING, PulsePhase.DRAINING, PulsePhase.CLOSING])
def test_a_sibling_that_does_not_accept_is_not_waited_for(board: PulseBoard, phase: PulsePhase) -> None:
    beat(board, 1, 0, phase=phase)
    assert not fairness(board).patience(50)


def test_a_sibling_with_a_stale_beat_is_not_waited_for(board: PulseBoard) -> None:
    beat(board, 1, 0, age=3.0)
    assert not fairness(board).patience(50)
    beat(board, 1, 0, age=2.0)
    assert fairness(board).patience(50)


def test_counts_told_between_beats_are_seen_at_once(board: PulseBoard) -> None:
    beat(board, 1, 0)
    mine = fairness(board)
    assert mine.patience(10)
    board.writer(1).count(10)
    assert not mine.patience(10)


def test_short_lived_connections_are_not_balanced(board: PulseBoard) -> None:
    beat(board, 1, 0)
    mine = fairness(board, accepted=2000, open_now=8)
    assert mine.short_lived
    assert not mine.patience(8)


def test_when_connections_suddenly_stay_the_balance_counts_again_at_once(board: PulseBoard) -> None:
    beat(board, 1, 0)
    mine = fairness(board, accepted=2000, open_now=8)
    assert not mine.patience(32)
    assert mine.patience(33)


@pytest.mark.parametrize(("accepted", "open_now"), [(49, 0), (200, 50), (200, 10)])
def test_few_or_lasting_connections_are_balanced(board: PulseBoard, accepted: int, open_now: int) -> None:
    assert not fairness(board, accepted=accepted, open_now=open_now).short_lived


def test_a_sibling_that_comes_between_two_seconds_is_seen_a_moment_later(board: PulseBoard) -> None:
    mine = fairness(board)
    beat(board, 1, 0)
    mine.look(NOW + 0.01)
    assert not mine.patience(50)
    mine.look(NOW + 0.06)
    assert mine.patience(50)
