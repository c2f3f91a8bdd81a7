"""When a certificate is valid: the two dates of RFC 5280 section 4.1.2.5, read from its DER form.

Python's ``ssl`` tells them of a peer's certificate only, never of one's own, and a whole X.509 library is a heavy
dependency for two dates. Rules: pure; what cannot be read is None, since OpenSSL has judged the certificate already.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["validity"]

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
"""``[0]``, which a certificate of version 1 does not have."""
_FORMATS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""``UTCTime`` and ``GeneralizedTime``, as RFC 5280 allows them: with seconds, in UTC."""


def validity(der: bytes) -> tuple[datetime, datetime] | None:
    """``notBefore`` and ``notAfter`` of a certificate, in UTC; None if they cannot be read."""
    try:
        body, _ = _enter(der, 0, _SEQUENCE)
        at, _ = _enter(der, body, _SEQUENCE)
        if der[at] == _VERSION:
            at = _after(der, at)
        for _ in ("serialNumber", "signature", "issuer"):
            at = _after(der, at)
        at, _ = _enter(der, at, _SEQUENCE)
        return _time(der, at), _time(der, _after(der, at))
    except (IndexError, KeyError, ValueError):
        return None


def _enter(der: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins and ends. Raises ``IndexError`` or ``ValueError``."""
    if der[at] != tag:
        raise ValueError(f"found element {der[at]:#x}, expected {tag:#x}")
    length, at = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(der[at : at + count], "big"), at + count
    if at + length > len(der):
        raise IndexError("the element is longer than the whole")
    return at, at + length


def _after(der: bytes, at: int) -> int:
    return _enter(der, at, der[at])[1]


def _time(der: bytes, at: int) -> datetime:
    begin, end = _enter(der, at, der[at])
    found = datetime.strptime(der[begin:end].decode("ascii"), _FORMATS[der[at]]).replace(tzinfo=UTC)
    if der[at] == 0x17 and found.year >= 2050:  # RFC 5280: 50 to 99 are of the last century; strptime parts at 69
        return found.replace(year=found.year - 100)
    return found
