"""The arbiter in trouble, and what comes at a bad moment: signals to everybody, pauses, no more processes, pid 1."""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.server_process import COMMAND, ServerProcess, eventually, refuses
from tests.integration.wire import Wire
from tests.load import Load

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
APPS = Path(__file__).parent / "apps"
JSON = ("--log-format", "json", "--bind", "127.0.0.1:0")
FAST = ("--settle-time", "0.1", "--no-access-log")


def test_a_killed_arbiter_leaves_the_port_to_the_next_and_no_request_under_way_is_lost(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve("troubled:app", "-w", "3", *JSON, cwd=APPS)
    port = server.port
    wires, gate = server.wires(6), tmp_path / "gate"
    for number, wire in enumerate(wires):
        begun = tmp_path / f"begun{number}"
        wire.send(f"GET /gate?gate={gate}&begun={begun} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        eventually(begun.exists, "the request has begun")
    server.signal(signal.SIGKILL)
    assert server.wait_exit() == -signal.SIGKILL
    eventually(lambda: refuses(port), "the port is free")
    successor = serve("troubled:app", "-w", "1", "--bind", f"127.0.0.1:{port}", cwd=APPS)
    assert successor.get().status_code == 200
    gate.touch()
    for wire in wires:
        assert wire.response().status == 200
        wire.close()
    eventually(lambda: not server.left(), "nobody is left")


def test_hup_to_everybody_under_load_is_a_reload_and_nothing_else(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "3", *JSON, *FAST, cwd=APPS)
    with Load(server.port):
        for number in range(1, 4):
            server.signal_group(signal.SIGHUP)
            server.wait_event("reload_promoted", count=number)


def test_hups_during_a_reload_are_remembered_once(serve: Serve, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    options = ("-w", "2", "--settle-time", "0.1", *JSON)
    server = serve("troubled:app", *options, cwd=APPS, env={"SWITCH": str(switch)})
    switch.with_suffix(".hang").touch()  # the reload lasts as long as the test wants
    server.signal(signal.SIGHUP)
    server.wait_event("reload_begun")
    server.signal(signal.SIGHUP)
    server.wait_event("reload_remembered")
    for _ in range(3):
        server.signal(signal.SIGHUP)
    server.signal(signal.SIGTTIN)
    server.wait_event("workers_changed")  # and with it all signals before it are heard
    switch.with_suffix(".hang").unlink()
    server.wait_event("reload_promoted", count=2)
    server.signal(signal.SIGTTOU)
    server.wait_event("workers_changed", count=2)
    assert len(server.events("reload_remembered")) == 1
    assert len(server.events("reload_begun")) == 2


def test_term_during_a_reload_is_obeyed_at_once(serve: Serve, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    patient = ("--graceful-timeout", "600", "--kill-timeout", "600")
    server = serve("troubled:app", "-w", "2", *patient, *JSON, cwd=APPS, env={"SWITCH": str(switch)})
    switch.with_suffix(".hang").touch()
    server.signal(signal.SIGHUP)
    server.wait_workers(3)  # the canary imports, without end
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_a_paused_machine_costs_nobody_his_life(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "3", "--timeout", "2", *JSON, cwd=APPS)
    before = server.workers()
    server.signal_group(signal.SIGSTOP)
    time.sleep(3)  # longer than the timeout
    server.signal_group(signal.SIGCONT)
    server.wait_event("overslept")
    server.signal(signal.SIGTTIN)
    server.wait_event("worker_ready", count=4)  # the arbiter has looked around many times meanwhile
    assert set(before) <= set(server.workers())
    assert not server.events("worker_stuck")
    assert server.get().status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_an_arbiter_that_cannot_make_workers_tries_again(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "2", *JSON, cwd=APPS)
    first, second = server.workers()
    before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (8, before[1]))  # all in use
    os.kill(first, signal.SIGKILL)
    assert "open files" in server.wait_event("fork_failed")["message"]
    assert server.get().text == str(second)
    server.wait_event("fork_failed", count=2)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
    server.wait_workers(2, without=[first])


LONELY = 64_321
"""A user whom nobody else is, so that its processes can be counted."""


@pytest.fixture
def as_nobody() -> Iterator[list[str]]:
    """The words before a command that run it as a user without rights."""
    words = ["setpriv", f"--reuid={LONELY}", f"--regid={LONELY}", "--clear-groups"]
    if not shutil.which("prlimit") or not shutil.which("setpriv") or os.geteuid() != 0:
        pytest.skip("needs root, setpriv and prlimit: the limit of processes does not bind root")
    tried = subprocess.run([*words, sys.executable, "-c", "import asgi_arbiter"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("a user without rights may not read this interpreter")
    yield words


@pytest.mark.parametrize("preload", [False, True])
def test_a_fork_that_the_kernel_refuses_is_tried_again_and_costs_nobody_else(
    serve: Serve, as_nobody: list[str], preload: bool
) -> None:
    processes = 6 if preload else 4  # arbiter, two workers, the sleeper; the mold and what it forks in between
    arguments = ("troubled:app", "-w", "2", *JSON, *(["--preload"] if preload else []))
    with subprocess.Popen([*as_nobody, "sleep", "600"]) as sleeper:
        try:
            server = serve(*arguments, cwd=APPS, command=["prlimit", f"--nproc={processes}", *as_nobody, *COMMAND])
            server.signal(signal.SIGTTIN)
            assert "TasksMax=" in server.wait_event("fork_failed")["message"]
            server.signal(signal.SIGHUP)
            assert "temporarily unavailable" in server.wait_event("reload_rejected")["message"]
            assert server.get().status_code == 200
        finally:
            sleeper.kill()
    server.wait_event("worker_ready", count=3)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not server.events("worker_failed")


def test_what_waits_in_the_accept_queue_at_term_is_answered_and_what_comes_later_does_not_wait_there(
    serve: Serve,
) -> None:
    server = serve("troubled:app", "-w", "2", *JSON, cwd=APPS)
    first, second = server.workers()
    for pid in (first, second):
        os.kill(pid, signal.SIGSTOP)
    address = server.address
    wires = [wire.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n") for wire in server.wires(40)]
    server.signal(signal.SIGTERM)
    server.wait_event("shutdown_begun")
    os.kill(first, signal.SIGCONT)
    for wire in wires:
        assert wire.response().body == b"%d" % first
        wire.close()
    eventually(lambda: first not in server.workers(), "it has left")
    with socket.socket() as late:  # the socket still listens, since the other worker has it too
        late.setblocking(False)
        late.connect_ex(address)
        if sys.platform == "linux" and os.geteuid() == 0:  # some kernels let nobody else filter packets
            assert not select.select([], [late], [], 0.1)[1]
    os.kill(second, signal.SIGCONT)
    assert server.wait_exit() == 0


def test_a_drain_delay_keeps_serving_and_accepting(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "2", "--drain-delay", "1", *JSON, cwd=APPS)
    with Load(server.port, until_refused=True) as load:
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert time.monotonic() - began >= 1
        load.wait()


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not _can_unshare(), reason="a pid namespace of one's own is not permitted here")
def test_as_process_one_it_reaps_strangers_and_obeys_term(serve: Serve) -> None:
    command = ("unshare", "--pid", "--fork", "--mount-proc", *COMMAND)
    server = serve("troubled:app", "-w", "2", *JSON, cwd=APPS, command=command, wait=False)
    server.wait_notified("READY=1")
    (arbiter,) = psutil.Process(server.pid).children()
    port = next(c.laddr.port for c in arbiter.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN)
    with Wire(socket.create_connection(("127.0.0.1", port))) as wire:
        for _ in range(3):
            assert wire.get("/orphan").status == 200
        assert len(arbiter.children()) >= 3  # the orphans are its children by now
        eventually(lambda: len(arbiter.children()) == 2, "the strangers are reaped")
    server._returncode_expected = True
    arbiter.terminate()
    assert server.wait_exit() == 0
