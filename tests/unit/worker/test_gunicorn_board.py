"""Lines of the pulse board, taken in gunicorn's master and given back by the dead."""

from __future__ import annotations

import pytest

from asgi_arbiter.worker import gunicorn_board
from asgi_arbiter.worker.gunicorn_board import BoardLine, take_line
from asgi_arbiter.worker.pulse import PulsePhase


def take() -> BoardLine:
    line = take_line()
    assert line is not None
    return line


def test_living_workers_have_lines_of_one_board() -> None:
    lines = [take() for _ in range(4)]
    assert len({line.number for line in lines}) == 4
    assert len({id(line.board) for line in lines}) == 1


def test_a_line_is_free_again_when_its_worker_is_gone_and_it_is_cleared() -> None:
    first, second = take(), take()
    number = second.number
    second.pulse.beat(phase=PulsePhase.SERVING)
    del second
    again = take()
    assert again.number == number
    assert again.board.read(number) is None
    assert first.number != number


def test_when_all_lines_are_taken_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_board, "LINES", 0)
    assert take_line() is None
