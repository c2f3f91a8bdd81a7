"""The heartbeat: what the writer writes is what the readers read, in whatever process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from asgi_arbiter.worker import pulse
from asgi_arbiter.worker.pulse import PulseBoard, PulsePhase


@pytest.fixture
def board() -> Iterator[PulseBoard]:
    board = PulseBoard(3)
    yield board
    board.close()


def test_a_slot_that_never_beat_reads_as_nothing(board: PulseBoard) -> None:
    assert board.read(0) is None
    assert board.connections(0) == 0


def test_a_beat_is_read_as_it_was_written(board: PulseBoard) -> None:
    board.writer(1).beat(
        phase=PulsePhase.SERVING, lag_ns=5_000_000, connections=7, in_flight=3, served=2**40, now_ns=90_000_000_000
    )
    reading = board.read(1)
    assert reading is not None
    assert (reading.sequence, reading.beat_ns, reading.lag_ns) == (1, 90_000_000_000, 5_000_000)
    assert (reading.connections, reading.in_flight, reading.served) == (7, 3, 2**40)
    assert reading.phase is PulsePhase.SERVING
    assert reading.age(91.5) == 1.5


def test_beats_of_one_slot_do_not_reach_its_neighbours(board: PulseBoard) -> None:
    board.writer(1).beat(phase=PulsePhase.SERVING, connections=2**32 - 1, served=2**64 - 1)
    assert board.read(0) is None
    assert board.read(2) is None


def test_each_beat_has_the_next_number_and_the_time_of_the_monotonic_clock(board: PulseBoard) -> None:
    writer = board.writer(0)
    writer.beat(phase=PulsePhase.BOOTING)
    first = board.read(0)
    writer.beat(phase=PulsePhase.SERVING)
    second = board.read(0)
    assert first is not None
    assert second is not None
    assert second.sequence == first.sequence + 1
    assert second.beat_ns >= first.beat_ns > 0


def test_a_count_between_two_beats_changes_the_connections_alone(board: PulseBoard) -> None:
    writer = board.writer(0)
    writer.beat(phase=PulsePhase.SERVING, connections=1, served=9)
    before = board.read(0)
    writer.count(12)
    after = board.read(0)
    assert before is not None
    assert after is not None
    assert board.connections(0) == after.connections == 12
    assert (after.sequence, after.served) == (before.sequence, 9)


def test_a_line_whose_ends_disagree_is_not_believed(board: PulseBoard) -> None:
    board.writer(0).beat(phase=PulsePhase.SERVING)
    pulse._LONG.pack_into(board._map, 0, 2)  # a writer that was killed after the first word
    assert board.read(0) is None


def test_clearing_forgets_the_former_worker(board: PulseBoard) -> None:
    board.writer(2).beat(phase=PulsePhase.DRAINING, connections=4)
    board.clear(2)
    assert board.read(2) is None
    assert board.connections(2) == 0


@pytest.mark.parametrize("slot", [-1, 3])
def test_a_slot_outside_of_the_board_is_an_error(board: PulseBoard, slot: int) -> None:
    for access in (board.read, board.writer, board.clear, board.connections):
        with pytest.raises(IndexError, match="outside of the board"):
            access(slot)


def test_a_board_without_slots_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        PulseBoard(0)


def test_the_layout_leaves_no_field_overlapping_another() -> None:
    assert pulse._HEAD.size <= pulse._CONNECTIONS
    assert pulse._CONNECTIONS + pulse._WORD.size <= pulse._TAIL
    assert pulse._TAIL + pulse._LONG.size == pulse.LINE
    assert pulse._CONNECTIONS % 4 == 0
    assert os.sysconf("SC_PAGE_SIZE") % pulse.LINE == 0
