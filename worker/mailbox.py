"""Messages between one worker and the arbiter: one socket pair per worker, a JSON object per line.

From the worker: ``ready``, ``retiring`` (with a reason), ``leaving``, ``failed`` (with code, reason and the user's
traceback). From the arbiter: ``leave`` (with a reason), just before SIGTERM. Molds and the arbiters of an upgrade talk
the same way; an order to fork carries the new worker's end as a descriptor. End of file means that the other side is
dead; it comes only if nobody else holds a copy of that end, which is why a worker closes all it inherited.

Rules: nothing here ever blocks a loop (both ends are non-blocking; what does not fit waits for the next call), a line
has at most ``LIMIT`` bytes, and a line that is no message is dropped: a confused worker must not end the arbiter.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections import deque
from typing import Any

__all__ = ["LIMIT", "Mailbox", "open_pair"]

LIMIT = 64 * 1024
_CHUNK = 64 * 1024
_DESCRIPTORS = 16
_CUT = "\n[… shortened …]\n"


def open_pair() -> tuple[socket.socket, socket.socket]:
    """``(arbiter's end, worker's end)``; both close on exec, so programs that an application starts have neither."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class Mailbox:
    """One end. Takes over the socket."""

    __slots__ = ("_incoming", "_outgoing", "_skipping", "_socket", "at_eof", "descriptors")

    def __init__(self, sock: socket.socket, *, takes_descriptors: bool = False) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._skipping = False
        self.at_eof = False
        """The other side is gone; whatever it had written before was delivered."""

        self.descriptors: deque[int] | None = deque() if takes_descriptors else None
        """Descriptors that came with messages, in the order of these messages; whoever takes one closes it."""

    def fileno(self) -> int:
        """For selectors and ``loop.add_reader``; -1 once closed."""
        return self._socket.fileno()

    def send(self, message: dict[str, Any]) -> bool:
        """Write a message, or as much as fits now. Whether all of it is on its way; a dead reader is no error."""
        self._outgoing += encode(message)
        return self.flush()

    def send_with(self, message: dict[str, Any], descriptors: list[int]) -> bool:
        """Write a message that carries descriptors: now and whole, or not at all."""
        if not self.flush():
            return False
        line = encode(message)
        try:
            return socket.send_fds(self._socket, [line], descriptors, _NO_SIGNAL) == len(line)
        except OSError:
            return False

    def flush(self, timeout: float = 0.0) -> bool:
        """Write what is left, for at most ``timeout`` seconds. Whether nothing is left."""
        deadline = time.monotonic() + timeout
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing, _NO_SIGNAL)
            except BlockingIOError:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                select.select([], [self._socket], [], remaining)
                continue
            except OSError:
                self._outgoing.clear()
                return False
            del self._outgoing[:sent]
        return True

    def receive(self) -> list[dict[str, Any]]:
        """All complete messages that have arrived; sets ``at_eof``. Never waits."""
        while not self.at_eof:
            try:
                chunk = self._read()
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            if not chunk:
                self.at_eof = True
            self._incoming += chunk
        return self._split()

    def _read(self) -> bytes:
        if self.descriptors is None:
            return self._socket.recv(_CHUNK)
        chunk, descriptors, _, _ = socket.recv_fds(self._socket, _CHUNK, _DESCRIPTORS)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self.descriptors += descriptors
        return chunk

    def is_abandoned(self) -> bool:
        """Whether nothing more will come, without taking what is there. Allowed in a signal handler."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close this end; the other side reads end of file. Harmless when repeated."""
        self._socket.close()

    def _split(self) -> list[dict[str, Any]]:
        *lines, rest = self._incoming.split(b"\n")
        self._incoming = rest
        messages: list[dict[str, Any]] = []
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif (message := decode(bytes(line))) is not None:
                messages.append(message)
        if len(rest) > LIMIT:
            self._skipping = True
            rest.clear()
        return messages


_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


def encode(message: dict[str, Any]) -> bytes:
    """One line of at most ``LIMIT`` bytes. A long traceback loses its middle: its ends say where and what."""
    line = json.dumps(message).encode() + b"\n"
    text = message.get("traceback")
    while len(line) > LIMIT:
        if not isinstance(text, str) or len(text) < 2 * len(_CUT):
            raise ValueError(f"a message of {len(line)} bytes does not fit through the mailbox")
        keep = len(text) // 3
        text = text[:keep] + _CUT + text[-keep:]
        line = json.dumps({**message, "traceback": text}).encode() + b"\n"
    return line


def decode(line: bytes) -> dict[str, Any] | None:
    """The message of a line, or ``None`` for anything else than an object with a ``kind``."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    if isinstance(message, dict) and isinstance(message.get("kind"), str):
        return message
    return None
