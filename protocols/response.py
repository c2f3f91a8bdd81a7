"""Responses as bytes: status lines, header fields, framing, refusals. Pure: no connection, no I/O.

Rules:

* what an application may not decide is not taken from it: ``Connection`` and ``Transfer-Encoding`` are ours;
* a name must be a token and a value may hold no CR, LF or NUL, whoever sent it, so nothing can split a response;
* integer membership (``10 in value``) finds them: on bytes it is one ``memchr``, where ``b"\\n" in value`` raises and
  clears a TypeError inside CPython, which is thirty times dearer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntFlag
from http import HTTPStatus
from typing import Any, Final

from .errors import MisusedByApplication

__all__ = ["STATUS_LINES", "Field", "declared_length", "encode_fields", "has_no_body", "refusal_bytes", "status_line"]

_is_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
    if status >= 200
}


def status_line(status: int) -> bytes:
    """The status line; a status without a registered phrase has an empty one (RFC 9112 section 4)."""
    line = STATUS_LINES.get(status)
    if line is not None:
        return line
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise MisusedByApplication(f"the status of a response must be a number from 200 to 999, found {status!r}")
    return b"HTTP/1.1 %d \r\n" % status


def has_no_body(status: int, method: str) -> bool:
    """Whether the response ends with its head (RFC 9112 section 6.3, step 1)."""
    return method == "HEAD" or status == 204 or status == 304


class Field(IntFlag):
    """Fields of a response that the server must know about."""

    CONTENT_LENGTH = 1
    DATE = 2
    SERVER = 4
    CLOSE = 8
    """A ``Connection`` field that says close."""
    TRAILER = 16


_OURS: Final = -1
_SPECIAL: Final = {
    b"content-length": int(Field.CONTENT_LENGTH),
    b"date": int(Field.DATE),
    b"server": int(Field.SERVER),
    b"trailer": int(Field.TRAILER),
    # Hop-by-hop fields belong to the server (RFC 9110 section 7.6.1, RFC 9112 section 9.6).
    b"connection": _OURS,
    b"keep-alive": _OURS,
    b"proxy-connection": _OURS,
    b"transfer-encoding": _OURS,
    b"upgrade": _OURS,
}
_CONTENT_LENGTH: Final = 1
_LENGTH_SHIFT: Final = 8
_PREFIX_LIMIT: Final = 1024
_prefixes: dict[bytes, tuple[bytes, int]] = {}


def encode_fields(headers: Iterable[Any], parts: list[bytes]) -> int:
    """Append a line to ``parts`` for each of the application's fields and return the ``Field`` flags of those that matter,
    with the declared length above them (``declared_length`` takes it out).

    Raises ``MisusedByApplication`` for anything that could not stand in a response."""
    flags = 0
    known = _prefixes
    try:
        for name, value in headers:
            entry = known.get(name)
            if entry is None:
                entry = _learn(name)
            prefix, flag = entry
            if 10 in value or 13 in value or 0 in value:
                raise MisusedByApplication(f"the value of the header {name!r} contains CR, LF or NUL: {value!r}")
            if flag:
                if flag < 0:
                    flags |= _close_wanted(name, value)
                    continue
                if flag == _CONTENT_LENGTH:
                    if flags & _CONTENT_LENGTH:
                        raise MisusedByApplication("the response has more than one content-length")
                    flag += _length(value)
                flags |= flag
            parts.append(prefix + value + b"\r\n")
    except (TypeError, ValueError) as error:
        raise MisusedByApplication(
            f"response headers must be an iterable of pairs of bytes, found {headers!r}"
        ) from error
    return flags


def _learn(name: bytes) -> tuple[bytes, int]:
    """Check a field name once and remember its encoded form."""
    if type(name) is not bytes:
        raise TypeError(name)
    if not _is_token(name):
        raise MisusedByApplication(f"the header name {name!r} is not a token")
    entry = (name + b": ", _SPECIAL.get(name.lower(), 0))
    if len(_prefixes) >= _PREFIX_LIMIT:
        _prefixes.clear()
    _prefixes[name] = entry
    return entry


def _close_wanted(name: bytes, value: bytes) -> int:
    """A field of ours that the application sent: all that we take from it is the wish to close."""
    if name.lower() == b"connection" and b"close" in [item.strip().lower() for item in bytes(value).split(b",")]:
        return int(Field.CLOSE)
    return 0


def _length(value: bytes) -> int:
    """A content-length, shifted above the flags."""
    if value.isdigit() and len(value) <= 18:
        return int(value) << _LENGTH_SHIFT
    raise MisusedByApplication(f"the content-length of the response is not a number: {value!r}")


def declared_length(flags: int) -> int:
    """The application's content-length, from flags that have ``Field.CONTENT_LENGTH``."""
    return flags >> _LENGTH_SHIFT


def refusal_bytes(status: int, reason: str, date_line: bytes, server_line: bytes, *, body: bool = True) -> bytes:
    """A whole answer of the server itself, with ``Connection: close``. ``body`` is False for HEAD."""
    text = (reason + "\n").encode()
    extra = b"retry-after: 1\r\n" if status == 503 else b""
    return b"".join(
        (
            STATUS_LINES[status],
            date_line,
            server_line,
            extra,
            b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(text),
            text if body else b"",
        )
    )
