"""Request heads read by picohttpparser (the package ``gunicorn_h1c``): all fields of a head in one call into C.

Only its ``parse_headers`` is used: the request line is judged (and remembered) by ``request_line``, and bodies are framed
by the connection. It gets ``bytes`` and nothing else, since it reads its argument after it has let go of the buffer.

What picohttpparser lets through and we check: LF alone as the end of a line (also as the end of the head, with anything
behind it), folded lines. Where it objects, or finds more fields than its fixed number of 256, ``strict_fields`` has the
last word.
"""

from __future__ import annotations

from gunicorn_h1c import IncompleteError, ParseError, parse_headers

from .fields import FieldCollector, ordinary_name, strict_fields

__all__ = ["H1CParser"]


class H1CParser(FieldCollector):
    """A ``HeadParser``; see ``base``."""

    __slots__ = ()

    def read(self, block: bytes) -> None:
        """Collect the fields of one head."""
        self.restart()
        section = block[block.find(b"\r\n") + 2 :]
        try:
            found = parse_headers(section)
        except (ParseError, IncompleteError):
            found = []
        ends = len(found) + 1
        # Each CR it took has its LF. One LF more is behind what it took for the end, one CR less is a bare LF.
        if section.count(b"\n") == ends == section.count(b"\r"):
            keep = self.fields.append
            for name, value in found:  # white space around the values is gone
                lower = ordinary_name(name)
                keep((self.look_at(name, value) if lower is None else lower, value))
        else:
            for name, value in strict_fields(block):
                self.on_header(name, value)
