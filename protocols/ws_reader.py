"""The reading half of a WebSocket connection: bytes are cut into frames, frames become messages.

A frame that stands alone is dealt with on the spot: an uncompressed message in one frame, a ping, a pong, a close.
What needs memory goes to a ``FrameCore`` (``ws_core``), which is made when it is first needed.

A long frame is not held back until its end: the part that has come is handed on, to the core as a fragment (which
changes nothing for the receiver, RFC 6455 section 5.4), so that bad text is refused early and nothing is stored twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .ws_core import CoreFactory, FrameCore, FrameError, MessageBuffer
from .ws_frames import CLOSE, PING, PONG, CloseFrameError, FrameHead, apply_mask, parse_close, piece, read_head
from .ws_session import Phase, Session

if TYPE_CHECKING:
    from .ws_deflate import Deflate

__all__ = ["FrameReader"]

_MOST_BEFORE_ACCEPT = 1 << 16
"""Bytes taken from a client that speaks before it was accepted."""

_OPEN = Phase.OPEN
_CLOSING = Phase.CLOSING


class _Unfinished:
    """A data frame of which only a part has come."""

    __slots__ = ("buffer", "first", "is_last", "mask", "missing")

    def __init__(self, head: FrameHead, buffer: MessageBuffer | None) -> None:
        self.missing = head.size
        self.mask = head.mask
        self.first = head.first & 0x7F
        """Opcode and reserved bits for the next piece: those of the frame, then a continuation's."""
        self.is_last = head.first > 0x7F
        """The frame's FIN bit."""
        self.buffer = buffer
        """Where a message in one frame is collected; ``None``: in the core."""


class FrameReader(asyncio.Protocol):
    """Feeds ``session`` with messages. What goes out is the subclass's: the methods at the end."""

    __slots__ = ("_core", "_is_fragmented", "_is_held", "_make_core", "_max_size", "_rest", "_unfinished", "deflate")
    session: Session

    def __init__(self, make_core: CoreFactory, max_size: int) -> None:
        self.deflate: Deflate | None = None
        self._make_core = make_core
        self._max_size = max_size or 1 << 62
        self._core: FrameCore | None = None
        self._is_fragmented = False
        """Whether the core is in the middle of a message."""
        self._is_held = True
        """Whether bytes wait in ``_rest`` until the application has accepted, or taken some messages."""
        self._rest = b""
        self._unfinished: _Unfinished | None = None

    @property
    def core(self) -> FrameCore:
        """Made when it is first needed."""
        if self._core is None:
            limit = 0 if self._max_size == 1 << 62 else self._max_size
            self._core = self._make_core(max_size=limit, deflate=self.deflate)
        return self._core

    def data_received(self, data: bytes) -> None:
        """From the transport. Nearly every read is one whole message in one short uncompressed frame: here is the short
        way for it. ``_receive`` gives the same result for these reads too (the tests compare the two)."""
        size = len(data)
        if 5 < size < 132:
            start = 6
            is_whole = data[1] == size + 122
        else:
            start = 8
            is_whole = 133 < size < 65544 and data[1] == 254 and data[2] << 8 | data[3] == size - 8
        session = self.session
        if (
            is_whole
            and ((first := data[0]) == 0x82 or first == 0x81)
            and not self._is_held
            and not self._rest
            and self._unfinished is None
            and not self._is_fragmented
            and session.phase is _OPEN
            and size - start <= self._max_size
        ):
            payload = apply_mask(data[start:], data[start - 4 : start])
            if first == 0x82:
                full = session.deliver({"type": "websocket.receive", "bytes": payload})
            else:
                try:
                    text = payload.decode()
                except UnicodeDecodeError:
                    self.fail(1007, "text is not UTF-8")
                    return
                full = session.deliver({"type": "websocket.receive", "text": text})
            if full:
                self._hold(b"")
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._is_held:
            self._rest = data
            if len(data) > _MOST_BEFORE_ACCEPT:
                self.pause_reading()
        else:
            self._read(data)

    def has_room(self) -> None:
        """The session takes messages (again)."""
        if self._is_held:
            self._is_held = False
            rest, self._rest = self._rest, b""
            if rest:
                self._read(rest)
            if not self._is_held:
                self.resume_reading()

    def _read(self, data: bytes) -> None:  # noqa: C901  the hot path is kept in one piece
        size = len(data)
        at = 0
        if self._unfinished is not None:
            at = self._continue(data, 0)
            if self._is_held:
                self._rest = data[at:]
                return
        session = self.session
        while at < size:
            # A short way again, for whole messages that came with others. Everything else is for _step, which gives
            # the same result for these frames too.
            start = at + 6
            if start <= size and session.phase is _OPEN and not self._is_fragmented:
                first = data[at]
                length = data[at + 1] - 128  # negative without a mask
                if length == 126 and at + 8 <= size:
                    start = at + 8
                    length = data[at + 2] << 8 | data[at + 3]
                    if length < 126:
                        length = -1
                elif length > 125:
                    length = -1
                stop = start + length
                if (first == 0x81 or first == 0x82) and 0 <= length <= self._max_size and stop <= size:
                    payload = apply_mask(data[start:stop], data[start - 4 : start])
                    at = stop
                    if first == 0x82:
                        full = session.deliver({"type": "websocket.receive", "bytes": payload})
                    else:
                        try:
                            text = payload.decode()
                        except UnicodeDecodeError:
                            self.fail(1007, "text is not UTF-8")
                            return
                        full = session.deliver({"type": "websocket.receive", "text": text})
                    if full:
                        self._hold(data[at:])
                        return
                    continue
            at = self._step(data, at)
            if self._is_held:
                self._rest = data[at:]
                return

    def _step(self, data: bytes, at: int) -> int:
        """Deals with one frame, or with as much of it as there is; where the next one begins."""
        size = len(data)
        if self.session.phase is not _OPEN and self.session.phase is not _CLOSING:
            return size  # what comes after the end is read and forgotten
        head = read_head(data, at)
        if head is None:
            self._rest = data[at:]
            return size
        fault = self._fault(head)
        if fault is not None:
            self.fail(*fault)
            return size
        body = at + head.length
        stop = body + head.size
        if stop <= size:
            if head.is_control and head.first & 0x70 == 0 and head.first > 0x7F:
                self._take_control(head, apply_mask(data[body:stop], head.mask))
            elif self.session.phase is _OPEN:
                self._give(data[at:stop])
            return stop
        if head.is_control or body == size:
            self._rest = data[at:]
            return size
        buffer = None
        if head.first in _MESSAGE_IN_ONE_FRAME and not self._is_fragmented:
            buffer = MessageBuffer()
            buffer.start(text=head.first == 0x81)
        self._unfinished = _Unfinished(head, buffer)
        return self._continue(data, body)

    def _fault(self, head: FrameHead) -> tuple[int, str] | None:
        """What is wrong with a frame whatever came before it (RFC 6455 sections 5.1, 5.2 and 5.5)."""
        if not head.mask:
            return 1002, "frame is not masked"
        if head.is_control and head.size > 125:
            return 1002, "control frame too long"
        if (head.length == 8 and head.size < 126) or (head.length == 14 and not 65535 < head.size < 1 << 63):
            return 1002, "frame length is not in its shortest form"
        if head.size > self._max_size:
            return 1009, "message too big"
        return None

    def _continue(self, data: bytes, at: int) -> int:
        """More of the payload of ``_unfinished``; where the next frame begins."""
        frame = self._unfinished
        assert frame is not None, "called with a frame under way"
        stop = min(len(data), at + frame.missing)
        chunk = data[at:stop]
        frame.missing -= len(chunk)
        is_end = frame.missing == 0
        if is_end:
            self._unfinished = None
        if self.session.phase is not _OPEN:
            return stop
        if frame.buffer is None:
            self._give(piece(frame.first | (0x80 if is_end and frame.is_last else 0), chunk, frame.mask))
            frame.first = 0
        else:
            try:
                message = frame.buffer.add(apply_mask(chunk, frame.mask), last=is_end)
            except FrameError as error:
                self.fail(error.code, error.reason)
                return len(data)
            if message is not None:
                self._deliver(message)
        turn = len(chunk) % 4
        frame.mask = frame.mask[turn:] + frame.mask[:turn]
        return stop

    def _give(self, frame: bytes) -> None:
        """To the core, whole."""
        try:
            message = self.core.receive(frame)
        except FrameError as error:
            self.fail(error.code, error.reason)
            return
        self._is_fragmented = message is None
        if message is not None:
            self._deliver(message)

    def _deliver(self, message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        if self.session.deliver({"type": "websocket.receive", kind: message}):
            self._hold(b"")

    def _hold(self, rest: bytes) -> None:
        self._is_held = True
        self._rest = rest
        self.pause_reading()

    def _take_control(self, head: FrameHead, payload: bytes) -> None:
        if head.opcode == CLOSE:
            try:
                self.peer_closed(payload, *parse_close(payload))
            except CloseFrameError as error:
                self.fail(error.code, str(error))
        elif head.opcode == PING:
            self.answer_ping(payload)
        elif head.opcode == PONG:
            self.take_pong(payload)
        else:
            self.fail(1002, "unknown opcode")

    # What the connection does

    def fail(self, code: int, reason: str) -> None:
        """Ends the connection because the peer broke the protocol (RFC 6455 section 7.1.7)."""
        raise NotImplementedError

    def peer_closed(self, payload: bytes, code: int, reason: str) -> None:
        """The peer's close frame came: ``payload`` is what to answer."""
        raise NotImplementedError

    def answer_ping(self, payload: bytes) -> None:
        """Sends a pong."""
        raise NotImplementedError

    def take_pong(self, payload: bytes) -> None:
        """The peer lives."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """No more of ``data_received``."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """``data_received`` again."""
        raise NotImplementedError


_MESSAGE_IN_ONE_FRAME = frozenset((0x81, 0x82))
