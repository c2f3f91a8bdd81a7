"""Who should accept: the shared listening socket is left to the sibling that has the fewest connections. Pure.

Left alone, the kernel and the loops give most keep-alive connections to whoever wakes first (measured: 2 to 4 times the
fair share on the fullest worker). The remedy is the pulse board, where each worker tells its number of connections: a
worker that is ahead of the least loaded live sibling by more than an eighth lets the others go first for about a
millisecond, then accepts one anyway. Far ahead it waits longer, for siblings that stand in line for a processor. Rules:

* only siblings that serve and whose beat is fresh count; a blocked one must not hold up the service;
* where connections are short-lived there is nothing to balance, and waiting would only cost: the rule is off while
  connections live for less than ``SHORT`` seconds on average (Little's law: open = rate x lifetime).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pulse import PulsePhase

if TYPE_CHECKING:
    from .pulse import PulseBoard

__all__ = ["LONG_PATIENCE", "PATIENCE", "Fairness"]

PATIENCE = 0.001
"""Seconds to let the others go first."""
LONG_PATIENCE = 0.005
"""The same when far ahead: more than half as much again as the least loaded, and ``FAR`` connections."""
FAR = 8
SHORT = 0.05
BUSY = 50
"""Accepts per second below which the average says nothing."""
LOOK = 0.05
"""Seconds after which a worker that accepts looks again who its siblings are: in the first moments of a service they
come one by one."""
STALE = 2.5
"""Seconds after which a sibling's beat (one per second) is too old to wait for it."""


class Fairness:
    """The view of one worker on its siblings. ``refresh`` once a second, ``look`` before a batch of accepts and
    ``patience`` before each of them."""

    __slots__ = ("_board", "_ceiling", "_look_at", "_siblings", "_slot", "short_lived")

    def __init__(self, board: PulseBoard, slot: int) -> None:
        self._board = board
        self._slot = slot
        self._siblings: tuple[int, ...] = ()
        self._look_at = 0.0
        self.short_lived = False
        """Connections come and go so fast that balancing them is pointless."""
        self._ceiling = 0

    def refresh(self, now: float, *, accepted: int, open_now: int) -> None:
        """Look who is alive, and how the last second was: ``accepted`` connections in it, ``open_now`` open.

        ``now`` is ``time.monotonic()``, the clock of the board.
        """
        self._look_at = 0.0
        self.look(now)
        self.short_lived = accepted >= BUSY and open_now < accepted * SHORT
        # If many connections suddenly stay open, the average of the last second is history.
        self._ceiling = 2 * open_now + 16

    def look(self, now: float) -> None:
        """See who is alive, unless that was seen a moment ago."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK
        self._siblings = tuple(
            slot for slot in range(self._board.slots) if slot != self._slot and self._is_live(slot, now)
        )

    @property
    def has_siblings(self) -> bool:
        """Whether others accepted from the same sockets at the last look."""
        return bool(self._siblings)

    def patience(self, mine: int) -> float:
        """For how many seconds a worker with ``mine`` connections should let the others go first; mostly 0."""
        if not self._siblings or (self.short_lived and mine <= self._ceiling):
            return 0.0
        counts = self._board.connections
        least = min([counts(slot) for slot in self._siblings])
        if mine <= least + (least >> 3) + 1:
            return 0.0
        return LONG_PATIENCE if mine > least + (least >> 1) + FAR else PATIENCE

    def _is_live(self, slot: int, now: float) -> bool:
        reading = self._board.read(slot)
        return reading is not None and reading.phase is PulsePhase.SERVING and reading.age(now) < STALE
