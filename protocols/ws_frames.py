"""WebSocket frames as bytes (RFC 6455 section 5): headers read and written, masks, the payload of a close frame.

Pure: no socket, no state, no ASGI. The connection (``ws_connection``) uses it for the frames that need no state, which
are nearly all of them, and to hand every other frame *whole* to the core (``ws_core``): a frame of which only a part
has arrived is handed over as fragments, see ``piece``. So a core never holds half a frame, and the two may take turns.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "NORMAL",
    "PING",
    "PONG",
    "TEXT",
    "CloseFrameError",
    "FrameHead",
    "apply_mask",
    "apply_mask_slowly",
    "close_payload",
    "frame_head",
    "is_sendable",
    "parse_close",
    "piece",
    "read_head",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL = 1000
_LARGEST_CONTROL = 125
_LARGEST_REASON = _LARGEST_CONTROL - 2
_SENDABLE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


def apply_mask_slowly(data: bytes, mask: bytes, /) -> bytes:
    """``data`` masked or unmasked with the four bytes of ``mask`` (RFC 6455 section 5.3), in Python."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    number = int.from_bytes(data, sys.byteorder) ^ int.from_bytes(repeated, sys.byteorder)
    return number.to_bytes(size, sys.byteorder)


try:
    from websockets.speedups import apply_mask
except ImportError:  # websockets without its extension module, as on PyPy
    apply_mask = apply_mask_slowly  # type: ignore[assignment]


class CloseFrameError(ValueError):
    """The payload of a close frame is malformed; ``code`` is the one to fail the connection with (1002 or 1007)."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class FrameHead(NamedTuple):
    """The header of a masked frame."""

    first: int
    """FIN, the three reserved bits and the opcode, as they came."""
    size: int
    """Bytes of payload, as announced."""
    mask: bytes
    """Four bytes."""
    length: int
    """Bytes of the header itself: 6, 8 or 14."""

    @property
    def opcode(self) -> int:
        return self.first & 0x0F

    @property
    def is_control(self) -> bool:
        return self.first & 0x08 != 0


def read_head(data: bytes, at: int = 0) -> FrameHead | None:
    """The header that begins at ``data[at]``, or ``None`` while its end is missing.

    Judges nothing: reserved bits, opcodes and lengths are for the reader. A frame without a mask, which RFC 6455
    section 5.1 forbids to clients, is given with an empty ``mask`` and a ``length`` of 2, 4 or 10.
    """
    have = len(data) - at
    if have < 2:
        return None
    short = data[at + 1] & 0x7F
    masked = data[at + 1] > 0x7F
    wide = 2 if short == 126 else 8 if short == 127 else 0
    length = 2 + wide + (4 if masked else 0)
    if have < length:
        return None
    size = int.from_bytes(data[at + 2 : at + 2 + wide], "big") if wide else short
    return FrameHead(data[at], size, data[at + length - 4 : at + length] if masked else b"", length)


def frame_head(first: int, size: int) -> bytes:
    """The header of an unmasked frame, as servers send them: ``first`` is FIN, reserved bits and opcode."""
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


def piece(first: int, payload: bytes, mask: bytes) -> bytes:
    """A masked frame around ``payload``, which is masked already."""
    head = frame_head(first, len(payload))
    return b"%c%c%b%b%b" % (head[0], head[1] | 0x80, head[2:], mask, payload)


def is_sendable(code: int) -> bool:
    """Whether a close frame may carry ``code`` (RFC 6455 section 7.4, and the registry of close codes)."""
    return code in _SENDABLE or 3000 <= code < 5000


def close_payload(code: int, reason: str = "") -> bytes:
    """The payload of a close frame; a reason over 123 bytes is cut at a character. 1005 is sent as no code at all.

    Raises ``ValueError`` for a code that must not be sent.
    """
    if code == 1005:
        return b""
    if not is_sendable(code):
        raise ValueError(f"{code} is not a close code that may be sent")
    told = reason.encode("utf-8", "replace")
    if len(told) > _LARGEST_REASON:
        told = told[:_LARGEST_REASON].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + told


def parse_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame that came in; 1005 if it had none (RFC 6455 section 7.1.5).

    Raises ``CloseFrameError``: 1002 for a payload of one byte or a forbidden code, 1007 for a reason that is not UTF-8.
    """
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise CloseFrameError("close frame too short", 1002)
    code = int.from_bytes(payload[:2], "big")
    if not is_sendable(code):
        raise CloseFrameError("invalid close code", 1002)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise CloseFrameError("close reason is not UTF-8", 1007) from None
