"""What the fields of heads were judged to be: the way to the answer for nearly every head without judging it again.

Most clients send the same fields again and again, so the fields are remembered by all the bytes behind the request line.
Behind a proxy or a load generator one line differs each time: a request id, a trace context, the client's address. When
the memory has filled up, the names whose values never came twice are found in it, and from then on their values are
set aside before the rest is looked up.

Rules: only values that mean nothing to the server are set aside (``FIXED`` names never are), each is held to the grammar
by itself, and what is left is the key, byte for byte; so an answer from memory is the answer of the parser. A flood of
heads that never come again costs ``LIMIT`` insertions and one look through them in a tick.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .fields import FORWARDING, SPECIAL
from .memo import LIMIT, LONGEST, Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from .asgi import HeaderList
    from .terms import Terms

__all__ = ["MOST_MOVING", "SELDOM", "HeadMemory", "Judged"]

MOST_MOVING: Final = 4
"""Names whose values are set aside; looking for each takes time in every head. Where more of them move, the heads are
those of many different clients, and what is left of them would not come again either."""

SELDOM: Final = 8
"""While heads do not come again, one in so many is kept."""

# A part of RFC 9110's field-value: begins and ends with a visible character, with no tab or byte above ASCII in it.
_is_simple_value = re.compile(rb"[!-~](?:[ -~]*[!-~])?").fullmatch

Judged = tuple["HeaderList", "Terms", tuple[int, ...]]
"""The fields of a head, what they ask for, and the places of the fields whose values were set aside."""


class HeadMemory:
    """The heads of HTTP/1.1 requests that a worker has judged."""

    __slots__ = ("_known", "_missed", "_moving", "_one_in", "find")

    find: Callable[[bytes], Judged | None]
    """What is known of a head whose bytes behind the request line are these, with its own values in the fields."""

    def __init__(self) -> None:
        self._known = _Kept(self)
        self._moving: tuple[bytes, ...] = ()
        """How the lines whose values are set aside begin: CR LF, the name as it is spelt, a colon, a space."""
        self._one_in = 1
        """Of so many heads that were not known one is kept."""
        self._missed = 0
        self.find = self._known.get

    def keep(self, section: bytes, fields: HeaderList, terms: Terms, tick: int) -> None:
        """Remember a head that has been judged, with all its fields."""
        self._missed += 1
        if len(section) > LONGEST or self._missed % self._one_in:
            return
        cut = _cut(section, self._moving)
        if cut is None:
            return
        key, moved = cut
        if moved and section.count(b"\r\n") != len(fields) + 2:
            return  # names with an underscore were dropped: the places of lines are not those of fields
        places = tuple(section.count(b"\r\n", 0, section.find(start) + 1) for start, _ in moved)
        self._known.keep(key, (fields, terms, places), tick)

    def learn(self) -> None:
        """Find out from what is remembered which values never come twice."""
        values: dict[bytes, set[bytes]] = {}
        for fields, _, _ in self._known.values():
            for name, value in fields:
                values.setdefault(name, set()).add(value)
        newest = next(reversed(self._known), b"")
        starts = []
        for name, seen in values.items():
            if len(seen) > LIMIT // 2 and (name not in SPECIAL or name in FORWARDING):
                spelt = re.search(rb"\r\n" + re.escape(name) + rb": ", newest, re.IGNORECASE)
                if spelt is not None:
                    starts.append(spelt[0])
        self._moving = tuple(starts) if len(starts) <= MOST_MOVING else ()
        # Where nothing was learnt the next ones will not come again either. Those that do are kept soon all the same.
        self._one_in = 1 if self._moving else SELDOM
        self.find = self._find_without_moving if self._moving else self._known.get

    def _find_without_moving(self, section: bytes) -> Judged | None:
        cut = _cut(section, self._moving)
        if cut is None:
            return None
        key, moved = cut
        known = self._known.get(key)
        if known is None or not moved:
            return known
        fields, terms, places = known
        fields = fields.copy()
        for place, (_, value) in zip(places, moved, strict=True):
            fields[place] = (fields[place][0], value)
        return fields, terms, places


class _Kept(Memo[bytes, Judged]):
    """Before it is emptied it is learnt from."""

    __slots__ = ("_memory",)

    def __init__(self, memory: HeadMemory) -> None:
        super().__init__()
        self._memory = memory

    def clear(self) -> None:
        self._memory.learn()
        super().clear()


def _cut(section: bytes, starts: tuple[bytes, ...]) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
    """The section without the values of the first line that begins with each of ``starts``, and these values.

    None where a value is none that can be judged by itself."""
    moved = []
    for start in starts:
        at = section.find(start)
        if at >= 0:
            at += len(start)
            end = section.find(b"\r\n", at)
            value = section[at:end]
            if _is_simple_value(value) is None:
                return None
            section = section[:at] + section[end:]
            moved.append((start, value))
    return section, moved
