"""Our own accept: batches, patience, limits, exhaustion, and leaving the queue to others."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.base import ConnectionContext
from asgi_arbiter.worker import acceptor as module
from asgi_arbiter.worker import fairness as fairness_module
from asgi_arbiter.worker.acceptor import AcceptorPhase, OwnAcceptor, choose
from asgi_arbiter.worker.connection_setup import ConnectionSetup
from asgi_arbiter.worker.fairness import Fairness
from asgi_arbiter.worker.listener import Listener
from asgi_arbiter.worker.loop_acceptor import LoopAcceptor
from asgi_arbiter.worker.pulse import PulseBoard, PulsePhase


class Counting(asyncio.Protocol):
    """Stays open and is counted."""

    def __init__(self, context: ConnectionContext) -> None:
        self.context: Any = context

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.context.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.context.connections.discard(self)


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("called")


def setup(**settings: Any) -> ConnectionSetup:
    context = ConnectionContext(nobody, Config(**settings), asyncio.get_running_loop())
    return ConnectionSetup(context, lambda: Counting(context))


class Clients:
    """Connections to a listener."""

    def __init__(self, listener: Listener) -> None:
        self.path = listener.socket.getsockname()
        self.sockets: list[socket.socket] = []

    def connect(self, count: int = 1) -> None:
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            client.connect(self.path)
            client.setblocking(False)
            self.sockets.append(client)

    def close(self) -> None:
        for client in self.sockets:
            client.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def end(acceptor: Any, made: ConnectionSetup, clients: Clients) -> None:
    acceptor.stop(empty_queue=False)
    await until(lambda: not acceptor.pending)
    for connection in list(made.context.connections):
        connection.transport.abort()  # type: ignore[attr-defined]
    clients.close()
    await turns()


def test_everything_that_waits_is_accepted_in_the_end(run: Any, bind: Any) -> None:
    async def main() -> None:
        made, listener = setup(), bind()
        acceptor, clients = OwnAcceptor(made), Clients(listener)
        await acceptor.start([listener])
        clients.connect(50)
        await until(lambda: len(made.context.connections) == 50 and not acceptor.pending)
        assert made.accepted == 50
        await end(acceptor, made, clients)

    run(main)


def test_at_worker_connections_it_pauses_and_goes_on_when_one_leaves(run: Any, bind: Any) -> None:
    async def main() -> None:
        made, listener = setup(), bind()
        acceptor, clients = OwnAcceptor(made, most=3), Clients(listener)
        await acceptor.start([listener])
        clients.connect(5)
        await until(lambda: acceptor.phase is AcceptorPhase.FULL)
        await until(lambda: not acceptor.pending)
        assert len(made.context.connections) == 3
        for connection in list(made.context.connections)[:2]:
            connection.transport.abort()  # type: ignore[attr-defined]
        await until(lambda: made.accepted == 5)
        await end(acceptor, made, clients)

    run(main)


def rivalry(made: ConnectionSetup, sibling: int, *, tell: Any = None) -> tuple[OwnAcceptor, PulseBoard]:
    """An acceptor in slot 0 whose sibling in slot 1 holds ``sibling`` connections."""
    board = PulseBoard(2)
    board.writer(1).beat(phase=PulsePhase.SERVING, connections=sibling)
    acceptor = OwnAcceptor(made, fairness=Fairness(board, 0), tell=tell or board.writer(0).count)
    acceptor.refresh(board.read(1).beat_ns / 1e9)  # type: ignore[union-attr]
    return acceptor, board


def test_ahead_of_a_sibling_it_lets_the_sibling_go_first_and_then_takes_one(
    run: Any, bind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fairness_module, "PATIENCE", 0.05)

    async def main() -> None:
        made, listener = setup(), bind()
        (acceptor, board), clients = rivalry(made, 0), Clients(listener)
        await acceptor.start([listener])
        clients.connect(3)
        await until(lambda: acceptor.phase is AcceptorPhase.YIELDING)
        assert made.accepted == 2  # an empty sibling is not waited for before the second connection
        await until(lambda: made.accepted == 3)
        assert board.connections(0) == 3
        await end(acceptor, made, clients)
        board.close()

    run(main)


def test_behind_its_siblings_it_does_not_wait(run: Any, bind: Any) -> None:
    async def main() -> None:
        made, listener = setup(), bind()
        (acceptor, board), clients = rivalry(made, 100), Clients(listener)
        await acceptor.start([listener])
        clients.connect(20)
        phases = set()
        while made.accepted < 20:
            phases.add(acceptor.phase)
            await asyncio.sleep(0)
        assert phases == {AcceptorPhase.ACCEPTING}
        await end(acceptor, made, clients)
        board.close()

    run(main)


def test_among_siblings_one_wake_takes_a_few_only(run: Any, bind: Any) -> None:
    async def main() -> None:
        made, listener = setup(), bind()
        told: list[int] = []
        (acceptor, board), clients = rivalry(made, 100, tell=told.append), Clients(listener)
        clients.connect(10)
        await acceptor.start([listener])
        await until(lambda: made.accepted == 10)
        assert told[:2] == [4, 8]
        await end(acceptor, made, clients)
        board.close()

    run(main)


def test_out_of_descriptors_it_rests_with_one_line_and_recovers(
    run: Any, bind: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_REST", 0.01)
    caplog.set_level(logging.ERROR, "asgi_arbiter.worker")

    async def main() -> None:
        made, listener = setup(), bind()
        take, failures = made.take, 5
        attempts = 0

        def exhausted(sock: socket.socket) -> bool:
            nonlocal attempts
            attempts += 1
            if attempts <= failures:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return take(sock)

        made.take = exhausted  # type: ignore[method-assign]
        acceptor, clients = OwnAcceptor(made), Clients(listener)
        clients.connect(2)
        began = asyncio.get_running_loop().time()
        await acceptor.start([listener])
        await until(lambda: acceptor.phase is AcceptorPhase.RESTING)
        await until(lambda: made.accepted == 2)
        assert asyncio.get_running_loop().time() - began >= 0.04
        await end(acceptor, made, clients)

    run(main)
    assert caplog.messages == [
        "cannot accept connections: Too many open files; trying again every 0.01 s (0 connections are open)"
    ]


@pytest.mark.parametrize("empty_queue", [False, True])
def test_stopping_leaves_the_queue_to_the_siblings_or_empties_it(run: Any, bind: Any, empty_queue: bool) -> None:
    async def main() -> None:
        made, listener = setup(), bind()
        sibling = listener.socket.dup()
        acceptor, clients = OwnAcceptor(made), Clients(listener)
        await acceptor.start([listener])
        clients.connect(3)
        acceptor.stop(empty_queue=empty_queue)
        acceptor.stop(empty_queue=empty_queue)
        assert acceptor.pending == (3 if empty_queue else 0)
        assert listener.fileno() == -1
        await turns()
        if empty_queue:
            await until(lambda: len(made.context.connections) == 3)
            with pytest.raises(BlockingIOError):
                sibling.accept()
        else:
            for _ in range(3):
                sibling.accept()[0].close()
        sibling.close()
        await end(acceptor, made, clients)

    run(main)


def test_a_stop_while_it_waits_is_final(run: Any, bind: Any) -> None:
    async def main() -> None:
        made, listener = setup(), bind()
        acceptor, clients = OwnAcceptor(made, most=1), Clients(listener)
        await acceptor.start([listener])
        clients.connect(2)
        await until(lambda: acceptor.phase is AcceptorPhase.FULL)
        acceptor.stop(empty_queue=False)
        for connection in list(made.context.connections):
            connection.transport.abort()  # type: ignore[attr-defined]
        await asyncio.sleep(0.02)
        assert acceptor.phase is AcceptorPhase.STOPPED
        assert made.accepted == 1
        await end(acceptor, made, clients)

    run(main)


def chosen(
    monkeypatch: pytest.MonkeyPatch,
    *,
    descriptors: int = 2**20,
    rivals: Any = None,
    expected: bool = True,
    **settings: Any,
) -> str:
    monkeypatch.setattr(module, "descriptors", lambda: descriptors)
    made = setup(**settings)
    return type(choose(made, lambda: Counting(made.context), rivals, expected=expected)).__name__


def test_the_native_accept_is_used_where_nothing_more_is_needed(run: Any, loop_name: str, monkeypatch: Any) -> None:
    async def main() -> None:
        native = LoopAcceptor.__name__ if loop_name == "uvloop" else OwnAcceptor.__name__
        assert chosen(monkeypatch) == native
        assert chosen(monkeypatch, worker_connections=10) == OwnAcceptor.__name__
        assert chosen(monkeypatch, descriptors=1024) == OwnAcceptor.__name__
        board = PulseBoard(2)
        assert chosen(monkeypatch, rivals=(board, 1)) == OwnAcceptor.__name__
        assert chosen(monkeypatch, rivals=(board, 1), expected=False) == native
        board.close()

    run(main)
