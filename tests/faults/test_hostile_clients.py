"""Clients that want to exhaust the server: each is kept within a ceiling of memory and of time, and nobody else notices.

The ceilings are how much the worker's resident memory may rise above what it was before, at its peak (``VmHWM``, which
Linux lets us reset). What was measured is printed (``-s``) and stands in ``protocols/README.md``.
"""

from __future__ import annotations

import contextlib
import fcntl
import resource
import select
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.server_process import PATIENCE, ServerProcess, eventually
from tests.integration.wire import Wire

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is Linux's to tell"),
]

ENGINES = [("httptools", "uvloop"), ("h11", "asyncio")]
MIB = 1 << 20
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    http, loop = request.param
    engine = ("--bind", "127.0.0.1:0", "--http", http, "--loop", loop, "--no-access-log")
    deadlines = ("--header-timeout", "2", "--body-timeout", "2", "--write-timeout", "2")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard <= 4096 else 4096, hard))  # for a thousand connections
    try:
        with ServerProcess("hostile:app", *engine, *deadlines, "--ws-max-size", "1M", "--drain-linger", "0") as server:
            yield server
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Memory:
    """The worker's memory from here on."""

    def __init__(self, server: ServerProcess) -> None:
        (self.pid,) = server.workers()
        with server.wire() as wire:
            for _ in range(3):
                assert wire.get("/").status == 200
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        self.before = psutil.Process(self.pid).memory_info().rss

    @property
    def growth(self) -> int:
        """Bytes, at the peak so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 - self.before
        raise AssertionError("no VmHWM")


@pytest.fixture
def within(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Callable[[float], None]]:
    """Asserts a ceiling in MiB; afterwards, that an ordinary client is served."""
    memory = Memory(server)

    def check(ceiling: float) -> None:
        growth = memory.growth / MIB
        print(f"\n{request.node.name}: {growth:.1f} MiB of {ceiling:g}")
        assert growth < ceiling

    yield check
    with server.wire() as wire:
        assert wire.get("/").body == b"ok"
    assert server.workers() == [memory.pid]


def push(wire: Wire, data: Callable[[int], bytes], most: int) -> int:
    """Send up to ``most`` bytes as long as they are taken, for half a second at a time; how many were."""
    wire.socket.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < most:
            piece = data(sent)
            wire.socket.sendall(piece)
            sent += len(piece)
    wire.socket.settimeout(PATIENCE)
    return sent


def refused(wire: Wire) -> int:
    """The status of the answer that is there, or 0 if the connection was reset before it could be read."""
    try:
        return wire.head().status
    except AssertionError:
        return 0


def cut(wire: Wire) -> bool:
    """Wait until the server has reset the connection, without reading what it sent."""

    def is_gone() -> bool:
        return bool(wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    return eventually(is_gone, "the connection is cut")


def wait_full(wire: Wire) -> None:
    """Wait until answers have come that nobody reads, and no more are coming."""
    looks: list[int] = []

    def is_still() -> bool:
        looks.append(int.from_bytes(fcntl.ioctl(wire.socket.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder))
        return looks[-1] > 0 and looks[-5:] == looks[-1:] * 5

    eventually(is_still, "the receive buffer is full")


def drip(wire: Wire, drop: bytes) -> None:
    """Send a little, again and again, until there is an answer."""
    while not select.select([wire.socket], [], [], 0.2)[0]:
        wire.send(drop)


def test_the_measure_sees_what_it_is_for(server: ServerProcess) -> None:
    memory = Memory(server)
    with server.wire() as wire:
        assert wire.get("/hoard").status == 200
    assert 30 < memory.growth / MIB < 60


# Clients that do not read


def test_answers_that_are_not_read_stay_small_and_are_cut_in_time(
    server: ServerProcess, within: Callable[[float], None], tmp_path: Path
) -> None:
    path = tmp_path / "big"
    with path.open("wb") as big:
        big.truncate(200 * MIB)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(server.wire()) for _ in range(6)]
        for number, wire in enumerate(wires):
            target = "/flood" if number % 2 else f"/file?{path}"
            wire.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert all(cut(wire) for wire in wires)
        assert time.monotonic() - began > 2
    within(8)
    server.wait_log("a client takes too little of its response", count=6)


def test_a_client_that_takes_its_answer_drop_by_drop_is_cut(
    server: ServerProcess, within: Callable[[float], None]
) -> None:
    with socket.socket() as sock:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.addresses()[0])
        sock.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        assert eventually(lambda: sock.recv(10) and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "it is cut")
    within(4)


def test_a_client_that_reads_slowly_gets_everything_that_it_waits_for(
    server: ServerProcess, within: Callable[[float], None]
) -> None:
    with server.wire() as wire:
        wire.send(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        wire.head()
        began, got = time.monotonic(), 0
        while time.monotonic() - began < 4:  # longer than write_timeout and a tick
            got += len(wire.socket.recv(MIB))
            time.sleep(0.05)  # a pace
    assert got > MIB
    within(4)


def test_ten_thousand_pipelined_requests_wait_in_the_network(
    server: ServerProcess, within: Callable[[float], None]
) -> None:
    one = b"GET /thousand HTTP/1.1\r\nHost: a\r\n\r\n"
    with server.wire() as wire:
        sender = threading.Thread(target=wire.send, args=(one * 10_000,))
        sender.start()
        wait_full(wire)
        assert all(wire.response().body == b"x" * 1000 for _ in range(10_000))
        sender.join()
    within(8)


# Bodies


@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
def test_a_body_that_nobody_receives_is_not_read(
    server: ServerProcess, within: Callable[[float], None], coded: bool
) -> None:
    framing = b"Transfer-Encoding: chunked" if coded else b"Content-Length: 200000000"
    piece = b"1\r\nx\r\n" * 10_000 if coded else bytes(65536)
    with server.wire() as wire:
        wire.send(b"POST /ignore HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        assert push(wire, lambda _: piece, 200_000_000) < 100_000_000
    within(8)


def test_a_body_that_pauses_is_a_408(server: ServerProcess) -> None:
    with server.wire() as wire:
        wire.send(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        assert wire.response().status == 408
        assert wire.closed()


@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
def test_a_body_that_drips_is_a_408_too(server: ServerProcess, coded: bool) -> None:
    framing, drop = (b"Transfer-Encoding: chunked", b"1\r\nx\r\n") if coded else (b"Content-Length: 99999", b"x")
    with server.wire() as wire:
        wire.send(b"POST /read HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        drip(wire, drop)
        assert wire.response().status == 408


def test_a_body_that_nobody_wants_does_not_hold_the_connection_by_dripping(server: ServerProcess) -> None:
    with server.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n")
        assert wire.response().body == b"ok"
        drip(wire, b"x")
        assert wire.closed()


FLOODS = {
    "chunk extensions": (400, lambda sent: b"1;" + b"a" * 4000 + b"\r\nx\r\n"),
    "one chunk extension": (400, lambda sent: b"1;" + b"a" * 60_000 if not sent else b"a" * 60_000),
    "trailers": (431, lambda sent: b"0\r\n" + b"x: y\r\n" * 9000 if not sent else b"x: y\r\n" * 9000),
    "one trailer": (431, lambda sent: b"0\r\nx: " if not sent else b"y" * 60_000),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_what_surrounds_a_chunked_body_is_bounded(
    server: ServerProcess, within: Callable[[float], None], flood: str
) -> None:
    status, data = FLOODS[flood]
    with server.wire() as wire:
        wire.send(b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert push(wire, data, 64 * MIB) < 32 * MIB
        assert refused(wire) in (status, 0)
    within(6)


# Heads


HEADS = {
    "fields": (431, lambda sent: HEAD if not sent else b"x: y\r\n" * 10_000),
    "one field": (431, lambda sent: HEAD + b"x: " if not sent else b"y" * 60_000),
    "one name": (431, lambda sent: HEAD if not sent else b"x" * 60_000),
    "the request line": (414, lambda sent: b"GET /" if not sent else b"a" * 60_000),
    "empty lines": (0, lambda sent: b"\r\n" * 30_000),
}


@pytest.mark.parametrize("flood", HEADS)
def test_a_head_without_end_is_refused(server: ServerProcess, within: Callable[[float], None], flood: str) -> None:
    status, data = HEADS[flood]
    with server.wire() as wire:
        sent = push(wire, data, 64 * MIB if status else MIB)
        if status:
            assert sent < 48 * MIB
            assert refused(wire) in (status, 0)
    within(6)


def test_a_thousand_half_heads_are_forgotten_in_time(server: ServerProcess, within: Callable[[float], None]) -> None:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(wire) for wire in server.wires(1000)]
        for number, wire in enumerate(wires):
            wire.send((HEAD + b"x: " + b"y" * 8000)[: number * 8])
        with server.wire() as good:
            assert good.get("/").body == b"ok"
        for wire in wires[10:]:
            with contextlib.suppress(ConnectionError):  # dripping does not move the deadline
                wire.socket.sendall(b"z")
        for wire in wires:
            assert wire.rest()[:12] in (b"HTTP/1.1 408", b"")
        assert time.monotonic() - began > 2
    within(24)


# WebSockets

HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(first: int, payload: bytes) -> bytes:
    """A client's frame; the mask is zero."""
    size = bytes([128 | len(payload)]) if len(payload) < 126 else b"\xff" + len(payload).to_bytes(8)
    return bytes([first]) + size + bytes(4) + payload


SOCKETS = {
    "small messages": (b"/ignore", frame(0x82, b"x") * 10_000),
    "large messages": (b"/ignore", frame(0x82, bytes(500_000))),
    "empty messages": (b"/ignore", frame(0x82, b"") * 10_000),
    "pings that are answered and not read": (b"/", frame(0x89, bytes(125)) * 1000),
}


@pytest.mark.parametrize("flood", SOCKETS)
def test_a_websocket_cannot_be_flooded(server: ServerProcess, within: Callable[[float], None], flood: str) -> None:
    path, data = SOCKETS[flood]
    with server.wire() as wire:
        assert wire.send(HANDSHAKE % path).head().status == 101
        taken = push(wire, lambda _: data, 20 * MIB if path == b"/" else 200 * MIB)
        assert taken < 100 * MIB or path == b"/"
    within(12)


def test_a_websocket_message_without_end_is_a_1009(server: ServerProcess, within: Callable[[float], None]) -> None:
    with server.wire() as wire:
        assert wire.send(HANDSHAKE % b"/").head().status == 101
        push(wire, lambda sent: frame(0x00 if sent else 0x02, bytes(70_000)), 64 * MIB)
        assert wire._exactly(4)[2:] == (1009).to_bytes(2)
    within(12)
