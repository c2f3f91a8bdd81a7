"""The PROXY protocol, versions 1 and 2: who the client is, in front of everything else that a proxy sends.

Pure: bytes in, a verdict out; the worker does the reading, before TLS and before HTTP. Rules (the specification is
HAProxy's ``doc/proxy-protocol.txt``):

* a peer that may send the preface must send it: whether it is there is never guessed;
* one spelling is accepted where the specification allows one: single spaces, canonical addresses, ports without zeros
  in front, CR LF; in version 2 a length that fits the addresses and the extensions exactly;
* a checksum, where there is one, must be right; the other extensions are skipped, but they must be whole;
* ``LOCAL`` and ``UNKNOWN`` (health checks of the proxy itself) leave the connection's own addresses;
* a preface has at most 107 bytes in version 1 and ``LIMIT`` in version 2.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from .crc32c import crc32c

__all__ = ["LIMIT", "InvalidPreface", "Preface", "read_preface"]

LIMIT: Final = 4096
"""Bytes of addresses and extensions in version 2."""
_LINE_LIMIT: Final = 107
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD: Final = 16
_PROXY: Final = b"PROXY "
_line = re.compile(
    rb"PROXY (TCP[46]) ([0-9a-fA-F.:]{2,39}) ([0-9a-fA-F.:]{2,39}) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})"
).fullmatch
_unknown = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?").fullmatch
_VERSIONS: Final = {"v1": (True, False), "v2": (False, True), "auto": (True, True)}

# Version 2: the address family above, the transport below; UDP is QUIC that the proxy has ended.
_UNSPECIFIED, _INET, _INET6, _UNIX = 0, 1, 2, 3
_SIZES: Final = {_UNSPECIFIED: 0, _INET: 12, _INET6: 36, _UNIX: 216}
_LOCAL, _PROXIED = 0x20, 0x21
_CHECKSUM: Final = 3
"""The type of the extension ``PP2_TYPE_CRC32C``."""


class InvalidPreface(ValueError):
    """What the peer sent is no PROXY preface, or not one that is allowed here."""


class Preface(NamedTuple):
    """A whole preface."""

    size: int
    """Its bytes; what follows belongs to the client."""
    is_proxied: bool
    """False: the connection is the proxy's own, its addresses stay as they are."""
    client: tuple[str, int] | None = None
    """None for a client on a Unix socket."""
    server: tuple[str, int | None] | None = None


def read_preface(data: bytes, mode: str) -> Preface | None:
    """The preface at the beginning of ``data``; None if there is more of it to come, and all of ``data`` is part of it.

    ``mode`` is ``v1``, ``v2`` or ``auto``. Raises ``InvalidPreface``."""
    text, binary = _VERSIONS[mode]
    if binary and data[:12] == _SIGNATURE[: len(data)]:
        return _read_v2(data)
    if text and data[:6] == _PROXY[: len(data)]:
        return _read_v1(data)
    raise InvalidPreface("it does not begin with a PROXY preface")


def _read_v1(data: bytes) -> Preface | None:
    end = data.find(b"\n", 0, _LINE_LIMIT)
    if end < 0:
        if len(data) >= _LINE_LIMIT:
            raise InvalidPreface("its PROXY line is longer than 107 bytes")
        return None
    if data[end - 1] != 13:
        raise InvalidPreface("its PROXY line does not end with CR LF")
    line = data[: end - 1]
    found = _line(line)
    if found is None:
        if _unknown(line):
            return Preface(end + 1, False)
        raise InvalidPreface("its PROXY line is malformed")
    kind = 4 if found[1] == b"TCP4" else 6
    client = _text_address(found[2], found[4], kind), int(found[4])
    server = _text_address(found[3], found[5], kind), int(found[5])
    return Preface(end + 1, True, client, server)


def _text_address(text: bytes, port: bytes, kind: int) -> str:
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise InvalidPreface("an address in its PROXY line is malformed") from None
    if address.version != kind or int(port) > 65535:
        raise InvalidPreface("an address in its PROXY line is of another family, or a port too large")
    return str(address)


def _read_v2(data: bytes) -> Preface | None:
    if len(data) < _HEAD:
        return None
    command, family, transport = data[12], data[13] >> 4, data[13] & 15
    size = int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXIED):
        raise InvalidPreface(f"its PROXY preface has the version and command {command:#x}")
    if family not in _SIZES or transport > 2:
        raise InvalidPreface(f"its PROXY preface has the unknown family {data[13]:#x}")
    if size > LIMIT:
        raise InvalidPreface(f"its PROXY preface says that it has {size} bytes, more than {LIMIT}")
    if size < _SIZES[family] and command == _PROXIED:
        raise InvalidPreface("its PROXY preface is too short for its addresses")
    end = _HEAD + size
    if len(data) < end:
        return None
    if command == _LOCAL or family == _UNSPECIFIED or not transport:
        return Preface(end, False)  # what follows must be skipped unread
    _check_extensions(data[:end], _HEAD + _SIZES[family])
    return Preface(end, True, *_binary_addresses(family, data[_HEAD:end]))


def _check_extensions(preface: bytes, position: int) -> None:
    """Each is a type, a length in two bytes, and that many bytes. A checksum is that of the whole preface with zeros in
    its own place."""
    checksum = 0
    while position < len(preface):
        kind, value = preface[position], position + 3
        position = value + int.from_bytes(preface[position + 1 : value])
        if kind == _CHECKSUM:
            if checksum or position != value + 4:
                raise InvalidPreface("its PROXY preface has two checksums, or one that is not of four bytes")
            checksum = value
    if position != len(preface):
        raise InvalidPreface("the extensions of its PROXY preface do not fit into it")
    if checksum:
        expected = int.from_bytes(preface[checksum : checksum + 4])
        if crc32c(preface[:checksum] + bytes(4) + preface[checksum + 4 :]) != expected:
            raise InvalidPreface("the checksum of its PROXY preface is wrong")


def _binary_addresses(family: int, data: bytes) -> tuple[tuple[str, int] | None, tuple[str, int | None] | None]:
    if family == _UNIX:
        path = data[108:216].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return None, (path, None) if path else None
    width = 4 if family == _INET else 16
    client, server = (str(ipaddress.ip_address(data[at : at + width])) for at in (0, width))
    ports = 2 * width
    return (client, int.from_bytes(data[ports : ports + 2])), (server, int.from_bytes(data[ports + 2 : ports + 4]))
