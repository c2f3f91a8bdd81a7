"""A mark that moves when the client takes something."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from asgi_arbiter.protocols.progress import progress
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
