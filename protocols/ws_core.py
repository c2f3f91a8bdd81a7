"""What a connection asks of a sans-I/O library: the frames that need memory, and the judgement of malformed ones.

The connection (``ws_connection``) deals itself with what stands alone: whole uncompressed messages in one frame, pings,
pongs, close frames. Everything else (fragments, compression, anything that is not as RFC 6455 says) goes to a
``FrameCore``. The state of a core stays right although it does not see every frame, because

* it is only given whole frames, in order, so it always stands between two frames;
* while a fragmented message is under way it is given every data frame, so it never misses one that it would refuse;
* frames that it does not see change nothing that it remembers (RFC 7692 section 6: a message that is not compressed
  leaves the compression context alone).

``tests/unit/protocols/test_ws_connection.py`` compares the two ways with random frames cut at random places.
"""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .ws_deflate import Deflate

__all__ = ["UTF8", "CoreFactory", "FrameCore", "FrameError", "MessageBuffer"]

UTF8 = codecs.getincrementaldecoder("utf-8")


class FrameError(Exception):
    """The peer broke the protocol: the connection fails with ``code`` (1002, 1007 or 1009) and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameCore(Protocol):
    """One connection's reassembly, decompression and compression."""

    def receive(self, frame: bytes, /) -> str | bytes | None:
        """Takes one whole masked frame; the message that it completes, or ``None``.

        Raises ``FrameError``; after that the core is not used again.
        """

    def compress(self, opcode: int, payload: bytes, /) -> bytes:
        """A whole compressed message as one unmasked frame; only called where compression was negotiated."""


class CoreFactory(Protocol):
    """Makes a core when a connection first needs one; most never do."""

    def __call__(self, *, max_size: int, deflate: Deflate | None) -> FrameCore:
        """``max_size`` in bytes after decompression, 0 for no limit; ``deflate`` as it was negotiated."""


class MessageBuffer:
    """The fragments of one message. Text is decoded as it comes, so that bad UTF-8 is refused at its first fragment.

    One growing buffer, not a list: fragments may be empty or of one byte, and a list of a million of them is a way to
    exhaust the memory that no limit on the message's size catches.
    """

    __slots__ = ("_bytes", "_decoder", "_text")

    def __init__(self) -> None:
        self._bytes: io.BytesIO | None = None
        self._text: io.StringIO | None = None
        self._decoder = UTF8()

    def start(self, *, text: bool) -> None:
        """A new message begins."""
        self._bytes, self._text = (None, io.StringIO(newline="")) if text else (io.BytesIO(), None)
        self._decoder.reset()

    def add(self, data: bytes | bytearray | memoryview, *, last: bool) -> str | bytes | None:
        """The message, if ``data`` was its ``last`` part. Raises ``FrameError`` 1007 for text that is not UTF-8."""
        if self._text is not None:
            try:
                self._text.write(self._decoder.decode(data, last))
            except UnicodeDecodeError:
                raise FrameError(1007, "text is not UTF-8") from None
        else:
            assert self._bytes is not None, "a message starts before its first part"
            self._bytes.write(data)
        return self._take() if last else None

    def _take(self) -> str | bytes | None:
        text, data = self._text, self._bytes
        self._text = self._bytes = None
        return text.getvalue() if text is not None else data.getvalue() if data is not None else None
