"""Frames as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_arbiter.protocols import ws_frames
from asgi_arbiter.protocols.ws_frames import (
    CloseFrameError,
    FrameHead,
    apply_mask,
    close_payload,
    frame_head,
    is_sendable,
    parse_close,
    piece,
    read_head,
)


def test_the_masked_hello_of_rfc_6455_section_5_7_is_read() -> None:
    frame = bytes((0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58))
    head = read_head(frame)
    assert head == FrameHead(0x81, 5, frame[2:6], 6)
    assert apply_mask(frame[6:], head.mask) == b"Hello"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f" + bytes(5) + b"\x01\x00\x00"),
    ],
)
def test_a_length_is_written_in_its_shortest_form(size: int, expected: bytes) -> None:
    assert frame_head(0x82, size) == expected


@given(st.integers(0, 255), st.integers(0, 1 << 40), st.binary(min_size=4, max_size=4), st.binary(max_size=9))
def test_a_header_is_read_as_soon_as_it_is_whole_and_not_before(
    first: int, size: int, mask: bytes, before: bytes
) -> None:
    plain = frame_head(first, size)
    head = plain[:1] + bytes((plain[1] | 0x80,)) + plain[2:] + mask
    for have in range(len(head)):
        assert read_head(before + head[:have], len(before)) is None
    assert read_head(before + head + b"payload", len(before)) == FrameHead(first, size, mask, len(head))


def test_a_header_without_a_mask_is_read_with_an_empty_one() -> None:
    assert read_head(b"\x81\x05Hello") == FrameHead(0x81, 5, b"", 2)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_without_the_extension_module_is_the_same(data: bytes, mask: bytes) -> None:
    expected = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    assert apply_mask(data, mask) == expected
    assert ws_frames.apply_mask_slowly(data, mask) == expected


def test_a_piece_is_a_frame_of_its_own() -> None:
    frame = piece(0x41, apply_mask(b"x" * 200, b"abcd"), b"abcd")
    head = read_head(frame)
    assert head is not None
    assert (head.first, head.size, head.mask) == (0x41, 200, b"abcd")
    assert apply_mask(frame[head.length :], head.mask) == b"x" * 200


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_a_code_of_the_registry_may_be_sent_and_received(code: int) -> None:
    assert is_sendable(code)
    assert parse_close(close_payload(code, "why")) == (code, "why")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_reserved_code_is_refused_in_both_directions(code: int) -> None:
    with pytest.raises(CloseFrameError) as caught:
        parse_close(code.to_bytes(2, "big"))
    assert caught.value.code == 1002
    if code != 1005:
        with pytest.raises(ValueError, match="not a close code"):
            close_payload(code)


def test_no_code_is_1005_and_1005_is_no_code() -> None:
    assert parse_close(b"") == (1005, "")
    assert close_payload(1005) == b""


def test_a_close_frame_of_one_byte_and_one_with_a_bad_reason_are_told_apart() -> None:
    with pytest.raises(CloseFrameError) as short:
        parse_close(b"\x03")
    with pytest.raises(CloseFrameError) as garbled:
        parse_close(b"\x03\xe8\xff")
    assert (short.value.code, garbled.value.code) == (1002, 1007)


def test_a_long_reason_is_cut_at_a_character() -> None:
    payload = close_payload(1000, "é" * 100)
    assert len(payload) == 124
    assert parse_close(payload) == (1000, "é" * 61)
