"""The first byte of a connection that should speak TLS: does it? Who speaks plain HTTP there is told so, in plain HTTP.

A TLS handshake begins with a record of type 22, a request with a letter. The byte is looked at (``MSG_PEEK``) and left
where it is. Whatever is neither is OpenSSL's to refuse, with an alert.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final

__all__ = ["answer", "readable", "speaks_http"]

_LINGER: Final = 1.0
"""Seconds for the client to read the answer: a socket closed over unread bytes would destroy it on its way."""
_PIECE: Final = 65_536
_MOST: Final = 16
"""Pieces thrown away in that time."""


async def speaks_http(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bool:
    """Wait for the first byte. Raises ``OSError`` if the client leaves without one."""
    while True:
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await readable(loop, connection)
            continue
        if not first:
            raise ConnectionResetError("the client left before the handshake")
        return first.isalpha()


async def answer(loop: asyncio.AbstractEventLoop, connection: socket.socket, text: bytes) -> None:
    """Send ``text`` and close, gently."""
    with contextlib.closing(connection), contextlib.suppress(OSError):  # includes TimeoutError
        async with asyncio.timeout(_LINGER):
            await loop.sock_sendall(connection, text)
            connection.shutdown(socket.SHUT_WR)
            for _ in range(_MOST):
                if not await loop.sock_recv(connection, _PIECE):
                    break


async def readable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """Wait until there is something to read, or the end."""
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection.fileno(), _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection.fileno())


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
