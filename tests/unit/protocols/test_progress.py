"""A mark that moves when the client takes something."""

from __future__ import annotations

import asyncio
import socket
import sys
import time

import pytest

from asgi_arbiter.protocols.progress import progress, reset, taking, undelivered
from tests.http_support import MemoryTransport


def test_it_moves_with_what_the_transport_holds() -> None:
    loop = asyncio.new_event_loop()
    try:
        transport = MemoryTransport(loop, {})
        transport.unflushed = 10
        before = progress(transport)
        transport.unflushed = 9
        assert progress(transport) != before
    finally:
        loop.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_it_moves_with_what_the_clients_kernel_has_taken() -> None:
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ours, _ = server.accept()
        with ours:
            transport = MemoryTransport(loop, {"socket": ours})
            before = progress(transport)
            ours.sendall(b"x" * 100)
            assert client.recv(100)
            after = progress(transport)
            assert after != before
            assert progress(transport) == after
        assert progress(transport) == (0, 0)  # closed
    loop.close()


def test_without_tls_the_transport_knows_all_that_is_undelivered() -> None:
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"x")
        transport = MemoryTransport(loop, {"socket": ours})
        assert undelivered(transport) == 0
        transport.unflushed = 10
        assert undelivered(transport) == 10
    loop.close()


def test_below_tls_the_kernel_is_asked() -> None:
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ours, _ = server.accept()
        with ours:
            ours.setblocking(False)
            sent = 0
            while True:
                try:
                    sent += ours.send(b"x" * 65536)
                except BlockingIOError:
                    break
            transport = MemoryTransport(loop, {"socket": ours, "sslcontext": object()})
            assert 0 < undelivered(transport) <= sent
            client.settimeout(10)
            while sent:
                sent -= len(client.recv(1 << 20))
            deadline = time.monotonic() + 10
            while undelivered(transport):  # the acknowledgement of the last piece is under way
                assert time.monotonic() < deadline
        assert undelivered(transport) == 0  # closed
    assert undelivered(MemoryTransport(loop, {"sslcontext": object()})) == 0
    loop.close()


def test_a_client_takes_when_less_is_held_and_not_when_more_is() -> None:
    loop = asyncio.new_event_loop()
    try:
        transport = MemoryTransport(loop, {})
        transport.unflushed = 10
        known = taking(None, transport, 1)
        transport.unflushed = 20
        known = taking(known, transport, 2)
        assert known[0] == 1
        transport.unflushed = 19
        known = taking(known, transport, 3)
        assert known[0] == 3
        assert taking(known, transport, 9)[0] == 3
    finally:
        loop.close()


def test_a_reset_is_told_to_the_client_and_throws_away_what_it_has_not_got() -> None:
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ours, _ = server.accept()
        transport = MemoryTransport(loop, {"socket": ours})
        reset(transport)
        assert transport.aborted
        ours.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    loop.close()
