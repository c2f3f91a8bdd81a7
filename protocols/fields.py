"""Header fields: the grammar that has the last word, the limits on their bytes, and which of their names concern us.

A parser library turns a block of bytes into fields; whatever it refuses is judged again by ``strict_fields``, so that
every parser ends with the same verdict. What the fields mean together is the business of ``terms``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from .errors import Refusal
from .grammar import TOKEN

if TYPE_CHECKING:
    from .asgi import HeaderList
    from .policy import HttpPolicy

__all__ = [
    "FORWARDING",
    "SPECIAL",
    "FieldCollector",
    "check_sizes",
    "ordinary_name",
    "strict_fields",
    "watch_forwarding",
]

# RFC 9112 section 5: each field line is a name, a colon without space before it, a value without controls, CR LF.
_field_lines = re.compile(rb"\r\n(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)(?=\r\n)").findall


def strict_fields(block: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a whole head (up to and with the empty line) as they are spelt: the grammar itself.

    No bare CR or LF, no folding, no NUL or other control characters, no space around the name. Raises ``Refusal`` 400.
    Twice as slow as httptools and the reference for every parser."""
    start = block.find(b"\r\n")
    found: list[tuple[bytes, bytes]] = _field_lines(block, start, len(block) - 2)
    # A match runs from one CR LF to the next, so if there are as many matches as line ends, no byte is unaccounted for.
    if len(found) != block.count(b"\r\n", start) - 2 or 10 in block[:start] or 13 in block[:start]:
        raise Refusal(400, "A header field is malformed.")
    return found


FORWARDING: Final = {
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
}
SPECIAL: Final = FORWARDING | {
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"te",
    b"transfer-encoding",
    b"upgrade",
}
_ORDINARY_LIMIT: Final = 1024
_ordinary: dict[bytes, bytes] = {}


def watch_forwarding(names: Collection[bytes]) -> None:
    """Have ``Terms.forwarded`` tell of fields of these names too (lower case), which proxies of this worker may set."""
    if not FORWARDING.issuperset(names):
        FORWARDING.update(names)
        SPECIAL.update(names)
        _ordinary.clear()


class FieldCollector:
    """Collects the fields of a head as a parser finds them, telling at once whether any of them concerns us.

    Most heads have a Host and names that mean nothing to the server. Names are looked up as they are spelt: the answer
    is the name in lower case, and no second look at the fields is needed where every name is ordinary."""

    __slots__ = ("fields", "framed", "host", "special", "underscored")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a new head."""
        self.fields: HeaderList = []
        self.host: bytes | None = None
        """The value of the first Host field."""
        self.special = False
        """There are fields beyond Host that ``inspect`` has to look at."""
        self.framed = False
        """There is a Content-Length or a Transfer-Encoding."""
        self.underscored = False
        """There are names with an underscore."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, as it came (httptools calls its callback by this name)."""
        lower = ordinary_name(name)
        if lower is None:
            lower = self.look_at(name, value)
        # RFC 9110 section 5.5: white space around a value is not part of it (llhttp leaves it at the end).
        self.fields.append((lower, value.rstrip()))

    def look_at(self, name: bytes, value: bytes) -> bytes:
        """The lower case of a name that ``ordinary_name`` does not know, and what the field means to us."""
        if not name:  # picohttpparser's mark of a folded line
            raise Refusal(400, "A header field is malformed.")
        lower = name.lower()
        if lower == b"host" and self.host is None:
            self.host = value.rstrip()
        elif lower != b"connection" or value != b"keep-alive":
            self.special = True
            if lower == b"content-length" or lower == b"transfer-encoding":
                self.framed = True
            elif 95 in lower:
                self.underscored = True
            elif lower not in SPECIAL and len(lower) < 64:
                if len(_ordinary) >= _ORDINARY_LIMIT:
                    _ordinary.clear()
                _ordinary[name] = lower
        return lower


ordinary_name = _ordinary.get
"""The lower case of a name, as it is spelt, that is known to mean nothing to us."""


def check_sizes(block: bytes, line_end: int, policy: HttpPolicy) -> None:
    """The limits on the bytes of a head. Raises ``Refusal``: 414 (RFC 9110 section 15.5.15), 431 (RFC 6585)."""
    if line_end > policy.line_limit:
        raise Refusal(414, "The request line is too long.")
    if len(block) > policy.head_limit:
        raise Refusal(431, "The head of the request is too large.")
    if max(map(len, block[line_end + 2 :].split(b"\r\n"))) > policy.field_size_limit:
        raise Refusal(431, "A header field is too large.")
