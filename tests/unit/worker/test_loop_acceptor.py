"""The native accept, and how it makes place for ours."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.base import ConnectionContext
from asgi_arbiter.worker.acceptor import AcceptorPhase, OwnAcceptor
from asgi_arbiter.worker.connection_setup import ConnectionSetup
from asgi_arbiter.worker.fairness import Fairness
from asgi_arbiter.worker.loop_acceptor import LOOKS, LoopAcceptor, descriptors
from asgi_arbiter.worker.pulse import PulseBoard, PulsePhase


class Counting(asyncio.Protocol):
    def __init__(self, context: ConnectionContext) -> None:
        self.context: Any = context

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.context.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.context.connections.discard(self)


def made(most: int, fairness: Fairness | None = None) -> tuple[LoopAcceptor, OwnAcceptor, Any]:
    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("called")

    context = ConnectionContext(nobody, Config(), asyncio.get_running_loop())
    setup = ConnectionSetup(context, lambda: Counting(context))
    own = OwnAcceptor(setup, fairness=fairness)
    return LoopAcceptor(setup, lambda: Counting(context), own, most, fairness=fairness), own, context


async def connected(context: Any, path: str, count: int, already: int = 0) -> list[asyncio.StreamWriter]:
    writers = [(await asyncio.open_unix_connection(path))[1] for _ in range(count)]
    async with asyncio.timeout(5):
        while len(context.connections) < count + already:
            await asyncio.sleep(0.001)
    return writers


async def end(context: Any, writers: list[asyncio.StreamWriter]) -> None:
    for connection in list(context.connections):
        connection.transport.abort()
    for writer in writers:
        writer.close()
    await asyncio.sleep(0.01)


def test_it_accepts_and_stops_without_touching_the_socket_file(run: Any, bind: Any, socket_dir: Any) -> None:
    async def main() -> None:
        acceptor, own, context = made(most=10)
        listener = bind()
        listener._owner += 1  # as in a worker, which did not bind
        await acceptor.start([listener])
        writers = await connected(context, str(socket_dir / "s"), 2)
        acceptor.refresh(0.0)
        assert own.phase is AcceptorPhase.NEW
        acceptor.stop(empty_queue=False)
        acceptor.stop(empty_queue=False)
        await end(context, writers)
        assert listener.fileno() == -1
        assert (socket_dir / "s").exists()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(str(socket_dir / "s"))

    run(main)


def test_when_many_descriptors_are_taken_our_own_accept_goes_on(run: Any, bind: Any, socket_dir: Any) -> None:
    async def main() -> None:
        acceptor, own, context = made(most=1)
        listener = bind()
        await acceptor.start([listener])
        writers = await connected(context, str(socket_dir / "s"), 2)
        acceptor.refresh(0.0)
        acceptor.refresh(0.0)
        assert own.phase is AcceptorPhase.ACCEPTING
        writers += await connected(context, str(socket_dir / "s"), 1, already=2)
        async with asyncio.timeout(5):
            while acceptor.pending:
                await asyncio.sleep(0)
        acceptor.stop(empty_queue=False)
        acceptor.abort()
        await end(context, writers)

    run(main)


async def settled(acceptor: LoopAcceptor) -> None:
    async with asyncio.timeout(5):
        while acceptor._return is not None:
            await asyncio.sleep(0)


def test_siblings_that_come_are_left_their_share_and_when_they_are_gone_it_comes_back(
    run: Any, bind: Any, socket_dir: Any
) -> None:
    async def main() -> None:
        board = PulseBoard(2)
        acceptor, own, context = made(most=10, fairness=Fairness(board, 0))
        listener = bind()
        await acceptor.start([listener])
        acceptor.refresh(100.0)
        assert own.phase is AcceptorPhase.NEW and acceptor._servers
        board.writer(1).beat(phase=PulsePhase.SERVING, now_ns=101 * 10**9)
        acceptor.refresh(101.0)
        acceptor.refresh(102.0)
        assert own.phase is AcceptorPhase.ACCEPTING and not acceptor._servers
        writers = await connected(context, str(socket_dir / "s"), 1)
        board.clear(1)
        for second in range(LOOKS - 1):
            acceptor.refresh(110.0 + second)
            await settled(acceptor)
            assert own.phase is AcceptorPhase.ACCEPTING and not acceptor._servers
        acceptor.refresh(120.0)
        await settled(acceptor)
        assert own.phase is AcceptorPhase.NEW and acceptor._servers
        writers += await connected(context, str(socket_dir / "s"), 1, already=1)
        acceptor.stop(empty_queue=False)
        await end(context, writers)
        board.close()

    run(main)


def test_a_stop_while_it_comes_back_leaves_nothing_open(run: Any, bind: Any, socket_dir: Any) -> None:
    async def main() -> None:
        board = PulseBoard(2)
        acceptor, _, _ = made(most=10, fairness=Fairness(board, 0))
        listener = bind()
        listener._owner += 1  # as in a worker, which did not bind
        await acceptor.start([listener])
        board.writer(1).beat(phase=PulsePhase.SERVING, now_ns=10**9)
        acceptor.refresh(1.0)
        board.clear(1)
        for second in range(LOOKS):
            acceptor.refresh(10.0 + second)
        assert acceptor._return is not None
        acceptor.stop(empty_queue=False)
        await settled(acceptor)
        assert not acceptor._servers
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(str(socket_dir / "s"))
        board.close()

    run(main)


def test_the_number_of_descriptors_is_the_soft_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert descriptors() == 1024
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert descriptors() > 10**9
