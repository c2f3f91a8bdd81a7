"""Signals to a serving fleet: how it stops, and what its requests notice of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .server_process import ServerProcess, eventually, refuses
from .wire import Wire

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
ENGINES = [("httptools", "uvloop"), ("h11", "asyncio")]
JSON = ("--log-format", "json", "--bind", "127.0.0.1:0")
LATER_THAN_AN_ECHO = 0.3
"""The arbiter takes a stop signal within 0.1 s of another for the same one; a person is slower than that."""


class Pending:
    """A request that is under way in a worker and ends when the test says so."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self.gate = folder / "gate"
        begun = folder / "begun"
        self.wire = server.wire()
        self.wire.send(f"GET /slow?begun={begun}&gate={self.gate} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        self.worker = int(eventually(lambda: begun.exists() and begun.read_text(), "the request has begun"))

    def finish(self) -> None:
        """Open the gate; the answer must be whole, and from the worker that began it."""
        self.gate.touch()
        response = self.wire.response()
        assert (response.status, response.body) == (200, b"%d" % self.worker)
        self.wire.close()  # for which the worker would wait a while


@pytest.fixture
def pending(tmp_path: Path) -> Iterator[Callable[[ServerProcess], Pending]]:
    opened: list[Pending] = []

    def start(server: ServerProcess) -> Pending:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        opened.append(Pending(server, folder))
        return opened[-1]

    yield start
    for each in opened:
        each.gate.touch()
        each.wire.close()


@contextmanager
def stuck(server: ServerProcess, folder: Path) -> Iterator[Wire]:
    """A request that never ends."""
    begun = folder / "stuck"
    with server.wire() as wire:
        wire.send(f"GET /stuck?begun={begun} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        eventually(begun.exists, "the request has begun")
        yield wire


@pytest.mark.parametrize(("http", "loop"), ENGINES)
def test_term_lets_the_request_under_way_finish_and_accepts_no_more(
    serve: Serve, pending: Callable[[ServerProcess], Pending], http: str, loop: str
) -> None:
    server = serve("plain:app", "-w", "2", "--http", http, "--loop", loop, *JSON)
    request, port = pending(server), server.port
    server.signal(signal.SIGTERM)
    server.wait_event("shutdown_begun")
    eventually(lambda: refuses(port), "new connections are refused")
    assert request.worker in server.left()
    request.finish()
    assert server.wait_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda each: each.name)
def test_an_idle_server_ends_with_success(serve: Serve, number: signal.Signals) -> None:
    server = serve("plain:app", "-w", "2", *JSON)
    server.signal(number)
    assert server.wait_exit() == 0
    assert len(server.events("shutdown_finished")) == 1


def test_idle_keep_alive_connections_are_not_waited_for(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", "--keep-alive", "600", "--graceful-timeout", "600", *JSON)
    with server.wire() as wire:
        assert wire.get().status == 200
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert wire.closed()


def test_term_to_the_whole_process_group_counts_once(serve: Serve, pending: Callable[[ServerProcess], Pending]) -> None:
    server = serve("plain:app", "-w", "2", *JSON)
    request = pending(server)
    server.signal_group(signal.SIGTERM)
    server.wait_event("shutdown_begun")
    request.finish()
    assert server.wait_exit() == 0
    assert len(server.events("shutdown_begun")) == 1


def test_ctrl_c_reaches_every_process_and_lets_the_request_under_way_finish(
    serve: Serve, pending: Callable[[ServerProcess], Pending]
) -> None:
    server = serve("plain:app", "-w", "2", "--quick-timeout", "60", *JSON)
    request = pending(server)
    server.signal_group(signal.SIGINT)
    server.wait_event("shutdown_begun")
    request.finish()
    assert server.wait_exit() == 0
    assert "KeyboardInterrupt" not in server.log


def test_a_second_interrupt_does_not_wait(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain:app", "--quick-timeout", "600", "--graceful-timeout", "600", *JSON)
    with stuck(server, tmp_path):
        server.signal(signal.SIGINT)
        server.wait_event("shutdown_begun")
        time.sleep(LATER_THAN_AN_ECHO)
        assert server.process.poll() is None
        server.signal(signal.SIGINT)
        server.wait_exit()


def test_a_request_that_never_ends_is_cut_after_the_graceful_timeout(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain:app", "--graceful-timeout", "0.5", *JSON)
    with stuck(server, tmp_path) as wire:
        server.signal(signal.SIGTERM)
        server.wait_exit()
        assert not wire.rest().startswith(b"HTTP/1.1 200")


def test_interrupt_is_quicker_than_term(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain:app", "--graceful-timeout", "600", "--quick-timeout", "0.5", *JSON)
    with stuck(server, tmp_path):
        server.signal(signal.SIGINT)
        server.wait_exit()


def test_a_killed_arbiter_leaves_no_orphans_and_its_port_is_free_at_once(
    serve: Serve, pending: Callable[[ServerProcess], Pending]
) -> None:
    server = serve("plain:app", "-w", "4", "--bind", "127.0.0.1:0", "--graceful-timeout", "60")
    request, port = pending(server), server.port
    server.signal(signal.SIGKILL)
    assert server.wait_exit() == -signal.SIGKILL
    eventually(lambda: server.left() == [request.worker], "only the worker with a request is left")
    eventually(lambda: refuses(port), "the port is free")
    successor = serve("plain:app", "-w", "2", "--bind", f"127.0.0.1:{port}")
    assert successor.get().status_code == 200  # while the old worker still has its request
    request.finish()
    eventually(lambda: not server.left(), "nobody is left")


def test_hup_to_the_whole_process_group_kills_nobody_with_a_request(
    serve: Serve, pending: Callable[[ServerProcess], Pending]
) -> None:
    server = serve("plain:app", "-w", "2", "--settle-time", "0", *JSON)
    request = pending(server)
    server.signal_group(signal.SIGHUP)
    server.wait_event("reload_promoted")
    request.finish()


def test_ttin_and_ttou_change_the_number_of_workers(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", *JSON)
    server.signal(signal.SIGTTIN)
    server.wait_workers(3)
    server.signal(signal.SIGTTOU)
    server.wait_workers(2)
    server.signal(signal.SIGTTOU)
    server.wait_workers(1)
    server.signal(signal.SIGTTOU)
    server.wait_event("workers_unchanged")
    assert server.get().status_code == 200


def test_signals_while_booting_are_not_lost(serve: Serve, project: Callable[..., Path], tmp_path: Path) -> None:
    folder = project(main="import pathlib, time\npathlib.Path('booting').touch()\ntime.sleep(600)\n")
    server = serve("main:app", "-w", "2", *JSON, "--quick-timeout", "0.5", cwd=folder, wait=False)
    eventually((tmp_path / "booting").exists, "a worker boots")
    server.signal(signal.SIGINT)
    server.wait_exit()
    eventually(lambda: not server.left(), "nobody is left")


def test_signals_that_a_worker_gets_by_mistake_do_not_end_it(serve: Serve) -> None:
    server = serve("plain:app", "-w", "1", *JSON)
    (worker,) = server.workers()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        os.kill(worker, number)
    with server.client() as client:
        assert client.get("/").text == str(worker)
    assert server.workers() == [worker]
