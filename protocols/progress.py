"""Does the client take what is sent to it? Asked once a second, and only while something waits to be sent."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["progress", "undelivered"]

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
