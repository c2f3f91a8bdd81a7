"""Responses from files: the extensions ``http.response.pathsend`` and ``http.response.zerocopysend``.

Rules:

* everything that can be wrong is found before the head goes out, so that it becomes a 500 and not half a response;
* a small file is read and sent like any body: one write is cheaper than what follows;
* a larger one goes through ``os.sendfile`` once the transport has nothing unsent, on a duplicate of its descriptor, so
  that no transport of either loop has to know. (``loop.sendfile`` is missing in uvloop; asyncio's takes the protocol
  away from its transport and waits for ever if the transport is aborted meanwhile.);
* where the kernel cannot do it (TLS, a file system without it) the file is read in pieces of ``PIECE`` bytes, each
  after the client has taken enough of those before; a pipe is read as it fills;
* nothing else can be sent while a file is under way, and a file that cannot be sent to its end cuts the connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Final

from .errors import ClientDisconnected, MisusedByApplication
from .framing import _CHUNKED, _CONTENT_LENGTH, _NO_BODY, _UNTIL_CLOSE, SEND_TRAILERS, SENDING, STARTED, STREAMING
from .response import _LENGTH_SHIFT, declared_length

if TYPE_CHECKING:
    from .asgi import Message
    from .cycle import RequestCycle

__all__ = ["PIECE", "SMALL", "send_descriptor", "send_path"]

SMALL: Final = 65536
"""Bytes up to which a file is read in one go."""
PIECE: Final = 262144
_BURST: Final = 1 << 20
"""Bytes given to the kernel before other connections have their turn."""
_CANNOT: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK})
"""sendfile(2): not with these two descriptors."""
_SHRUNK: Final = "the file became shorter while it was sent"


async def send_path(cycle: RequestCycle, message: Message) -> None:
    """``http.response.pathsend``: the file at ``path`` is the whole body.

    Raises ``OSError`` if it cannot be opened, ``MisusedByApplication`` for anything but a regular file."""
    path = message["path"]
    if not isinstance(path, str | bytes | os.PathLike) or not os.path.isabs(path):
        raise MisusedByApplication(f"the path of http.response.pathsend must be absolute, found {path!r}")
    # Opening a FIFO would wait for its writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise MisusedByApplication(f"http.response.pathsend needs a regular file, which {path!r} is not")
        await _send_regular(cycle, fd, 0, status.st_size, more=False)
    finally:
        os.close(fd)


async def send_descriptor(cycle: RequestCycle, message: Message) -> None:
    """``http.response.zerocopysend``: ``count`` bytes of ``file`` from ``offset``, by default from its position to its
    end. The application closes the file."""
    file = message["file"]
    fd = file if isinstance(file, int) else file.fileno()
    offset, count = _whole_number(message, "offset"), _whole_number(message, "count")
    more = bool(message.get("more_body", False))
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        if offset is not None:
            raise MisusedByApplication("http.response.zerocopysend: only a regular file has an offset")
        await _send_stream(cycle, fd, count, more)
        return
    start = _position(file, fd) if offset is None else offset
    size = max(0, status.st_size - start)
    if count is not None:
        size = min(size, count)
    await _send_regular(cycle, fd, start, size, more=more)
    if offset is None:
        _seek(file, fd, start + size)


def _whole_number(message: Message, name: str) -> int | None:
    value = message.get(name)
    if value is None or (isinstance(value, int) and value >= 0):
        return value
    raise MisusedByApplication(f"http.response.zerocopysend: {name} must be a number of bytes, found {value!r}")


def _position(file: Any, fd: int) -> int:
    """Where the application would read next; a file object may have read ahead of its descriptor."""
    return int(file.tell()) if hasattr(file, "tell") else os.lseek(fd, 0, os.SEEK_CUR)


def _seek(file: Any, fd: int, position: int) -> None:
    if hasattr(file, "seek"):
        file.seek(position)
    else:
        os.lseek(fd, position, os.SEEK_SET)


# A regular file


async def _send_regular(cycle: RequestCycle, fd: int, offset: int, size: int, *, more: bool) -> None:
    if cycle._link.write_paused:
        await cycle._writable()
    if size <= SMALL:
        _put(cycle, os.pread(fd, size, offset), more)
        return
    if cycle.phase is STARTED:
        _announce(cycle, size, more)
    if cycle._left != _NO_BODY:
        await _send_large(cycle, fd, offset, size, more)
    if not more:
        _put(cycle, b"", False)


def _put(cycle: RequestCycle, body: bytes, more: bool) -> None:
    """A piece of body in the ordinary way."""
    if cycle.phase is STARTED:
        cycle._open(body, more)
    else:
        cycle._continue(body, more)
    if not more:
        cycle._end_body()


def _announce(cycle: RequestCycle, size: int, more: bool) -> None:
    """Write the head of a response whose body begins with ``size`` bytes."""
    if cycle._flags & _CONTENT_LENGTH:
        if _has_body(cycle):
            _check_length(size, declared_length(cycle._flags), more)
    elif not more and cycle._trailers != SEND_TRAILERS and cycle.status != 204:
        cycle._parts.append(b"content-length: %d\r\n" % size)
        cycle._flags |= _CONTENT_LENGTH | size << _LENGTH_SHIFT
    cycle._open(b"", True)


def _has_body(cycle: RequestCycle) -> bool:
    return not cycle.line.is_head and cycle.status not in (204, 304)


def _check_length(size: int, owed: int, more: bool) -> None:
    if size > owed or (size < owed and not more):
        raise MisusedByApplication(f"the file has {size} bytes, of its content-length {owed} are left")


async def _send_large(cycle: RequestCycle, fd: int, offset: int, size: int, more: bool) -> None:
    chunked = cycle._left == _CHUNKED
    try:
        if chunked:
            cycle._link.write(b"%x\r\n" % size)
        elif cycle._left != _UNTIL_CLOSE:
            _check_length(size, cycle._left, more)
            cycle._left -= size
        cycle.phase = SENDING
        await _transmit(cycle, fd, offset, size)
    except BaseException:
        # Cancelled, or the file is at fault: what was promised cannot be sent any more.
        if not cycle.is_over:
            cycle._abort()
        raise
    cycle.phase = STREAMING
    if chunked:
        cycle._link.write(b"\r\n")


async def _transmit(cycle: RequestCycle, fd: int, offset: int, size: int) -> None:
    link = cycle._link
    link.uncork()
    end = offset + size
    info = link.transport.get_extra_info
    sock = info("socket")
    if sock is not None and info("sslcontext") is None:
        await _flushed(cycle)
        out = os.dup(sock.fileno())
        try:
            offset = await _splice(cycle, out, fd, offset, end)
        finally:
            os.close(out)
    loop = link.context.loop
    while offset < end:
        piece = await loop.run_in_executor(None, os.pread, fd, min(PIECE, end - offset), offset)
        if not piece:
            raise MisusedByApplication(_SHRUNK)
        await _ready(cycle)
        link.write(piece)
        cycle.sent += len(piece)
        offset += len(piece)


async def _splice(cycle: RequestCycle, out: int, fd: int, offset: int, end: int) -> int:
    """Let the kernel copy. Where that ended: ``end``, or before it if it has to be done by hand."""
    burst = _BURST
    while offset < end:
        try:
            sent = os.sendfile(out, fd, offset, min(end - offset, _BURST))
        except BlockingIOError:
            await _room(cycle, out)
            burst = _BURST
            continue
        except OSError as error:
            if error.errno in _CANNOT:
                return offset
            if isinstance(error, ConnectionError):
                cycle.disconnect()
                cycle._link.transport.abort()
                raise ClientDisconnected("the client has disconnected") from error
            raise
        if not sent:
            raise MisusedByApplication(_SHRUNK)
        offset += sent
        burst -= sent
        cycle.sent += sent
        if burst <= 0:
            burst = _BURST
            await asyncio.sleep(0)
            await _ready(cycle)
    return offset


async def _ready(cycle: RequestCycle) -> None:
    """Wait until more may be written. Raises ``ClientDisconnected``."""
    if cycle._link.write_paused or cycle.phase is not SENDING:
        await cycle._writable()


async def _flushed(cycle: RequestCycle) -> None:
    """Wait until the transport has given everything to the kernel."""
    transport = cycle._link.transport
    transport.set_write_buffer_limits(high=0)
    try:
        await _ready(cycle)
    finally:
        transport.set_write_buffer_limits()


async def _room(cycle: RequestCycle, out: int) -> None:
    """The kernel's buffer is full. For the connection it is as if its transport had said so."""
    link = cycle._link
    loop = link.context.loop
    link.pause_writing()
    loop.add_writer(out, link.resume_writing)
    try:
        await cycle._writable()
    finally:
        loop.remove_writer(out)
        link.write_paused = False


# Anything else that can be read


async def _send_stream(cycle: RequestCycle, fd: int, count: int | None, more: bool) -> None:
    """A pipe, a socket, a device: nobody knows how much it will give."""
    loop = cycle._link.context.loop
    if cycle.phase is STARTED and not _has_body(cycle):
        _put(cycle, b"", more)
        return
    own = os.dup(fd)
    try:
        while count is None or count > 0:
            await _readable(loop, own)
            piece = os.read(own, PIECE if count is None else min(count, PIECE))
            if cycle._link.write_paused or cycle.phase not in (STARTED, STREAMING):
                await cycle._writable()
            if not piece:
                break
            _put(cycle, piece, True)
            if count is not None:
                count -= len(piece)
    finally:
        os.close(own)
    if not more:
        _put(cycle, b"", False)


async def _readable(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(fd, _set, ready)
    except OSError:  # a device that is always ready
        return
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
