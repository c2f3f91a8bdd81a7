"""Request heads read by httptools (llhttp, the parser of Node.js).

llhttp is given whole heads only, and only its field callback is used: the request line is judged (and remembered) by
``request``, and bodies are framed by the connection. This is faster than its full set of callbacks, and leaves one
place that decides where a message ends. Where llhttp objects, ``strict_fields`` has the last word: it knows methods
that llhttp does not, and names the right fault.
"""

from __future__ import annotations

import httptools

from .fields import FieldCollector, strict_fields

__all__ = ["HttptoolsParser"]


class HttptoolsParser(FieldCollector):
    """A ``HeadParser`` (see ``base``) whose own method is llhttp's callback."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        super().__init__()
        self._renew()

    def _renew(self) -> None:
        parser = httptools.HttpRequestParser(self)
        # The parser outlives connections, so "no more data after Connection: close" must not concern it.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        self._parser = parser

    def read(self, block: bytes) -> None:
        """Collect the fields of one head."""
        if self.framed:
            # The last head announced a body that llhttp was not given and would look for in this block.
            self._renew()
        self.restart()
        try:
            self._parser.feed_data(block)
        except httptools.HttpParserUpgrade:
            pass  # its notice of "Connection: upgrade"; the head has been read
        except httptools.HttpParserError:
            self._renew()
            self.restart()
            for name, value in strict_fields(block):
                self.on_header(name, value)
