"""The workers that are a mold's own children, where the arbiter cannot have them: who lives, and how each has ended.

Nothing here makes or reaps a process: reaping is lent by the arbiter. Where workers are the arbiter's children there is
nothing to know, and an empty nursery costs nothing.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Callable, Iterable
from signal import Signals
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mailbox import Mailbox

__all__ = ["Death", "Nursery", "why_refused"]

Death = tuple[int, int | None, int]
"""Pid, status as ``waitpid`` gives it (``None``: nobody could ask), peak memory in the kernel's unit."""


_HINTS = {
    errno.EAGAIN: "too many processes: ulimit -u, TasksMax= of the unit, or the container's limit of pids",
    errno.EMFILE: "ulimit -n, LimitNOFILE= of the unit",
}


def why_refused(error: OSError) -> str:
    """Why no process could be made, and which limit to look at."""
    reason = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0)
    return f"{reason} ({hint})" if hint else reason


class Nursery:
    """``collect`` reaps those of some pids that have ended; ``None`` where that is not our business."""

    def __init__(self, collect: Callable[[Iterable[int]], list[Death]] | None) -> None:
        self.children: set[int] = set()
        self._collect = collect
        self._reader = self._writer = -1

    def open(self) -> None:
        """From now on the end of a child wakes ``poll``. After the import, since the application may have set handlers of
        its own."""
        if self._collect is None:
            return
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        signal.signal(Signals.SIGCHLD, _do_nothing)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def descriptors(self) -> tuple[int, ...]:
        """What a child must not keep."""
        return () if self._reader < 0 else (self._reader, self._writer)

    def poll(self, mailbox: Mailbox) -> select.poll:
        """What waits for orders and for the end of a child."""
        both = select.poll()
        both.register(mailbox.fileno(), select.POLLIN)
        if self._reader >= 0:
            both.register(self._reader, select.POLLIN)
        return both

    def add(self, pid: int) -> None:
        """A child was forked."""
        if self._collect is not None:
            self.children.add(pid)

    def deaths(self) -> list[Death]:
        """Who has ended since the last call. Never waits."""
        if self._collect is None:
            return []
        try:
            while os.read(self._reader, 4096):
                pass
        except BlockingIOError:
            pass
        found = self._collect(sorted(self.children))
        self.children -= {pid for pid, _, _ in found}
        return found


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """The signal's work is done when it has woken somebody."""
