"""Where log lines go: writes that never raise and never wait, whatever is at the other end.

A log must not be able to stop a server. The reader of a pipe may be gone or asleep, a disk may be full, a terminal
may be held by Ctrl-S. The rules of a `Sink`:

* ``write`` takes whole lines, returns at once and raises nothing.
* What cannot be written now is kept, in order, up to ``BACKLOG`` bytes; what is beyond that is dropped and counted.
* When writing works again, one line says how many lines were lost and why, before the next line.
* A line of which a part was written is finished before anything else is written, so that no line is torn.

How each kind of descriptor is written to without waiting is in ``channels``.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

from .channels import Channel, Closed, duplicate, for_descriptor, for_path

__all__ = ["BACKLOG", "Announce", "Sink", "open_path", "open_stream"]

BACKLOG: Final = 256 * 1024
"""How many bytes a sink keeps while its reader is slow."""

_TEMPORARY: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOSPC, errno.EDQUOT, errno.ENOBUFS})
_REASONS: Final = {
    errno.EAGAIN: "the reader was too slow",
    errno.ENOBUFS: "the reader was too slow",
    errno.EPIPE: "the reader had gone away",
    errno.ECONNRESET: "the reader had gone away",
    errno.ENOTCONN: "the reader had gone away",
    errno.ENOSPC: "no space was left on the device",
    errno.EDQUOT: "the disk quota was used up",
    errno.EBADF: "the descriptor was closed",
}

Announce = Callable[[int, str], bytes]
"""From how many lines were lost, and why, to the line that says so."""


def _announce_plainly(count: int, reason: str) -> bytes:
    return f"{count} log {'line was' if count == 1 else 'lines were'} lost: {reason}\n".encode()


class Sink:
    """Lines to one descriptor. Safe in several threads, and after a fork in the child (which owes nothing).

    ``lost`` counts the lines that were dropped and not yet announced, ``lost_total`` all of them.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_head_begun",
        "_kept",
        "_lock",
        "_pending",
        "_reason",
        "announce",
        "lost",
        "lost_total",
        "path",
    )

    def __init__(self, channel: Channel, *, path: str = "", announce: Announce = _announce_plainly) -> None:
        self._channel: Channel = channel
        self._lock = threading.RLock()
        self._pending: deque[bytes] = deque()
        self._kept = 0
        self._head_begun = False
        self._reason = ""
        self.announce = announce
        self.path = path
        self.lost = 0
        self.lost_total = 0
        _every_sink.add(self)

    def write(self, line: bytes) -> None:
        """Write one line (or several), ending in a newline; keep or drop it if that is not possible now."""
        with self._lock:
            if self._pending or self.lost:
                self._write_later(line)
                return
            try:
                sent = self._channel.send(line)
            except (OSError, ValueError) as problem:
                self._refused(problem, line)
                return
            if sent < len(line):
                self._head_begun = True
                self._keep(line[sent:])
                self._drain()

    def flush(self, patience: float = 0.0) -> bool:
        """Write what was kept, waiting at most ``patience`` seconds in all; True if nothing is left."""
        deadline = time.monotonic() + patience
        while True:
            with self._lock:
                if self._drain():
                    return True
                descriptor = self.fileno()
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            _wait_writable(descriptor, min(left, 0.05))

    def reopen(self) -> OSError | None:
        """Open the path again, after a rotation. Returns the error if that failed; then the old file stays in use."""
        if not self.path:
            return None
        try:
            fresh = for_path(self.path)
        except OSError as problem:
            return problem
        with self._lock:
            self._drain()
            if self._pending and self._head_begun:  # its beginning is in the old file
                self._drop(self._pending.popleft())
                self._head_begun = False
            old, self._channel = self._channel, fresh
            self._drain()
        old.close()
        return None

    def give_to(self, uid: int, gid: int) -> None:
        """Give the file to another user, where this process may and it is a file by name."""
        if not self.path or self.path.startswith(("/dev/", "/proc/")):
            return
        try:
            descriptor = self.fileno()
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchown(descriptor, uid, gid)
        except OSError:
            pass  # it stays as it is; whoever cannot open it again says so

    def fileno(self) -> int:
        """The descriptor behind this sink, or -1."""
        return self._channel.fileno()

    def isatty(self) -> bool:
        """Whether a person is likely to look at it."""
        descriptor = self.fileno()
        return descriptor >= 0 and os.isatty(descriptor)

    def close(self) -> None:
        """Close the descriptor; later lines are dropped."""
        with self._lock:
            channel, self._channel = self._channel, Closed()
        channel.close()

    def __del__(self) -> None:
        self._channel.close()

    def _write_later(self, line: bytes) -> None:
        if not self._drain():
            self._keep(line)
            return
        if not self.lost:
            self.write(line)
            return
        # One write for both, so that nobody can read the announcement and doubt what came next.
        lost, reason = self.lost, self._reason
        before, self.lost = self.lost_total, 0
        self.write(self.announce(lost, reason) + line)
        if self.lost:  # refused again: only the line itself is lost in addition, and all are still to be announced
            self.lost = lost + _lines(line)
            self.lost_total = before + _lines(line)

    def _drain(self) -> bool:
        pending, channel = self._pending, self._channel
        while pending:
            data = pending.popleft()
            while not self._head_begun and pending and len(data) + len(pending[0]) <= channel.chunk:
                data += pending.popleft()
            try:
                sent = channel.send(data)
            except (OSError, ValueError) as problem:
                pending.appendleft(data)
                if not _is_temporary(problem):
                    self._forget(problem)
                    return True
                self._reason = _reason(problem)
                return False
            self._kept -= sent
            self._head_begun = sent < len(data)
            if self._head_begun:
                pending.appendleft(data[sent:])
        return True

    def _refused(self, problem: BaseException, line: bytes) -> None:
        self._reason = _reason(problem)
        if _is_temporary(problem):
            self._keep(line)
        else:
            self._drop(line)

    def _keep(self, data: bytes) -> None:
        # Once a line was dropped, those after it are too, so that there is one gap and the announcement stands in it.
        if not self.lost and self._kept + len(data) <= BACKLOG:
            self._pending.append(data)
            self._kept += len(data)
        elif self._head_begun and not self._pending:  # the rest of a line too long to keep: end it early
            self._pending.append(data[: BACKLOG - 1] + b"\n")
            self._kept += BACKLOG
        else:
            self._drop(data)

    def _drop(self, data: bytes) -> None:
        self.lost += _lines(data)
        self.lost_total += _lines(data)

    def _forget(self, problem: BaseException) -> None:
        self._reason = _reason(problem)
        for data in self._pending:
            self._drop(data)
        self._pending.clear()
        self._kept = 0
        self._head_begun = False

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # the other threads that may have held it do not exist here
        self._pending.clear()  # the parent writes these
        self._kept = 0
        self._head_begun = False
        self.lost = 0


_every_sink: weakref.WeakSet[Sink] = weakref.WeakSet()


def _start_afresh_in_child() -> None:
    for sink in list(_every_sink):
        sink._after_fork()


os.register_at_fork(after_in_child=_start_afresh_in_child)


def _lines(data: bytes) -> int:
    # Continuation lines (of a traceback) are indented and belong to the line before them.
    return max(1, data.count(b"\n") - data.count(b"\n "))


def _is_temporary(problem: BaseException) -> bool:
    return isinstance(problem, OSError) and problem.errno in _TEMPORARY


def _reason(problem: BaseException) -> str:
    number = problem.errno if isinstance(problem, OSError) else errno.EBADF
    return _REASONS.get(number or 0) or os.strerror(number or errno.EIO)


def _wait_writable(descriptor: int, seconds: float) -> None:
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        if not poller.poll(seconds * 1000):
            return
        # Writable and yet something is left: a full disk. Do not spin on it.
        time.sleep(min(seconds, 0.01))
    except (OSError, ValueError):
        time.sleep(seconds)


def open_stream(descriptor: int, *, announce: Announce = _announce_plainly) -> Sink:
    """A sink for an inherited descriptor such as 1 or 2. If that is closed, the sink drops every line."""
    try:
        return Sink(for_descriptor(duplicate(descriptor)), announce=announce)
    except OSError:
        return Sink(Closed(), announce=announce)


def open_path(path: str, *, announce: Announce = _announce_plainly) -> Sink:
    """A sink for a path: a file (made if absent, appended to), a FIFO, a device, or a name such as ``/dev/stdout``.

    Raises OSError if it cannot be opened.
    """
    path = os.path.abspath(path)  # not `resolve`: a symbolic link in the path may point elsewhere after a rotation
    return Sink(for_path(path), path=path, announce=announce)
