"""From accept to connection: what is pending is counted, and one bad connection is nobody's problem."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.base import ConnectionContext
from asgi_arbiter.worker.connection_setup import ConnectionSetup


class Made(asyncio.Protocol):
    transports: list[Any]

    def connection_made(self, transport: Any) -> None:
        self.transports.append(transport)


def setup(**more: Any) -> tuple[ConnectionSetup, list[Any]]:
    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("called")

    transports: list[Any] = []

    def factory() -> Made:
        protocol = Made()
        protocol.transports = transports
        return protocol

    context = ConnectionContext(nobody, Config(handshake_timeout=5.0), asyncio.get_running_loop())
    return ConnectionSetup(context, factory, **more), transports


class Refusing:
    """A socket whose accept fails."""

    def __init__(self, code: int) -> None:
        self.code = code

    def accept(self) -> Any:
        raise OSError(self.code, "no")


def test_a_connection_is_pending_until_its_protocol_has_it(run: Any, bind: Any) -> None:
    async def main() -> None:
        made, transports = setup()
        listener = bind()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(listener.socket.getsockname())
            assert made.take(listener.socket)
            assert (made.accepted, made.pending) == (1, 1)
            assert not made.take(listener.socket)
            async with asyncio.timeout(5):
                while made.pending:
                    await asyncio.sleep(0)
            assert len(transports) == 1
            transports[0].abort()
        listener.close()
        await asyncio.sleep(0.01)

    run(main)


def test_out_of_descriptors_is_raised_and_a_vanished_client_is_not() -> None:
    async def main() -> None:
        made, _ = setup()
        for code in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            with pytest.raises(OSError, match="no"):
                made.take(Refusing(code))  # type: ignore[arg-type]
        assert made.take(Refusing(errno.ECONNABORTED))  # type: ignore[arg-type]
        assert not made.take(Refusing(errno.EBADF))  # type: ignore[arg-type]
        assert (made.accepted, made.pending) == (0, 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "line", "answered"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a client speaks plain HTTP where TLS is spoken", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"\x16\x03\x01\x00\x05hello", "a TLS handshake failed", b"\x15"),
        (b"\x00" * 100, "a TLS handshake failed", b""),
    ],
)
def test_a_client_that_does_not_speak_tls_is_a_line_at_debug(
    run: Any, bind: Any, caplog: pytest.LogCaptureFixture, said: bytes, line: str, answered: bytes
) -> None:
    caplog.set_level(logging.DEBUG, "asgi_arbiter.worker")

    async def main() -> None:
        made, transports = setup(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        assert made.needs_time
        listener = bind()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(listener.socket.getsockname())
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            made.take(listener.socket)
            async with asyncio.timeout(5):
                while made.pending:
                    await asyncio.sleep(0.001)
            client.settimeout(5)
            try:
                answer = client.recv(1000)
            except ConnectionResetError:
                answer = b""
        assert transports == []
        assert answer.startswith(answered)
        assert b"https" in answer or b"HTTP" not in answered
        listener.close()
        await asyncio.sleep(0.01)

    run(main)
    told = [record for record in caplog.records if record.name == "asgi_arbiter.worker"]
    assert {record.levelno for record in told} == {logging.DEBUG}
    assert told[0].getMessage().startswith(line)


def test_giving_up_ends_what_is_pending(run: Any, bind: Any) -> None:
    async def main() -> None:
        made, _ = setup(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        listener = bind()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(listener.socket.getsockname())
            made.take(listener.socket)
            await asyncio.sleep(0.01)
            assert made.pending == 1
            made.abort()
            async with asyncio.timeout(5):
                while made.pending:
                    await asyncio.sleep(0.001)
        listener.close()
        await asyncio.sleep(0.01)

    run(main)


def test_the_loops_deadline_for_the_end_of_tls_is_out_of_the_way_and_the_handshakes_is_one(
    bind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 seconds from ``close`` would cut off whatever a slow client is still taking; see ``age`` of a connection."""
    given: dict[str, Any] = {}

    async def main() -> None:
        async def connect(factory: Any, connection: socket.socket, **options: Any) -> None:
            given.update(options)
            connection.close()

        monkeypatch.setattr(asyncio.get_running_loop(), "connect_accepted_socket", connect)
        first, second = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made, _ = setup(tls=first)
        made.use_tls(second)
        listener = bind()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(listener.socket.getsockname())
            made.take(listener.socket)
            await asyncio.sleep(0.05)
            client.sendall(b"\x16")
            async with asyncio.timeout(5):
                while made.pending:
                    await asyncio.sleep(0.001)
        listener.close()
        assert given["ssl"] is second

    asyncio.run(main())
    assert given["ssl_shutdown_timeout"] > 3600
    assert 0 < given["ssl_handshake_timeout"] < 5.0
