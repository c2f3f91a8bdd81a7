"""The first byte of a connection, and the answer to those who begin with a letter."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asgi_arbiter.worker import plaintext


def with_pair(talk: Callable[[socket.socket, socket.socket], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.settimeout(5)
            async with asyncio.timeout(10):
                await talk(ours, theirs)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("first", "is_http"), [(b"GET /", True), (b"PRI", True), (b"\x16\x03", False), (b"\x80", False)]
)
def test_the_byte_is_waited_for_and_left_where_it_is(first: bytes, is_http: bool) -> None:
    async def talk(ours: socket.socket, theirs: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        asking = loop.create_task(plaintext.speaks_http(loop, ours))
        await asyncio.sleep(0)
        assert not asking.done()
        theirs.sendall(first)
        assert await asking is is_http
        assert ours.recv(100) == first

    with_pair(talk)


def test_a_client_that_leaves_at_once_is_an_error() -> None:
    async def talk(ours: socket.socket, theirs: socket.socket) -> None:
        theirs.close()
        with pytest.raises(ConnectionResetError, match="before the handshake"):
            await plaintext.speaks_http(asyncio.get_running_loop(), ours)

    with_pair(talk)


def test_the_answer_arrives_whole_and_then_the_end() -> None:
    async def talk(ours: socket.socket, theirs: socket.socket) -> None:
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answering = asyncio.get_running_loop().create_task(
            plaintext.answer(asyncio.get_running_loop(), ours, b"no" * 5000)
        )
        await asyncio.sleep(0)
        heard = b""
        while piece := theirs.recv(65536):
            heard += piece
            await asyncio.sleep(0)
        theirs.close()
        await answering
        assert heard == b"no" * 5000
        assert ours.fileno() == -1

    with_pair(talk)


def test_a_client_that_does_not_listen_is_left_alone_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plaintext, "_LINGER", 0.01)

    async def talk(ours: socket.socket, theirs: socket.socket) -> None:
        await plaintext.answer(asyncio.get_running_loop(), ours, b"no")
        assert ours.fileno() == -1

    with_pair(talk)


def test_a_client_that_is_gone_is_no_error() -> None:
    async def talk(ours: socket.socket, theirs: socket.socket) -> None:
        theirs.close()
        await plaintext.answer(asyncio.get_running_loop(), ours, b"no")
        assert ours.fileno() == -1

    with_pair(talk)
