"""The negotiation of permessage-deflate (RFC 7692 section 7), once for both libraries. Pure.

The server's wishes are settings: by default windows of 12 bits, which keep a compressed connection at some 64 KiB
instead of 300, and contexts that outlive a message. A client's own wishes for less are granted. An offer that cannot be
granted is passed over for the next one, and with none left the connection is simply not compressed.
"""

from __future__ import annotations

import re

from asgi_arbiter.config.records import Record

__all__ = ["COMPRESS_FROM", "MEMORY_LEVEL", "Deflate", "MalformedExtensions", "Wishes", "negotiate", "parse_extensions"]

COMPRESS_FROM = 64
"""Messages below this many bytes go out as they are: a packet costs about that much in headers, and compressing costs
more than sending. RFC 7692 section 6 leaves the choice to the sender, message by message."""

MEMORY_LEVEL = 5
"""zlib's ``memLevel``: 16 KiB for the hash table instead of 128."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME = re.compile(rf"\s*({_TOKEN})\s*")
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*(?:=\s*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")\s*)?')


class MalformedExtensions(ValueError):
    """``Sec-WebSocket-Extensions`` does not follow its grammar (RFC 6455 section 9.1)."""


class Wishes(Record):
    """What the server wants, in both directions."""

    window_bits: int = 12
    """The largest window, 9 to 15: two to the power of this many bytes."""
    context_takeover: bool = True
    """Whether a message may refer to those before it, for which each side keeps its window between messages."""


class Deflate(Record):
    """What was agreed on."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    response: bytes = b"permessage-deflate"
    """The value of ``Sec-WebSocket-Extensions`` in the response."""


def parse_extensions(value: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """``Sec-WebSocket-Extensions`` as names with parameters. Raises ``MalformedExtensions``."""
    offers = []
    at = 0
    while at < len(value):
        found = _NAME.match(value, at)
        if found is None:
            raise MalformedExtensions(value)
        at = found.end()
        parameters: list[tuple[str, str | None]] = []
        while item := _PARAMETER.match(value, at):
            name, token, quoted = item.groups()
            text = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.append((name.lower(), text))
            at = item.end()
        offers.append((found[1].lower(), parameters))
        if at < len(value):
            if value[at] != ",":
                raise MalformedExtensions(value)
            at += 1
    return offers


def negotiate(value: str, wishes: Wishes) -> Deflate | None:
    """The first offer of permessage-deflate that can be granted. Raises ``MalformedExtensions``."""
    for name, parameters in parse_extensions(value):
        if name == "permessage-deflate":
            granted = _grant(parameters, wishes)
            if granted is not None:
                return granted
    return None


def _grant(parameters: list[tuple[str, str | None]], wishes: Wishes) -> Deflate | None:
    """One offer; ``None`` if it names an unknown or repeated parameter or a value out of range (section 7.1: decline)."""
    asked = dict(parameters)
    if len(asked) != len(parameters) or not asked.keys() <= _KNOWN:
        return None
    if any(asked.get(flag) is not None for flag in _FLAGS):
        return None
    server_bits, client_bits = wishes.window_bits, 15
    if "server_max_window_bits" in asked:
        bits = _bits(asked["server_max_window_bits"])
        if bits < 9:  # zlib cannot compress with a window of 8 bits (madler/zlib issue 171)
            return None
        server_bits = min(server_bits, bits)
    if "client_max_window_bits" in asked:  # without it the client may not be told to use less than 15
        offered = asked["client_max_window_bits"]
        bits = 15 if offered is None else _bits(offered)
        if bits < 8:
            return None
        client_bits = min(wishes.window_bits, bits)
    response = "permessage-deflate"
    if server_bits < 15 or "server_max_window_bits" in asked:
        response += f"; server_max_window_bits={server_bits}"
    if "client_max_window_bits" in asked:
        response += f"; client_max_window_bits={client_bits}"
    # Both may be said without having been asked for (sections 7.1.1.1 and 7.1.1.2).
    flags = [flag for flag in _FLAGS if flag in asked or not wishes.context_takeover]
    return Deflate(
        server_no_context_takeover="server_no_context_takeover" in flags,
        client_no_context_takeover="client_no_context_takeover" in flags,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
        response="; ".join((response, *flags)).encode(),
    )


_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_KNOWN = {*_FLAGS, "server_max_window_bits", "client_max_window_bits"}


def _bits(value: str | None) -> int:
    """8 to 15, or 0 for anything else (section 7.1.2: no leading zeros)."""
    return int(value) if value in {"8", "9", "10", "11", "12", "13", "14", "15"} else 0
