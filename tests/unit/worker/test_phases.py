"""The phases of a server, and what a beat carries to the board."""

from __future__ import annotations

import pytest

from asgi_arbiter.worker.phases import TRANSITIONS, ServerPhase, ServerSnapshot
from asgi_arbiter.worker.pulse import PulseBoard, PulsePhase


def test_every_phase_has_a_row_and_every_phase_but_the_first_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(ServerPhase)
    reached = set().union(*TRANSITIONS.values())
    assert reached == set(ServerPhase) - {ServerPhase.NEW}


def test_only_the_ends_cannot_be_left() -> None:
    assert {phase for phase, targets in TRANSITIONS.items() if not targets} == {ServerPhase.CLOSED, ServerPhase.FAILED}


@pytest.mark.parametrize(
    ("phase", "told"),
    [
        (ServerPhase.STARTING, PulsePhase.BOOTING),
        (ServerPhase.SERVING, PulsePhase.SERVING),
        (ServerPhase.DRAINING, PulsePhase.DRAINING),
        (ServerPhase.CLOSING, PulsePhase.CLOSING),
    ],
)
def test_a_snapshot_is_written_as_one_beat(phase: ServerPhase, told: PulsePhase) -> None:
    board = PulseBoard(1)
    ServerSnapshot(phase, connections=4, in_flight=2, served=99, lag=0.5).write_to(board.writer(0))
    reading = board.read(0)
    assert reading is not None
    assert (reading.phase, reading.connections, reading.in_flight, reading.served) == (told, 4, 2, 99)
    assert reading.lag_ns == 500_000_000
    board.close()
