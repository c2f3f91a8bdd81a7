"""The heartbeat's memory layout, written once for the writer and for the reader.

One anonymous shared map, one line of 64 bytes (a cache line) per slot. The worker's event loop writes its own line,
the arbiter and the sibling workers read all of them; neither costs a system call. Rules:

* a slot has one writer at a time; the arbiter clears the line before it forks the slot's next worker;
* a beat carries its sequence number at both ends of the line, written first and last, so that a reader notices a line
  that is half old and half new;
* the number of connections is also written between beats, at accept. It is one aligned word, hence never torn, and
  stands outside the sequence;
* times are ``time.monotonic_ns()``, which all processes of one machine share.
"""

from __future__ import annotations

import mmap
import struct
import time
from enum import IntEnum

from asgi_arbiter.config.records import Record

__all__ = ["Pulse", "PulseBoard", "PulsePhase", "PulseReading"]

LINE = 64
_HEAD = struct.Struct("=QqqQII")
"""sequence, beat (ns), lag (ns), served, in flight, phase: bytes 0 to 39."""
_CONNECTIONS = 48
_TAIL = 56
_WORD = struct.Struct("=I")
_LONG = struct.Struct("=Q")
_ATTEMPTS = 4


class PulsePhase(IntEnum):
    """Where a worker stands, as far as its siblings need to know: only one that serves is a rival for accepting."""

    BOOTING = 0
    SERVING = 1
    DRAINING = 2
    CLOSING = 3
    """Drained; the lifespan shutdown of the application runs."""


class PulseReading(Record):
    """One beat, as read."""

    sequence: int
    """Counts the beats of this worker, from 1."""
    beat_ns: int
    """When it was written, ``time.monotonic_ns()``."""
    lag_ns: int
    """By how much the event loop was late for this beat."""
    connections: int
    in_flight: int
    served: int
    """Requests completed since the worker started."""
    phase: PulsePhase

    def age(self, now: float) -> float:
        """Seconds since the beat, for ``now`` of ``time.monotonic()``."""
        return now - self.beat_ns / 1e9


class PulseBoard:
    """The lines of all slots. Made by the arbiter before the first fork and inherited from then on.

    ``slots`` is the highest number of workers that may ever live at once; the memory is ``64 * slots`` bytes,
    rounded up to pages.
    """

    __slots__ = ("_map", "slots")

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"a pulse board needs at least one slot, not {slots}")
        self.slots = slots
        self._map = mmap.mmap(-1, LINE * slots)

    def writer(self, slot: int) -> Pulse:
        """The writing end of one slot, for its worker."""
        return Pulse(self._map, self._offset(slot))

    def read(self, slot: int) -> PulseReading | None:
        """The last beat of ``slot``; ``None`` if there was none yet, or if the line stays torn (its writer was
        killed in the middle of a beat)."""
        base = self._offset(slot)
        for _ in range(_ATTEMPTS):
            # The writer goes from head to tail, so the reader goes from tail to head.
            (tail,) = _LONG.unpack_from(self._map, base + _TAIL)
            sequence, beat, lag, served, in_flight, phase = _HEAD.unpack_from(self._map, base)
            if sequence == tail:
                if not sequence:
                    return None
                return PulseReading(sequence, beat, lag, self.connections(slot), in_flight, served, PulsePhase(phase))
        return None

    def connections(self, slot: int) -> int:
        """The open connections of ``slot`` as its worker last told; 0 for a slot that never beat."""
        return int(_WORD.unpack_from(self._map, self._offset(slot) + _CONNECTIONS)[0])

    def clear(self, slot: int) -> None:
        """Forget the slot's former worker. For the arbiter, before it forks the next one and after a reap."""
        base = self._offset(slot)
        self._map[base : base + LINE] = bytes(LINE)

    def close(self) -> None:
        """Unmap. Only tests need it; a process unmaps when it ends."""
        self._map.close()

    def _offset(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} is outside of the board, which has {self.slots}")
        return slot * LINE


class Pulse:
    """The writing end of one slot. Only the slot's own event loop may use it: a beat proves that the loop turns."""

    __slots__ = ("_base", "_map", "_sequence")

    def __init__(self, board: mmap.mmap, base: int) -> None:
        self._map = board
        self._base = base
        self._sequence = 0

    def beat(
        self,
        *,
        phase: PulsePhase,
        lag_ns: int = 0,
        connections: int = 0,
        in_flight: int = 0,
        served: int = 0,
        now_ns: int | None = None,
    ) -> None:
        """Write one beat. ``now_ns`` is for tests; it defaults to ``time.monotonic_ns()``."""
        now = time.monotonic_ns() if now_ns is None else now_ns
        self._sequence += 1
        _HEAD.pack_into(self._map, self._base, self._sequence, now, lag_ns, served, in_flight, phase)
        _WORD.pack_into(self._map, self._base + _CONNECTIONS, connections)
        _LONG.pack_into(self._map, self._base + _TAIL, self._sequence)

    def count(self, connections: int) -> None:
        """Tell the number of open connections between two beats, at accept."""
        _WORD.pack_into(self._map, self._base + _CONNECTIONS, connections)
