"""Request lines (RFC 9112 section 3): judged by themselves, and remembered, since the same few arrive again and again.

Every refusal is a ``Refusal`` with the status that RFC 9110 names for it. Pure functions, no connection, no I/O.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from .errors import Refusal
from .grammar import is_authority, is_host, is_target, is_token, is_version, split_absolute_form

__all__ = ["RequestLine", "parse_request_line", "read_request_line"]


class RequestLine:
    """A valid request line. Shared between requests: nobody changes one."""

    __slots__ = ("authority", "http_version", "is_head", "method", "modern", "path", "query", "raw_path", "target")

    def __init__(self, method: str, target: bytes, modern: bool) -> None:
        self.method = method
        """As it came: methods are case-sensitive (RFC 9110 section 9.1)."""
        self.is_head = method == "HEAD"
        self.target = target
        self.modern = modern
        """HTTP/1.1, as against HTTP/1.0."""
        self.http_version = "1.1" if modern else "1.0"
        self.authority: bytes | None = None
        """The authority of an absolute-form target, which replaces the Host field (RFC 9112 section 3.2.2)."""
        raw_path, _, query = target.partition(b"?")
        self.place(raw_path, query)

    def place(self, raw_path: bytes, query: bytes) -> None:
        """Set path and query, decoding the path as ASGI asks: per-cent decoded, then UTF-8."""
        self.raw_path = raw_path
        self.query = query
        text = raw_path.decode("ascii")
        self.path = unquote(text) if "%" in text else text


def parse_request_line(line: bytes) -> RequestLine:
    """Judge a request line without its CR LF (RFC 9112 section 3).

    Raises ``Refusal``: 400 malformed, 501 CONNECT, 505 a version other than 1.0 and 1.1."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Refusal(400, "The request line is malformed.")
    method, target, version = parts
    # From left to right, so that the verdict is the same when the line arrives in pieces.
    if not is_token(method):
        raise Refusal(400, "The method is malformed.")
    if not is_target(target):
        raise Refusal(400, "The request target is malformed.")
    if version != b"HTTP/1.1" and version != b"HTTP/1.0":
        if is_version(version):
            raise Refusal(505, "This server speaks HTTP/1.1 and HTTP/1.0.")
        raise Refusal(400, "The request line is malformed.")
    if method == b"CONNECT":
        # A tunnel is a proxy's business; nothing an ASGI application answers could open one.
        if not is_authority(target):
            raise Refusal(400, "CONNECT needs a target of host and port.")
        raise Refusal(501, "This server is not a proxy.")
    result = RequestLine(method.decode("ascii"), target, version == b"HTTP/1.1")
    if target[0] != 47:  # "/": the origin form, which nearly every request has
        _place_other_forms(result, method, target)
    return result


def _place_other_forms(line: RequestLine, method: bytes, target: bytes) -> None:
    """RFC 9112 sections 3.2.2 (absolute form) and 3.2.4 (asterisk form)."""
    if target == b"*":
        if method != b"OPTIONS":
            raise Refusal(400, "Only OPTIONS may have the target *.")
        return
    match = split_absolute_form(target)
    if match is None:
        raise Refusal(400, "The request target is malformed.")
    authority, path, query = match.groups()
    if not authority or not is_host(authority):
        raise Refusal(400, "The request target names no valid host.")
    line.authority = authority
    line.place(path or b"/", query or b"")


_LINES_LIMIT: Final = 512
_LINE_LENGTH_LIMIT: Final = 256
_lines: dict[bytes, RequestLine] = {}


def read_request_line(line: bytes) -> RequestLine:
    """As ``parse_request_line``, remembering the answers for short lines (saves about a microsecond per request)."""
    known = _lines.get(line)
    if known is not None:
        return known
    result = parse_request_line(line)
    if len(line) <= _LINE_LENGTH_LIMIT:
        if len(_lines) >= _LINES_LIMIT:
            # Dropping everything is cheaper than any order of use, and bounds what hostile clients can fill.
            _lines.clear()
        _lines[line] = result
    return result
