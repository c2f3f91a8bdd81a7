"""WebSockets over the sans-I/O core of ``wsproto`` (``--ws wsproto``, the extra of the same name)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed, RsvBits

from .ws_connection import WebSocketConnection
from .ws_core import FrameError
from .ws_deflate import MEMORY_LEVEL, Deflate
from .ws_frames import TEXT

if TYPE_CHECKING:
    from .base import ConnectionContext, Upgrade

__all__ = ["WsprotoCore", "WsprotoProtocol"]

_TAIL = b"\x00\x00\xff\xff"


class _Bounded(PerMessageDeflate):
    """The library's extension with what it lacks: a bound on what a message may decompress to, zlib's memory level,
    and 1002 for broken data, as the other library has it. Without compression it only counts."""

    def __init__(self, max_size: int, deflate: Deflate | None) -> None:
        agreed = deflate or Deflate()
        super().__init__(
            client_no_context_takeover=agreed.client_no_context_takeover,
            client_max_window_bits=max(9, agreed.client_max_window_bits),  # a larger window reads a smaller one
            server_no_context_takeover=agreed.server_no_context_takeover,
            server_max_window_bits=agreed.server_max_window_bits,
        )
        self._enabled = True
        self._compresses = deflate is not None
        self._max_size = max_size
        self._size = 0

    def frame_inbound_header(self, proto: Any, opcode: Opcode, rsv: RsvBits, payload_length: int) -> Any:
        if not opcode.iscontrol() and opcode is not Opcode.CONTINUATION:
            self._size = 0
        if not self._compresses:
            self._inbound_is_compressible = not opcode.iscontrol()
            return RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
        if not self._inbound_is_compressible:
            return data
        if self._inbound_compressed:
            return self._inflate(data)
        return self._counted(data)

    def frame_inbound_complete(self, proto: Any, fin: bool) -> Any:
        if not (fin and self._inbound_is_compressible and self._inbound_compressed):
            return super().frame_inbound_complete(proto, fin) if self._compresses else None
        data = self._inflate(_TAIL)
        self._inbound_compressed = None
        if self.client_no_context_takeover:
            self._decompressor = None
        return data

    def frame_outbound(self, proto: Any, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool) -> Any:
        if self._compressor is None:
            bits = self.server_max_window_bits
            self._compressor = zlib.compressobj(wbits=-bits, memLevel=MEMORY_LEVEL)
        return super().frame_outbound(proto, opcode, rsv, data, fin)

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        assert self._decompressor is not None, "made with the header of the message"
        most = self._max_size - self._size + 1 if self._max_size else 0
        try:
            whole = self._decompressor.decompress(data, most)
        except zlib.error:
            return CloseReason.PROTOCOL_ERROR
        if self._decompressor.unconsumed_tail:
            return CloseReason.MESSAGE_TOO_BIG
        return self._counted(whole)

    def _counted(self, data: bytes) -> bytes | CloseReason:
        self._size += len(data)
        return CloseReason.MESSAGE_TOO_BIG if 0 < self._max_size < self._size else data


class WsprotoCore:
    """A ``FrameCore``."""

    __slots__ = ("_inner", "_parts")

    def __init__(self, *, max_size: int, deflate: Deflate | None) -> None:
        self._inner = FrameProtocol(client=False, extensions=[_Bounded(max_size, deflate)])
        self._parts: list[Any] = []

    def receive(self, frame: bytes, /) -> str | bytes | None:
        """See ``FrameCore``."""
        self._inner.receive_bytes(frame)
        try:
            for part in self._inner.received_frames():
                if part.payload:  # a list of empty fragments would grow without bound
                    self._parts.append(part.payload)
                if part.message_finished:
                    parts, self._parts = self._parts, []
                    return ("" if part.opcode is Opcode.TEXT else b"").join(parts)
        except ParseFailed as error:
            raise FrameError(int(error.code), _REASONS.get(error.code) or str(error)) from None
        return None

    def compress(self, opcode: int, payload: bytes, /) -> bytes:
        """See ``FrameCore``."""
        return bytes(self._inner.send_data(payload.decode() if opcode == TEXT else payload))


_REASONS = {CloseReason.MESSAGE_TOO_BIG: "message too big"}


class WsprotoProtocol(WebSocketConnection):
    """What ``--ws wsproto`` makes of an upgrade."""

    __slots__ = ()

    def __init__(self, context: ConnectionContext, upgrade: Upgrade) -> None:
        super().__init__(context, upgrade, WsprotoCore)
