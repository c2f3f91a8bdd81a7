"""The core over ``websockets``; what both cores share is in ``test_ws_reader``."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from asgi_arbiter.protocols import resolve_websocket
from asgi_arbiter.protocols.websocket import WebsocketsCore, WebsocketsProtocol
from asgi_arbiter.protocols.ws_core import FrameError
from asgi_arbiter.protocols.ws_deflate import Deflate
from asgi_arbiter.protocols.ws_frames import read_head
from tests.ws_support import client_frame, make_upgrade


def test_fragments_are_put_together() -> None:
    core = WebsocketsCore(max_size=0, deflate=None)
    assert core.receive(client_frame(1, b"a", fin=False)) is None
    assert core.receive(client_frame(0, b"b")) == "ab"
    assert core.receive(client_frame(2, b"c")) == b"c"


def test_what_the_library_would_answer_by_itself_is_not_sent() -> None:
    core = WebsocketsCore(max_size=10, deflate=Deflate())
    with pytest.raises(FrameError) as caught:
        core.receive(client_frame(2, bytes(11)))
    assert caught.value.code == 1009


def test_messages_are_compressed_with_what_was_agreed() -> None:
    core = WebsocketsCore(max_size=0, deflate=Deflate(server_max_window_bits=9))
    expand = zlib.decompressobj(wbits=-9)
    for text in (b"hello " * 100, b"hello " * 101):
        frame = core.compress(1, text)
        head = read_head(frame)
        assert head is not None
        assert head.first == 0xC1
        assert expand.decompress(frame[head.length :] + b"\x00\x00\xff\xff") == text
    assert core.compress(2, b"x" * 100)[0] == 0xC2


def test_without_takeover_each_message_stands_alone() -> None:
    core = WebsocketsCore(max_size=0, deflate=Deflate(server_no_context_takeover=True))
    assert core.compress(1, b"hello " * 100) == core.compress(1, b"hello " * 100)


def test_the_registry_finds_it_under_its_names() -> None:
    for name in ("auto", "websockets", "websockets-sansio"):
        make = resolve_websocket(name)
        assert make is not None
        assert isinstance(make(_context(), make_upgrade(None)), WebsocketsProtocol)
    assert resolve_websocket("none") is None


def _context() -> Any:
    from types import SimpleNamespace

    from asgi_arbiter.config.settings import Config

    return SimpleNamespace(config=Config(), loop=None)
