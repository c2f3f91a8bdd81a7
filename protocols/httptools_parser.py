"""Request heads read by httptools (llhttp, the parser of Node.js).

llhttp is given whole heads only, and only its field callback is used: the request line is judged (and remembered) by
``request``, and bodies are framed by the connection. This is faster than its full set of callbacks, and leaves one
place that decides where a message ends. Where llhttp objects, ``strict_fields`` has the last word: it knows methods
that llhttp does not, and names the right fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from .request import strict_fields

if TYPE_CHECKING:
    from .asgi import HeaderList

__all__ = ["HttptoolsParser"]


class HttptoolsParser:
    """A ``HeadParser``; see ``base``."""

    __slots__ = ("_fields", "_parser")

    def __init__(self) -> None:
        self._fields: HeaderList = []
        self._renew()

    def _renew(self) -> None:
        parser = httptools.HttpRequestParser(self)
        # The parser outlives connections, so "no more data after Connection: close" must not concern it.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        self._parser = parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each field."""
        self._fields.append((name.lower(), value))

    def fields(self, block: bytes) -> HeaderList:
        """The fields of one head."""
        fields: HeaderList = []
        self._fields = fields
        try:
            self._parser.feed_data(block)
        except httptools.HttpParserUpgrade:
            pass  # its notice of "Connection: upgrade"; the head has been read
        except httptools.HttpParserError:
            self._renew()
            return strict_fields(block)
        # llhttp keeps white space at the end of a value (RFC 9110 section 5.5 takes it away).
        if block.find(b" \r\n") >= 0 or block.find(b"\t\r\n") >= 0:
            fields = [(name, value.rstrip(b" \t")) for name, value in fields]
        return fields

    def body_follows(self) -> None:
        """The head announced a body, which this parser will not see: start afresh (half a microsecond)."""
        self._renew()
