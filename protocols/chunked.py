"""The chunked transfer coding of request bodies, strictly (RFC 9112 section 7.1). Pure: bytes in, bytes out.

Written here and not taken from a parser, because every parser is lenient in another way and a difference of one byte
is a smuggled request: sizes are hexadecimal digits alone, extensions must follow the grammar, every line ends with
CR LF, and sizes, extension lines and the trailer section are bounded. Trailer fields are checked and dropped: they must
never appear among the request's fields (RFC 9110 section 6.5.1).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from .errors import Refusal
from .grammar import TOKEN

__all__ = ["ChunkedDecoder"]

# RFC 9112 section 7.1.1: chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
_EXTENSION: Final = (
    rb"(?:[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb'|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]'
    rb'|\\[\t \x21-\x7e\x80-\xff])*"))?)*'
)
_size_line = re.compile(rb"([0-9A-Fa-f]{1,15})" + _EXTENSION).fullmatch
_trailer_line = re.compile(TOKEN + rb":[\t\x20-\x7e\x80-\xff]*").fullmatch
_LINE_LIMIT: Final = 4096
_EXTENSIONS_LIMIT: Final = 65536


class _Part(Enum):
    SIZE = "the line with the size of a chunk"
    DATA = "the bytes of a chunk"
    DATA_END = "the CR LF after a chunk"
    TRAILER = "the trailer section"
    OVER = "nothing more"


class ChunkedDecoder:
    """Decodes one body. ``feed`` what arrives; ``over`` tells when the body has ended."""

    __slots__ = ("_left", "_line", "_overhead", "_part", "_trailer_limit", "_trailer_size")

    def __init__(self, trailer_limit: float) -> None:
        self._part = _Part.SIZE
        self._left = 0
        self._line = b""
        self._overhead = 0
        self._trailer_size = 0
        self._trailer_limit = trailer_limit

    @property
    def over(self) -> bool:
        """Whether the last chunk and the trailer section have been read."""
        return self._part is _Part.OVER

    def feed(self, data: bytes, position: int) -> tuple[list[bytes], int]:
        """Decode ``data`` from ``position``: the pieces of body found, and where the body ended or the data ran out.

        Raises ``Refusal`` 400 (malformed) or 431 (the trailer section is too large)."""
        pieces: list[bytes] = []
        end = len(data)
        while position < end and self._part is not _Part.OVER:
            if self._part is _Part.DATA:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if not self._left:
                    self._part = _Part.DATA_END
                continue
            line, position = self._take_line(data, position)
            if line is not None:
                self._line_read(line)
        return pieces, position

    def _take_line(self, data: bytes, position: int) -> tuple[bytes | None, int]:
        """One line without its CR LF, or None if it has not arrived in full."""
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        line = self._line + data[position:stop] if self._line else data[position:stop]
        if len(line) > _LINE_LIMIT:
            self._too_long()
        if end < 0:
            if self._part is _Part.DATA_END and line != b"\r":
                raise Refusal(400, "A chunk is longer than its size.")
            self._line = line
            return None, stop
        self._line = b""
        if not line.endswith(b"\r\n"):
            raise Refusal(400, "A line of the chunked body does not end with CR LF.")
        return line[:-2], stop

    def _too_long(self) -> None:
        if self._part is _Part.TRAILER:
            raise Refusal(431, "The trailer section is too large.")
        raise Refusal(400, "A line of the chunked body is too long.")

    def _line_read(self, line: bytes) -> None:
        if self._part is _Part.SIZE:
            self._size_read(line)
        elif self._part is _Part.DATA_END:
            if line:
                raise Refusal(400, "A chunk is longer than its size.")
            self._part = _Part.SIZE
        elif not line:
            self._part = _Part.OVER
        else:
            self._trailer_size += len(line)
            if self._trailer_size > self._trailer_limit:
                raise Refusal(431, "The trailer section is too large.")
            if not _trailer_line(line):
                raise Refusal(400, "A trailer field is malformed.")

    def _size_read(self, line: bytes) -> None:
        match = _size_line(line)
        if match is None:
            raise Refusal(400, "The size of a chunk is malformed.")
        # Extensions are ignored, but a client may not make us read them for ever.
        self._overhead += len(line) - match.end(1)
        if self._overhead > _EXTENSIONS_LIMIT:
            raise Refusal(400, "The chunk extensions are too long.")
        self._left = int(match[1], 16)
        self._part = _Part.DATA if self._left else _Part.TRAILER
