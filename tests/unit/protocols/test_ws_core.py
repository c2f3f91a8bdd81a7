"""The fragments of one message."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.ws_core import FrameError, MessageBuffer


def test_fragments_become_one_message_of_their_kind() -> None:
    buffer = MessageBuffer()
    buffer.start(text=False)
    assert buffer.add(b"a", last=False) is None
    assert buffer.add(b"", last=False) is None
    assert buffer.add(b"\xff", last=True) == b"a\xff"
    buffer.start(text=True)
    assert buffer.add("é".encode()[:1], last=False) is None
    assert buffer.add("é".encode()[1:], last=True) == "é"


def test_a_character_cut_in_two_is_fine_until_the_message_ends_within_it() -> None:
    buffer = MessageBuffer()
    buffer.start(text=True)
    assert buffer.add(b"a\xc3", last=False) is None
    with pytest.raises(FrameError) as caught:
        buffer.add(b"", last=True)
    assert caught.value.code == 1007


def test_bad_text_is_refused_in_the_fragment_that_has_it() -> None:
    buffer = MessageBuffer()
    buffer.start(text=True)
    with pytest.raises(FrameError, match="UTF-8"):
        buffer.add(b"\xed\xa0\x80", last=False)


def test_line_ends_are_left_alone() -> None:
    buffer = MessageBuffer()
    buffer.start(text=True)
    assert buffer.add(b"a\r", last=False) is None
    assert buffer.add(b"\nb\rc\n", last=True) == "a\r\nb\rc\n"
