"""A raw HTTP/1.1 connection: sends exactly the bytes that it is given and reads exactly one response at a time.

Independent of any HTTP library, so that a mistake in one is not matched by the same mistake in the other.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

__all__ = ["Response", "Wire"]


class Response:
    """One response as it came: header names in lower case, in order, repeated ones kept."""

    def __init__(self, version: str, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""

    def header(self, name: str) -> str | None:
        """The only value of a header, or ``None``; a repeated header is a failure."""
        values = [value for field, value in self.headers if field == name]
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


class Wire:
    """A connected socket and what was read from it too early."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = b""

    def send(self, data: bytes) -> Self:
        self.socket.sendall(data)
        return self

    def get(self, path: str = "/", *headers: str) -> Response:
        """A plain GET on this connection, and its response."""
        lines = [f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]
        return self.send("\r\n".join(lines).encode()).response()

    def head(self) -> Response:
        """The next status line and header section, informational ones included."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = (lines[0] + " ").split(" ", 2)
        pairs = [line.split(":", 1) for line in lines[1:]]
        return Response(version, int(status), reason.strip(), [(n.lower(), v.strip()) for n, v in pairs])

    def response(self, method: str = "GET") -> Response:
        """The next response with its body (RFC 9112 section 6.3)."""
        response = self.head()
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return response
        if response.header("transfer-encoding") == "chunked":
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                response.body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._until(b"\r\n") == b""  # no trailers
        elif (length := response.header("content-length")) is not None:
            response.body = self._exactly(int(length))
        else:
            response.body = self.rest()
        return response

    def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty for the last one."""
        data = self._exactly(int(self._until(b"\r\n").split(b";")[0], 16))
        assert self._exactly(2) == b"\r\n"
        return data

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while data := self._receive():
            self.buffer += data
        data, self.buffer = self.buffer, b""
        return data

    def closed(self) -> bool:
        """Wait until the server has closed, and tell whether nothing but the end came."""
        return self.rest() == b""

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            data = self._receive()
            assert data, f"closed in the middle of a message, after {self.buffer!r}"
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self._receive()
            assert data, f"closed {size - len(self.buffer)} bytes too early"
            self.buffer += data
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
