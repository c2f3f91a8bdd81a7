"""The pulse board of workers under gunicorn, by which they share connections fairly.

It is made in gunicorn's master with the first worker, and each worker takes a line of it there, before the fork. A line
is free again when its worker object is gone: the master forgets a worker once it has reaped it.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from .pulse import Pulse, PulseBoard

__all__ = ["BoardLine", "take_line"]

LINES = 256
"""Workers that can tell each other how many connections they have; more serve as well, without looking."""

_board: PulseBoard | None = None
_taken: WeakValueDictionary[int, BoardLine] = WeakValueDictionary()


class BoardLine:
    """One worker's line, for as long as the worker keeps this object."""

    __slots__ = ("__weakref__", "board", "number", "pulse")

    def __init__(self, board: PulseBoard, number: int) -> None:
        self.board = board
        self.number = number
        board.clear(number)
        self.pulse: Pulse = board.writer(number)


def take_line() -> BoardLine | None:
    """A free line, cleared; None if there is none left."""
    global _board
    if _board is None:
        _board = PulseBoard(LINES)
    for number in range(LINES):
        if number not in _taken:
            line = _taken[number] = BoardLine(_board, number)
            return line
    return None
