"""Does a party move at least so many bytes while the other waits for it?

Counted in windows, so that a fast beginning earns no right to be slow for hours. Only the seconds in which somebody
really waits are counted: a client that we do not read, or that has taken all we have, owes nothing.
"""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Asked once for each second of waiting, from its first second on."""

    __slots__ = ("_mark", "_needed", "_waited", "_window", "since")

    def __init__(self, window: int, needed: float, total: int, since: int = 0) -> None:
        self._window = window
        self._needed = needed
        self._mark = total
        self._waited = 0
        self.since = since
        """The tick at which began what is measured."""

    def is_too_slow(self, total: int) -> bool:
        """Whether a window has just ended in which less than the needed number of bytes moved. ``total`` is a count
        that grows with each byte."""
        self._waited += 1
        if self._waited < self._window:
            return False
        moved = total - self._mark
        self._waited, self._mark = 0, total
        return moved < self._needed
