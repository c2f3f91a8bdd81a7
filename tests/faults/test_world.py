"""An unkind world: no descriptors left, logs that cannot be written, directories that cannot be written to."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.server_process import COMMAND, ServerProcess
from tests.integration.wire import Wire
from tests.load import Load

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
APPS = Path(__file__).parent / "apps"
JSON = ("--log-format", "json", "--bind", "127.0.0.1:0")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_descriptors_accepting_pauses_and_recovers(serve: Serve, loop: str, workers: str) -> None:
    command = ("sh", "-c", 'ulimit -n 48; exec "$@"', "sh", *COMMAND)
    server = serve("troubled:app", "-w", workers, "--loop", loop, *JSON, cwd=APPS, command=command)
    wires = server.wires(50 * int(workers))
    server.wait_event("accept_paused")
    for wire in wires[:-1]:
        wire.close()
    assert wires[-1].get().status == 200  # it was waiting in the queue and nobody dropped it
    wires[-1].close()
    assert server.get().status_code == 200
    assert len(server.events("accept_paused")) <= 2 * int(workers) + 1  # told once, not at each attempt


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_for_logs_harms_nobody(serve: Serve) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        server = serve("troubled:app", "-w", "2", "--bind", "127.0.0.1:0", cwd=APPS, stdout=full, stderr=full)
    with Load(server.port), server.wire() as wire:
        for _ in range(500):
            assert wire.get().status == 200
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_access_log_on_a_full_disk_harms_nobody(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "2", "--access-logfile", "/dev/full", *JSON, cwd=APPS)
    with server.wire() as wire:
        for _ in range(200):
            assert wire.get().status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="where nobody may write, not even root: /proc")
def test_a_directory_that_cannot_be_written_to_is_no_cause_for_complaint(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "2", "--app-dir", str(APPS), *JSON, cwd=Path("/proc"))
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    assert server.get().status_code == 200
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not [line for line in server.log.splitlines() if '"level":"info"' not in line]


def test_a_client_that_vanishes_with_a_reset_harms_nobody(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", *JSON, cwd=APPS)
    for _ in range(50):
        with socket.create_connection(server.address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    with Wire(socket.create_connection(server.address)) as wire:
        assert wire.get().status == 200
    assert not [line for line in server.log.splitlines() if '"level":"error"' in line]
