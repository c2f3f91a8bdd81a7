"""Fields by which a trusted proxy says that its client came by TLS (the setting ``secure_scheme_headers``).

Each has the one value that means ``https``; any other means ``http``. ``X-Forwarded-Proto``, where it is one of them and
``https`` its value, is a scheme by name and may also be ``wss`` or ``ws``; a word that is no scheme is ignored. Two
fields that contradict each other are refused: one of them was written by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .errors import Refusal

__all__ = ["SchemeHeaders"]

_BY_NAME: Final = {b"https": "https", b"wss": "https", b"http": "http", b"ws": "http"}


class SchemeHeaders:
    """The fields and what they say. ``names`` are in lower case."""

    __slots__ = ("_secure", "names")

    def __init__(self, pairs: Iterable[tuple[str, str]] = (("x-forwarded-proto", "https"),)) -> None:
        self._secure = {
            name.strip().lower().encode("latin-1"): value.strip().lower().encode("latin-1") for name, value in pairs
        }
        self.names = frozenset(self._secure)

    def claimed(self, values: Mapping[bytes, bytes]) -> str:
        """``https``, ``http``, or empty if no field says; of a list, the item that the nearest proxy appended counts.

        Raises ``Refusal`` 400 for fields that contradict each other."""
        found = ""
        for name, secure in self._secure.items():
            value = values.get(name, b"").rpartition(b",")[2].strip().lower()
            if not value:
                continue
            by_name = name == b"x-forwarded-proto" and secure == b"https"
            scheme = _BY_NAME.get(value, "") if by_name else "https" if value == secure else "http"
            if found and scheme and scheme != found:
                raise Refusal(400, "The fields that tell the scheme contradict each other.")
            found = found or scheme
        return found
