"""The PROXY preface, read from real sockets exactly, and no byte further."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from asgi_arbiter.config import Config
from asgi_arbiter.protocols.proxy_preface import Preface
from asgi_arbiter.worker.introduction import Introduced, Introductions

LINE = b"PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n"


async def hear(*pieces: bytes, allow: str = "unix:", limit: float = 5.0) -> tuple[Any, bytes]:
    """What is made of a connection that brings these pieces, and what is left in it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    made: list[Any] = []

    async def connect(factory: Any, connection: socket.socket) -> None:
        made.append(factory)

    config = Config(proxy_protocol="auto", proxy_allow_ips=(allow,), handshake_timeout=limit)
    introductions = Introductions(config, asyncio.get_running_loop())
    task = asyncio.ensure_future(introductions.connect(connect, Plain, ours))
    with theirs:
        for piece in pieces:
            theirs.sendall(piece)
            await asyncio.sleep(0.005)
        theirs.shutdown(socket.SHUT_WR)
        await task
        rest = ours.recv(1000) if ours.fileno() >= 0 else b""
        ours.close()
    return (made[0] if made else None), rest


class Plain(asyncio.Protocol):
    told: Any = None

    def introduce(self, client: Any, server: Any) -> None:
        self.told = client, server


def test_the_preface_is_taken_and_nothing_else() -> None:
    for pieces in ([LINE + b"rest"], [LINE[:9], LINE[9:] + b"rest"], [LINE[:-1], LINE[-1:], b"rest"]):
        factory, rest = asyncio.run(hear(*pieces))
        assert rest[:4] == b"rest"
        assert isinstance(factory(), Introduced)


def test_a_proxy_that_speaks_for_itself_is_a_client() -> None:
    factory, rest = asyncio.run(hear(b"PROXY UNKNOWN\r\nrest"))
    assert (factory, rest) == (Plain, b"rest")


def test_a_peer_that_is_not_believed_is_a_client_and_nothing_is_read() -> None:
    factory, rest = asyncio.run(hear(LINE, allow="10.0.0.1"))
    assert (factory, rest) == (Plain, LINE)


def test_anything_else_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(hear(b"GET / HTTP/1.1\r\n")) == (None, b"")
    assert "does not begin with a PROXY preface" in caplog.text


def test_a_peer_that_leaves_is_an_oserror() -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(hear(LINE[:5]))


def test_a_peer_that_says_nothing_is_closed_in_time(caplog: pytest.LogCaptureFixture) -> None:
    async def silent() -> bool:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        config = Config(proxy_protocol="v1", proxy_allow_ips=("*",), handshake_timeout=0.01)
        with theirs:
            await Introductions(config, asyncio.get_running_loop()).connect(never, Plain, ours)
        return ours.fileno() == -1

    async def never(factory: Any, connection: socket.socket) -> None:
        raise AssertionError

    assert asyncio.run(silent())
    assert "did not come in time" in caplog.text


def test_the_protocol_is_told_once_it_has_its_transport() -> None:
    protocols: list[Any] = []

    class Transport(asyncio.Transport):
        def set_protocol(self, protocol: Any) -> None:
            protocols.append(protocol)

    Introduced(Plain, Preface(10, True, ("1.2.3.4", 5), None)).connection_made(Transport())
    assert protocols[0].told == (("1.2.3.4", 5), None)
