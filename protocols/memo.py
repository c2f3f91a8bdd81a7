"""What was worked out before and is likely to be asked again: heads of requests, heads of responses.

Clients of an API, probes and proxies' pools send the same fields over and over, and applications answer with the same few
heads; both are cheaper to remember than to judge or to encode anew. Pure: no connection, no I/O.

Rules: what is kept was checked in full before, under a key that holds every byte the verdict depends on; a memo has a
bounded number of small entries; who floods it with heads that never come again is out of it within a tick or finds it
full, so that nobody can make it dearer than ``LIMIT`` insertions a second.
"""

from __future__ import annotations

from typing import Final, TypeVar

__all__ = ["LIMIT", "LONGEST", "Memo"]

LIMIT: Final = 256
"""Entries of one memo."""
LONGEST: Final = 1024
"""Bytes of a head that are worth remembering; longer ones are rarely the same twice."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Memo(dict[_Key, _Value]):
    """A dictionary that stays small. Read it as one; write with ``keep`` alone."""

    __slots__ = ("_emptied",)

    def __init__(self) -> None:
        super().__init__()
        self._emptied = -1

    def keep(self, key: _Key, value: _Value, tick: int) -> None:
        """Remember, where there is room. A full memo is emptied, but only once in a tick."""
        if len(self) >= LIMIT:
            if self._emptied == tick:
                return
            # Dropping everything is cheaper than any order of use.
            self._emptied = tick
            self.clear()
        self[key] = value
