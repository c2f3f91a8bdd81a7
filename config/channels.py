"""How a descriptor is written to without ever waiting for its reader. It depends on what the descriptor is:

* A pipe or a terminal is opened a second time through ``/proc/self/fd/N``. That gives an open file description of our
  own, on which O_NONBLOCK can be set; setting it on the inherited one would change it for every other process that
  shares it (a shell, ``tee``), which is a well known way to break them.
* A socket (the standard output of a systemd unit) is written with MSG_DONTWAIT, which touches no shared flag.
* A regular file is written plainly. Files opened here are in append mode, so lines of several processes stay whole.
* Where none of that works, the descriptor is asked by ``poll`` first and given at most PIPE_BUF bytes, which fit.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import stat
from typing import Final, Protocol

__all__ = ["Channel", "Closed", "duplicate", "for_descriptor", "for_path"]

_PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)


class Channel(Protocol):
    """One way to write to one descriptor."""

    chunk: int
    """How many bytes of several lines may go out in one write and still not be mixed with other processes' lines."""

    def send(self, data: bytes) -> int: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Closed:
    """What is left of a descriptor after `Sink.close`, or in place of one that was closed from the start."""

    __slots__ = ()
    chunk = 0

    def send(self, data: bytes) -> int:
        raise OSError(errno.EBADF, "closed")

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


class _Plain:
    """A regular file, or a descriptor that is ours and in non-blocking mode."""

    __slots__ = ("_descriptor", "chunk")

    def __init__(self, descriptor: int, chunk: int) -> None:
        self._descriptor = descriptor
        self.chunk = chunk

    def send(self, data: bytes) -> int:
        return os.write(self._descriptor, data)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


class _Polled(_Plain):
    """A descriptor that may block: asked first, and given no more than surely fits."""

    __slots__ = ()

    def send(self, data: bytes) -> int:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        if not poller.poll(0):
            raise BlockingIOError(errno.EAGAIN, "not writable now")
        return os.write(self._descriptor, data[:_PIPE_BUF])


class _Socket:
    """A connected socket that is shared with others; no flag of it is changed."""

    __slots__ = ("_socket", "chunk")

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self.chunk = 65536 if self._socket.type == socket.SOCK_STREAM else 0

    def send(self, data: bytes) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


def duplicate(descriptor: int) -> int:
    """Another number for the same open file, not inherited by programs.

    Above 2: a log that got the number of a closed standard stream would collect what is written to that.
    """
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)


def _lifted(descriptor: int) -> int:
    if descriptor > 2:
        return descriptor
    higher = duplicate(descriptor)
    os.close(descriptor)
    return higher


def for_path(path: str) -> Channel:
    """The way to write to a file (made if absent, appended to), a FIFO or a device. Raises OSError."""
    inherited = _descriptor_named(path)
    if inherited is not None:  # a socket there cannot be opened by name, and a file would lose its shared position
        return for_descriptor(duplicate(inherited))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as problem:
        if problem.errno != errno.ENXIO:
            raise
        # A FIFO that nobody reads yet. Opened both ways it can be written, and its reader may come and go.
        descriptor = os.open(path, flags & ~os.O_WRONLY | os.O_RDWR, 0o644)
    descriptor = _lifted(descriptor)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return _Plain(descriptor, 65536)
    return _Plain(descriptor, _PIPE_BUF)


def _descriptor_named(path: str) -> int | None:
    if path in ("/dev/stdout", "/dev/stderr"):
        return 1 if path.endswith("out") else 2
    for prefix in ("/dev/fd/", "/proc/self/fd/"):
        if path.startswith(prefix) and path[len(prefix) :].isdecimal():
            return int(path[len(prefix) :])
    return None


def for_descriptor(descriptor: int) -> Channel:
    """The way to write to ``descriptor``, which it takes over."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return _Plain(descriptor, 65536)
    if stat.S_ISSOCK(mode):
        return _Socket(descriptor)
    try:
        own = _lifted(_open_again(descriptor))
    except OSError:  # another user's pipe, no /proc, no reader left
        return _Polled(descriptor, _PIPE_BUF)
    os.close(descriptor)
    return _Plain(own, _PIPE_BUF)


def _open_again(descriptor: int) -> int:
    return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
