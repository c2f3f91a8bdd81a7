"""Backpressure both ways: what waits, how much of it, and who is woken.

Reading: a ``BodyBuffer`` holds the part of a request body that the application has not received; above ``HIGH_WATER``
the connection stops reading until it has been taken. Writing: the transport says when its own buffer is too full, and
``send`` waits with ``wait`` until it says otherwise.
"""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["HIGH_WATER", "BodyBuffer", "keep_freed_memory", "wait", "wake"]

HIGH_WATER: Final = 65536
"""Bytes of unreceived body, or of requests that wait for their turn, above which a connection is not read."""
_KEPT: Final = 4 << 20

Waiters = list["asyncio.Future[None]"]


async def wait(waiters: Waiters, loop: asyncio.AbstractEventLoop) -> None:
    """Wait for the next ``wake``. Each caller has a future of its own, so one that is cancelled harms no other."""
    future: asyncio.Future[None] = loop.create_future()
    waiters.append(future)
    try:
        await future
    finally:
        if future in waiters:
            waiters.remove(future)


def wake(waiters: Waiters) -> None:
    """Wake everyone who waits."""
    for future in waiters:
        if not future.done():
            future.set_result(None)
    waiters.clear()


def keep_freed_memory() -> None:
    """Have glibc's allocator keep a few freed MiB for the next reads, once per process.

    A read is an object of up to 256 KB. By default its memory goes back to the kernel at once and comes again page by
    page, for nearly half of the time that an upload takes. The allocator learns from the largest block it has seen
    freed: from twice this size on it gives memory back. The block itself is never touched, so it costs nothing; other
    allocators make nothing of it."""
    bytes(_KEPT)


class BodyBuffer:
    """The part of a request body that has arrived and was not yet received by the application."""

    __slots__ = ("_pieces", "complete", "size", "taken")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes that wait here."""
        self.complete = False
        """Nothing more will arrive."""
        self.taken = False
        """The application has taken some of it."""

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)

    def take(self) -> bytes:
        """Everything that waits, without a copy where it arrived in one piece."""
        pieces = self._pieces
        self.size = 0
        self.taken = True
        if len(pieces) == 1:
            self._pieces = []
            return pieces[0]
        data = b"".join(pieces)
        self._pieces = []
        return data

    def clear(self) -> None:
        """Forget what nobody will receive."""
        self._pieces = []
        self.size = 0
