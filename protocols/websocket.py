"""WebSockets over the sans-I/O core of ``websockets`` (``--ws websockets``, the default)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from .ws_connection import WebSocketConnection
from .ws_core import FrameError, MessageBuffer
from .ws_deflate import MEMORY_LEVEL, Deflate
from .ws_frames import TEXT

if TYPE_CHECKING:
    from .base import ConnectionContext, Upgrade

__all__ = ["WebsocketsCore", "WebsocketsProtocol"]


class WebsocketsCore:
    """A ``FrameCore``. What the library would send by itself is not sent: the connection speaks (``data_to_send``)."""

    __slots__ = ("_inner", "_message")

    def __init__(self, *, max_size: int, deflate: Deflate | None) -> None:
        self._inner = ServerProtocol(state=State.OPEN, max_size=max_size or None)
        self._message = MessageBuffer()
        if deflate is not None:
            self._inner.extensions = [
                PerMessageDeflate(
                    remote_no_context_takeover=deflate.client_no_context_takeover,
                    local_no_context_takeover=deflate.server_no_context_takeover,
                    remote_max_window_bits=deflate.client_max_window_bits,
                    local_max_window_bits=deflate.server_max_window_bits,
                    compress_settings={"memLevel": MEMORY_LEVEL},
                )
            ]

    def receive(self, frame: bytes, /) -> str | bytes | None:
        """See ``FrameCore``."""
        inner = self._inner
        inner.receive_data(frame)
        if inner.parser_exc is not None:
            assert inner.close_sent is not None, "the library fails a connection with a close frame"
            raise FrameError(int(inner.close_sent.code), inner.close_sent.reason)
        (event,) = inner.events_received()
        assert isinstance(event, Frame), "nothing else comes after the handshake"
        if event.opcode is not Opcode.CONT:
            self._message.start(text=event.opcode is Opcode.TEXT)
        return self._message.add(event.data, last=event.fin)

    def compress(self, opcode: int, payload: bytes, /) -> bytes:
        """See ``FrameCore``."""
        if opcode == TEXT:
            self._inner.send_text(payload)
        else:
            self._inner.send_binary(payload)
        return b"".join(self._inner.data_to_send())


class WebsocketsProtocol(WebSocketConnection):
    """What ``--ws websockets`` makes of an upgrade."""

    __slots__ = ()

    def __init__(self, context: ConnectionContext, upgrade: Upgrade) -> None:
        super().__init__(context, upgrade, WebsocketsCore)
