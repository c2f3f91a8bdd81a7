"""The opening handshake (RFC 6455 section 4.2), on a request head that the HTTP connection has parsed. Pure.

``check`` judges the request, ``response`` makes the 101. What the application adds to the response is checked here too:
a subprotocol must be one that the client offered, and no header may smuggle a line or stand in for one of ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from asgi_arbiter.config.records import Record

from .errors import MisusedByApplication
from .memo import Memo
from .response import encode_fields
from .ws_deflate import Deflate, MalformedExtensions, Wishes, negotiate

__all__ = ["Handshake", "HandshakeRefused", "check", "response", "share"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_WANTED = frozenset(
    (
        b"connection",
        b"content-length",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"transfer-encoding",
        b"upgrade",
    )
)
_OURS = frozenset((b"content-length", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol"))


_PERSONAL = frozenset((b"authorization", b"cookie", b"sec-websocket-key"))
_LONGEST_SHARED = 256
_shared: Memo[tuple[bytes, bytes], tuple[bytes, bytes]] = Memo()


class HandshakeRefused(Exception):
    """The request is not a WebSocket handshake that can be accepted; the answer is in the attributes."""

    def __init__(self, status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers


class Handshake(Record):
    """A handshake that may be accepted."""

    accept: bytes
    """The value of ``Sec-WebSocket-Accept``."""
    subprotocols: tuple[str, ...] = ()
    """As the client offered them, in its order of preference."""
    deflate: Deflate | None = None


def check(
    method: str, http_version: str, headers: Iterable[tuple[bytes, bytes]], wishes: Wishes | None = None
) -> Handshake:
    """Judges a request by section 4.2.1, names lower-cased. ``wishes`` are for compression, ``None`` is without it.

    Raises ``HandshakeRefused`` with 400, 405 or 426."""
    found: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for name, value in headers:
        if name in _WANTED:
            if name in found:
                repeated.add(name)
                value = found[name] + b", " + value
            found[name] = value
    if method != "GET":
        raise HandshakeRefused(405, "a WebSocket handshake is a GET request", ((b"allow", b"GET"),))
    if http_version != "1.1":
        raise HandshakeRefused(400, "a WebSocket handshake needs HTTP/1.1")
    if not _lists(found, b"upgrade", b"websocket"):
        raise HandshakeRefused(426, "the Upgrade header must be websocket", ((b"upgrade", b"websocket"),))
    if not _lists(found, b"connection", b"upgrade"):
        raise HandshakeRefused(400, "the Connection header must contain Upgrade")
    if found.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in found:
        raise HandshakeRefused(400, "a WebSocket handshake has no body")
    _check_version(found, repeated)
    return Handshake(
        accept=_accept(found, repeated),
        subprotocols=_subprotocols(found.get(b"sec-websocket-protocol")),
        deflate=_deflate(found.get(b"sec-websocket-extensions", b""), wishes),
    )


def _lists(found: dict[bytes, bytes], name: bytes, token: bytes) -> bool:
    return any(item.strip().lower() == token for item in found.get(name, b"").split(b","))


def _check_version(found: dict[bytes, bytes], repeated: set[bytes]) -> None:
    """Section 4.4: a version other than ours is answered with the one that we speak."""
    spoken = ((b"sec-websocket-version", b"13"),)
    version = found.get(b"sec-websocket-version")
    if version is None or b"sec-websocket-version" in repeated:
        raise HandshakeRefused(400, "exactly one Sec-WebSocket-Version header is needed", spoken)
    if version.strip() != b"13":
        raise HandshakeRefused(426, "only version 13 of the WebSocket protocol is spoken here", spoken)


def _accept(found: dict[bytes, bytes], repeated: set[bytes]) -> bytes:
    key = found.get(b"sec-websocket-key")
    if key is None or b"sec-websocket-key" in repeated:
        raise HandshakeRefused(400, "exactly one Sec-WebSocket-Key header is needed")
    key = key.strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise HandshakeRefused(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _subprotocols(value: bytes | None) -> tuple[str, ...]:
    if value is None:
        return ()
    offered = [item.strip() for item in value.split(b",")]
    if not all(_TOKEN.fullmatch(item) for item in offered):
        raise HandshakeRefused(400, "Sec-WebSocket-Protocol must be a list of tokens")
    return tuple(item.decode("ascii") for item in offered)


def _deflate(value: bytes, wishes: Wishes | None) -> Deflate | None:
    if not value:
        return None
    try:
        agreed = negotiate(value.decode("latin-1"), wishes or Wishes())
    except MalformedExtensions:  # RFC 6455 section 9.1: refuse, whether or not the extension is wanted
        raise HandshakeRefused(400, "Sec-WebSocket-Extensions is malformed") from None
    return agreed if wishes is not None else None


def response(
    handshake: Handshake,
    *,
    subprotocol: str | None = None,
    headers: Iterable[Any] = (),
    common: bytes = b"",
) -> bytes:
    """The whole 101 response (section 4.2.2). ``common`` are header lines of the server's own, such as ``Date``.

    Raises ``MisusedByApplication`` for a subprotocol that was not offered (section 4.2.2, /subprotocol/) and for
    headers that are malformed or belong to the handshake. ``Connection`` and ``Upgrade`` are left out in silence.
    """
    parts = [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "]
    parts += handshake.accept, b"\r\n"
    if subprotocol is not None:
        if subprotocol not in handshake.subprotocols:
            raise MisusedByApplication(
                f"the subprotocol {subprotocol!r} is not among those offered, {handshake.subprotocols!r}"
            )
        parts += b"sec-websocket-protocol: ", subprotocol.encode("ascii"), b"\r\n"
    if handshake.deflate is not None:
        parts += b"sec-websocket-extensions: ", handshake.deflate.response, b"\r\n"
    parts.append(common)
    fields: list[bytes] = []
    encode_fields(headers, fields)
    for line in fields:
        name = line.partition(b":")[0]
        if name.lower() in _OURS:
            raise MisusedByApplication(f"the header {name.decode()} of the handshake is the server's to send")
    return b"".join((*parts, *fields, b"\r\n"))


def share(headers: list[tuple[bytes, bytes]], tick: int) -> None:
    """Has equal fields of different requests be the same object. The headers stay for as long as the connection does,
    and those of a thousand browsers differ in little but key and cookie: this is up to half of an idle connection."""
    for index, field in enumerate(headers):
        known = _shared.get(field)
        if known is not None:
            headers[index] = known
        elif field[0] not in _PERSONAL and len(field[1]) <= _LONGEST_SHARED:
            _shared.keep(field, field, tick)
