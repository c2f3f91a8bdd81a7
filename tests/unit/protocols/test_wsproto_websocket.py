"""The core over ``wsproto``; what both cores share is in ``test_ws_reader``."""

from __future__ import annotations

import zlib
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter import protocols
from asgi_arbiter.config import Config, MissingExtra
from asgi_arbiter.protocols.ws_core import FrameError
from asgi_arbiter.protocols.ws_deflate import Deflate
from asgi_arbiter.protocols.ws_frames import read_head
from asgi_arbiter.protocols.wsproto_websocket import WsprotoCore, WsprotoProtocol
from tests.ws_support import client_frame, make_upgrade


def squeezed(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-15)
    return (encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("deflate", [None, Deflate()])
def test_the_size_of_a_message_is_bounded_over_all_its_fragments(deflate: Deflate | None) -> None:
    core = WsprotoCore(max_size=10, deflate=deflate)
    for _ in range(3):  # the count begins anew with each message
        assert core.receive(client_frame(2, bytes(5), fin=False)) is None
        assert core.receive(client_frame(0, bytes(5))) == bytes(10)
    assert core.receive(client_frame(2, bytes(6), fin=False)) is None
    with pytest.raises(FrameError) as caught:
        core.receive(client_frame(0, bytes(5)))
    assert (caught.value.code, caught.value.reason) == (1009, "message too big")


def test_what_a_message_decompresses_to_is_bounded() -> None:
    core = WsprotoCore(max_size=1000, deflate=Deflate())
    assert core.receive(client_frame(2, squeezed(bytes(1000)), rsv=4)) == bytes(1000)
    with pytest.raises(FrameError) as caught:
        core.receive(client_frame(2, squeezed(bytes(1001)), rsv=4))
    assert caught.value.code == 1009


def test_broken_compressed_data_is_1002() -> None:
    core = WsprotoCore(max_size=0, deflate=Deflate())
    with pytest.raises(FrameError) as caught:
        core.receive(client_frame(2, b"\xff\xff\xff", rsv=4))
    assert caught.value.code == 1002


def test_a_small_window_of_the_client_is_read() -> None:
    core = WsprotoCore(max_size=0, deflate=Deflate(client_max_window_bits=8, client_no_context_takeover=True))
    for _ in range(2):
        assert core.receive(client_frame(1, squeezed(b"hello"), rsv=4)) == "hello"


def test_messages_are_compressed_with_what_was_agreed() -> None:
    core = WsprotoCore(max_size=0, deflate=Deflate(server_max_window_bits=9, server_no_context_takeover=True))
    for opcode, data in ((1, b"hello " * 100), (2, b"\xff" * 100)):
        frame = core.compress(opcode, data)
        head = read_head(frame)
        assert head is not None
        assert head.first == 0xC0 | opcode
        assert zlib.decompressobj(wbits=-9).decompress(frame[head.length :] + b"\x00\x00\xff\xff") == data


def test_auto_takes_it_where_websockets_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "find_spec", lambda name: find_spec(name) if name == "wsproto" else None)
    make = protocols.resolve_websocket("auto")
    assert make is not None
    context: Any = SimpleNamespace(config=Config(), loop=None)
    assert isinstance(make(context, make_upgrade(None)), WsprotoProtocol)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "find_spec", lambda name: None)
    assert protocols.resolve_websocket("auto") is None
    with pytest.raises(MissingExtra, match=r"asgi-arbiter\[wsproto\]"):
        protocols.resolve_websocket("wsproto")
