"""The answer to a handshake that the application refuses: an ordinary HTTP response (ASGI, "Websocket Denial Response").

Pure: messages in, bytes out. The connection is closed afterwards, hence ``Connection: close`` on every one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import MisusedByApplication
from .response import Field, declared_length, encode_fields, has_no_body, status_line

__all__ = ["Denial", "plain"]


class Denial:
    """One response, from ``websocket.http.response.start`` to the last ``websocket.http.response.body``."""

    __slots__ = ("_chunked", "_head", "_promised", "bytes_sent", "is_complete", "status")

    def __init__(self, status: int, headers: Iterable[Any], common: bytes) -> None:
        """``common`` are header lines of the server's own. Raises ``MisusedByApplication`` for a bad status or header."""
        parts = [status_line(status)]
        flags = encode_fields(headers, parts)
        self.status = status
        self.bytes_sent = 0
        self.is_complete = False
        self._promised = declared_length(flags) if flags & Field.CONTENT_LENGTH else None
        self._chunked = False
        self._head = b"".join((*parts, common, b"connection: close\r\n"))

    @property
    def is_begun(self) -> bool:
        """Whether the head has gone out."""
        return not self._head

    def body(self, data: bytes, *, more: bool) -> bytes:
        """What goes out for one body message; the head is held back until the first of them tells the length.

        Raises ``MisusedByApplication`` if the bodies do not add up to the length that the application announced.
        """
        if has_no_body(self.status, "GET"):
            data = b""
        head = self._take_head(len(data), more=more)
        self.bytes_sent += len(data)
        self._check_length(more)
        self.is_complete = not more
        if not self._chunked:
            return head + data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return head + chunk + (b"" if more else b"0\r\n\r\n")

    def _take_head(self, size: int, *, more: bool) -> bytes:
        head, self._head = self._head, b""
        if not head:
            return b""
        if has_no_body(self.status, "GET"):
            self._promised = None
            return head + b"\r\n"
        if self._promised is not None:
            return head + b"\r\n"
        if more:
            self._chunked = True
            return head + b"transfer-encoding: chunked\r\n\r\n"
        return head + b"content-length: %d\r\n\r\n" % size

    def _check_length(self, more: bool) -> None:
        if self._promised is None:
            return
        if self.bytes_sent > self._promised or (not more and self.bytes_sent < self._promised):
            raise MisusedByApplication(
                f"the response has {self.bytes_sent} bytes of body, its content-length said {self._promised}"
            )


def plain(status: int, reason: str, headers: Iterable[tuple[bytes, bytes]], common: bytes) -> bytes:
    """A whole response of the server's own, with one line of text."""
    text = f"{reason}\n".encode() if reason else b""
    denial = Denial(status, [*headers, (b"content-type", b"text/plain; charset=utf-8")], common)
    return denial.body(text, more=False)
