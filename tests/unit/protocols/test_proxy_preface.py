"""The PROXY protocol's preface: what it says, and what is refused."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_arbiter.protocols.crc32c import crc32c
from asgi_arbiter.protocols.proxy_preface import LIMIT, InvalidPreface, Preface, read_preface

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP4 = ipaddress.ip_address("1.2.3.4").packed + ipaddress.ip_address("5.6.7.8").packed + b"\x10\x00\x01\xbb"
TCP6 = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("::1").packed + b"\x10\x00\x01\xbb"


def v2(command: int, family: int, data: bytes, size: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(data) if size is None else size).to_bytes(2) + data


def checked(before: bytes = b"", after: bytes = b"", wrong: int = 0) -> bytes:
    """A preface with a checksum between other extensions."""
    head, zeros = TCP4 + before + b"\x03\x00\x04", bytes(4)
    checksum = crc32c(v2(0x21, 0x11, head + zeros + after)) ^ wrong
    return v2(0x21, 0x11, head + checksum.to_bytes(4) + after)


NOTHING = b"\x04\x00\x00"
# As HAProxy sent it: send-proxy-v2 proxy-v2-options crc32c,unique-id
HAPROXY = bytes.fromhex("0d0a0d0a000d0a515549540a2111001b7f0000017f000001bd609eeb030004ad9b924c0500053237353134")

GOOD: list[Any] = [
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 4096 443\r\n", ("1.2.3.4", 4096), ("5.6.7.8", 443)),
    (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        ("255.255.255.255", 65535),
        ("255.255.255.255", 65535),
    ),
    (b"PROXY TCP6 2001:db8::1 ::1 0 1\r\n", ("2001:db8::1", 0), ("::1", 1)),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 0 1\r\n", ("2001:db8::1", 0), ("::1", 1)),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None, None),
    (v2(0x21, 0x11, TCP4), ("1.2.3.4", 4096), ("5.6.7.8", 443)),
    (v2(0x21, 0x12, TCP4), ("1.2.3.4", 4096), ("5.6.7.8", 443)),
    (v2(0x21, 0x11, TCP4 + b"\x04\x00\x02xx"), ("1.2.3.4", 4096), ("5.6.7.8", 443)),
    (checked(), ("1.2.3.4", 4096), ("5.6.7.8", 443)),
    (checked(NOTHING, NOTHING * 20), ("1.2.3.4", 4096), ("5.6.7.8", 443)),
    (HAPROXY, ("127.0.0.1", 48480), ("127.0.0.1", 40683)),
    (v2(0x20, 0x11, TCP4 + b"\x03\x00\x04" + bytes(4)), None, None),
    (v2(0x21, 0x21, TCP6), ("2001:db8::1", 4096), ("::1", 443)),
    (v2(0x21, 0x31, b"/client".ljust(108, b"\0") + b"/server".ljust(108, b"\0")), None, ("/server", None)),
    (v2(0x21, 0x31, bytes(216)), None, None),
    (v2(0x20, 0x00, b""), None, None),
    (v2(0x20, 0x11, TCP4), None, None),
    (v2(0x21, 0x00, b"skipped unread"), None, None),
    (
        v2(0x21, 0x11, TCP4 + b"\x04" + (LIMIT - 15).to_bytes(2) + bytes(LIMIT - 15)),
        ("1.2.3.4", 4096),
        ("5.6.7.8", 443),
    ),
]
LOCAL = (b"PROXY UNKNOWN", SIGNATURE + b"\x20", SIGNATURE + b"\x21\x00")
BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
    b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 256.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN \x00\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN " + b"x" * 100,
    SIGNATURE + b"\x11\x11\0\x0c" + TCP4,
    SIGNATURE + b"\x22\x11\0\x0c" + TCP4,
    v2(0x21, 0x41, TCP4),
    v2(0x21, 0x13, TCP4),
    v2(0x21, 0x11, TCP4[:-1]),
    v2(0x21, 0x21, TCP4),
    v2(0x21, 0x31, TCP6),
    v2(0x21, 0x11, TCP4 + b"\x04"),
    v2(0x21, 0x11, TCP4 + b"\x04\x00\x05x"),
    checked(wrong=1),
    checked(NOTHING, NOTHING, wrong=1 << 31),
    v2(0x21, 0x11, TCP4 + b"\x03\x00\x03abc"),
    v2(0x21, 0x11, TCP4 + b"\x03\x00\x05abcde"),
    v2(0x21, 0x11, TCP4 + b"\x03\x00\x04ab"),
    checked(b"\x03\x00\x04" + bytes(4)),
    v2(0x21, 0x11, TCP4, LIMIT + 1),
    SIGNATURE[:-1] + b"X",
]


@pytest.mark.parametrize(("data", "client", "server"), GOOD)
def test_a_preface_says_who_connects(data: bytes, client: Any, server: Any) -> None:
    is_proxied = not data.startswith(LOCAL)
    assert read_preface(data + b"GET / HTTP/1.1", "auto") == Preface(len(data), is_proxied, client, server)


@pytest.mark.parametrize("data", [case[0] for case in GOOD])
def test_every_beginning_of_a_preface_asks_for_more(data: bytes) -> None:
    assert [size for size in range(1, len(data)) if read_preface(data[:size], "auto") is not None] == []


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_preface_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidPreface):
        read_preface(data, "auto")


def test_one_version_alone_can_be_asked_for() -> None:
    text, binary = GOOD[0][0], GOOD[6][0]
    assert read_preface(text, "v1")
    assert read_preface(binary, "v2")
    for data, mode in ((text, "v2"), (binary, "v1")):
        with pytest.raises(InvalidPreface, match="does not begin"):
            read_preface(data, mode)


@given(st.binary(max_size=300) | st.builds(bytes.__add__, st.sampled_from([SIGNATURE, b"PROXY TCP4 "]), st.binary()))
def test_any_bytes_are_a_preface_a_part_of_one_or_refused(data: bytes) -> None:
    try:
        preface = read_preface(data, "auto")
    except InvalidPreface:
        return
    assert len(data) < LIMIT + 16 if preface is None else preface.size <= len(data)
