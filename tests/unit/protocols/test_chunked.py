"""The chunked coding: pieces, borders and bounds. What is malformed is in the corpus."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_arbiter.protocols.chunked import ChunkedDecoder
from asgi_arbiter.protocols.errors import Refusal


def decode(data: bytes, cuts: list[int], limit: float = 65536) -> tuple[bytes, bytes, bool]:
    """The body, what was left over, and whether the body has ended."""
    decoder = ChunkedDecoder(limit)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    body = b""
    for start, end in itertools.pairwise(edges):
        pieces, position = decoder.feed(data[start:end], 0)
        body += b"".join(pieces)
        if decoder.over:
            return body, data[start + position :], True
        assert position == end - start
    return body, b"", False


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=20), st.lists(st.integers(0, 400)))
def test_a_body_comes_out_as_it_went_in_however_it_is_cut(chunks: list[bytes], behind: bytes, cuts: list[int]) -> None:
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nX: y\r\n\r\n"
    assert decode(data + behind, cuts) == (b"".join(chunks), behind, True)


def test_an_incomplete_body_is_not_over() -> None:
    for end in range(len(b"3\r\nabc\r\n0\r\n\r\n")):
        assert not decode(b"3\r\nabc\r\n0\r\n\r\n"[:end], [])[2]


def test_the_end_of_a_chunk_is_checked_before_its_line_is_complete() -> None:
    with pytest.raises(Refusal):
        decode(b"1\r\nab", [])


@pytest.mark.parametrize("data", [b"5;" + b"a" * 5000, b"1;" + b"a" * 4000 + b"\r\na\r\n"])
def test_extensions_are_bounded(data: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        decode(data * 30, [])
    assert caught.value.status == 400


def test_trailers_are_bounded() -> None:
    with pytest.raises(Refusal) as caught:
        decode(b"0\r\n" + b"X: y\r\n" * 100, [], limit=50)
    assert caught.value.status == 431
