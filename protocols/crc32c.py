"""CRC-32C (Castagnoli, RFC 3720 section B.4): the checksum of a PROXY preface.

By table, a byte at a time: a preface with a checksum has some sixty bytes, once per connection, which is less work than
importing a library would be.
"""

from __future__ import annotations

from functools import cache

__all__ = ["crc32c"]

_POLYNOMIAL = 0x82F63B78
"""0x1EDC6F41 with its bits reversed."""


def crc32c(data: bytes) -> int:
    """The checksum of ``data``, 32 bits."""
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)
