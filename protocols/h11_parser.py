"""Request heads read by h11, in pure Python: for interpreters without httptools, and as a second opinion.

h11 accepts bare LF as a line end, joins folded lines and merges lengths that agree; ``strict_fields`` reads each head
first and refuses those. h11 then reads it too, and what either refuses is refused.
"""

from __future__ import annotations

import h11

from .errors import Refusal
from .fields import FieldCollector, strict_fields
from .request_line import read_request_line
from .terms import inspect

__all__ = ["H11Parser"]


class H11Parser(FieldCollector):
    """A ``HeadParser``; see ``base``."""

    __slots__ = ()

    def read(self, block: bytes) -> None:
        """Collect the fields of one head."""
        self.restart()
        for name, value in strict_fields(block):
            self.on_header(name, value)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(block) + 1)
        connection.receive_data(block)
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            # Our own rules name the fault, if they know it; h11 is believed where they do not.
            inspect(read_request_line(block[: block.find(b"\r\n")]), self)
            raise Refusal(400, "The request is malformed.") from error
        if not isinstance(event, h11.Request):
            raise Refusal(400, "The request is malformed.")
