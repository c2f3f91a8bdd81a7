"""Does the client take what is sent to it? Asked once a second, and only while something waits to be sent. And the end of
one that does not."""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["Taking", "progress", "reset", "taking", "undelivered"]

Taking = tuple[int, tuple[int, int]]
"""The tick since which a client has been seen to take nothing, and the mark of its progress then."""

_DARWIN_SO_NWRITE: Final = 0x1024
_INET: Final = (socket.AF_INET, socket.AF_INET6)
_ACKNOWLEDGED: Final = slice(120, 128)
"""``tcpi_bytes_acked`` in Linux's ``struct tcp_info``."""


def progress(transport: asyncio.Transport) -> tuple[int, int]:
    """A mark that changes when the client takes something: the bytes that the transport holds, and those that the
    client's kernel has acknowledged. The first alone would do but for TLS, whose transports hide what lies below them,
    and for ``sendfile``, which passes them by. The second is 0 where there is no TCP or the system does not tell."""
    held = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.family not in _INET:
        return held, 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.stop)
    except OSError:  # closed in the meantime
        return held, 0
    return held, int.from_bytes(info[_ACKNOWLEDGED], sys.byteorder)


def taking(before: Taking | None, transport: asyncio.Transport, tick: int) -> Taking:
    """What is known at ``tick``, from what was known ``before``. What is added to the buffer meanwhile does not count as
    taken: an application may send from many tasks, and a server pings on."""
    now = progress(transport)
    since, mark = before or (tick, now)
    has_taken = now[0] < mark[0] or now[1] != mark[1]
    return tick if has_taken else since, now


def undelivered(transport: asyncio.Transport) -> int:
    """Bytes of ours that the client's kernel has not got yet, as far as anybody tells. Below TLS a loop may hold some of
    which the transport does not know; but then the kernel's queue is not empty either."""
    held = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if held or sock is None or transport.get_extra_info("sslcontext") is None:
        return held
    try:
        if sys.platform == "darwin":
            return sock.getsockopt(socket.SOL_SOCKET, _DARWIN_SO_NWRITE)
        import fcntl
        import termios

        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # closed in the meantime
        return held
    return int.from_bytes(queued, sys.byteorder)


def reset(transport: asyncio.Transport) -> None:
    """Cut the connection; the kernel forgets what is still to be sent, and tells the client."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in _INET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
