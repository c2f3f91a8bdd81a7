"""Workers in trouble: killed, stopped, stuck, crashing, slow. The others serve on, and the log says what it was."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.server_process import ServerProcess, eventually
from tests.load import Load

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
APPS = Path(__file__).parent / "apps"
PLAIN = ("--bind", "127.0.0.1:0")
JSON = ("--log-format", "json", *PLAIN)
QUICK = ("--timeout", "2", "--abort-timeout", "0.5", "--graceful-timeout", "1")
ANSWER = rb"HTTP/1.1 200 .*\r\n\r\n(\d+)"


@contextlib.contextmanager
def asked(server: ServerProcess, target: str) -> Iterator[socket.socket]:
    """A request that nobody waits for, and that the application has begun."""
    begun = server.folder / f"begun-{time.monotonic_ns()}"
    with socket.create_connection(server.address) as sock:
        sock.sendall(
            f"GET {target}{'&' if '?' in target else '?'}begun={begun} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        )
        eventually(begun.exists, f"{target} has begun")
        yield sock


def test_a_killed_worker_costs_only_what_it_had_in_hand(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "3", *JSON, "--no-access-log", cwd=APPS)
    with Load(server.port, may_fail=True) as load:
        for _ in range(3):
            before = server.wait_workers(3)
            os.kill(before[0], signal.SIGKILL)
            server.wait_workers(3, without=[before[0]])
            load.wait_more(4)
    assert len(load.failures) <= 3 * 4, load.failures  # at most one of each client was in hand
    assert "SIGKILL" in server.wait_event("worker_crashed")["message"]


def test_all_workers_killed_at_once_come_back(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "4", *JSON, cwd=APPS)
    before = server.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert server.get().status_code == 200  # it waits in the queue of the arbiter's socket
    server.wait_workers(4, without=before)


@pytest.mark.parametrize("form", ["text", "json", "json --preload"])
def test_a_blocked_loop_is_told_with_its_stack_before_the_worker_is_replaced(serve: Serve, form: str) -> None:
    form, *more = form.split()
    server = serve("troubled:app", "-w", "2", *QUICK, "--log-format", form, *more, *PLAIN, cwd=APPS)
    before = server.workers()
    with asked(server, "/wait?id=7"), asked(server, "/block?seconds=60"):
        server.wait_log("worker_aborted" if form == "json" else "aborted: its event loop")
        log = server.log
    assert log.index("blocks_in_a_system_call") < log.index("aborted")
    assert "GET /block?seconds=60&begun=" in log
    assert "blocked in a system call" in log
    assert "Fatal Python error" not in log
    if form == "json":
        (evidence,) = server.events("worker_evidence")
        assert evidence["level"] == "error"
        assert evidence["exception"].count("blocks_in_a_system_call") == 1
        assert evidence["worker"]
        assert all(line.startswith("{") for line in log.splitlines()), "every line is JSON"
        names = [event for line in log.splitlines() if (event := re.search(r'"event":"(worker_\w+)"', line))]
        order = [name[1] for name in names]
        assert order.index("worker_stuck") < order.index("worker_evidence") < order.index("worker_aborted")
    eventually(lambda: len(set(before) - set(server.workers())) == 1, "the blocked one is gone, the other stays")


def test_native_code_that_holds_the_interpreter_is_told_too(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", *QUICK, *JSON, cwd=APPS)
    before = server.workers()
    with asked(server, "/native"):
        evidence = server.wait_event("worker_evidence")
        server.wait_workers(1, without=before)
    assert "in holds_the_interpreter" in evidence["exception"]
    assert "burning CPU" in server.wait_event("worker_aborted")["message"]
    assert server.get().status_code == 200


def test_sigusr2_tells_what_a_healthy_worker_does(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", "--graceful-timeout", "0.5", *JSON, cwd=APPS)
    (worker,) = server.workers()
    with asked(server, "/wait?id=7"):
        os.kill(worker, signal.SIGUSR2)
        evidence = server.wait_event("worker_evidence")
    assert "GET /wait?id=7&begun=" in evidence["exception"]
    assert "in waits_for_something_else" in evidence["exception"]
    assert "1 request under way" in evidence["exception"]
    assert evidence["level"] == "warning"
    assert server.workers() == [worker]


def test_the_report_of_many_threads_is_bounded(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", *JSON, cwd=APPS)
    server.get("/threads?count=90")
    os.kill(server.workers()[0], signal.SIGUSR2)
    evidence = server.wait_event("worker_evidence")
    assert 10_000 < len(evidence["exception"]) <= 64 * 1024
    assert server.get().status_code == 200


def test_a_drain_that_takes_too_long_tells_what_it_waits_for(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", "--graceful-timeout", "0.5", *JSON, cwd=APPS)
    with asked(server, "/wait?id=7"):
        server.signal(signal.SIGTERM)
        server.wait_exit()
    evidence = server.wait_event("drain_evidence")
    assert "in waits_for_something_else" in evidence["message"]
    assert "GET /wait?id=7&begun=" in evidence["message"]


def test_a_worker_that_is_blocked_while_it_drains_tells_before_it_is_killed(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", "--graceful-timeout", "0.5", "--kill-timeout", "0.5", *JSON, cwd=APPS)
    with asked(server, "/block?seconds=60"):
        server.signal(signal.SIGTERM)
        server.wait_exit()
    assert "blocks_in_a_system_call" in server.wait_event("worker_evidence")["exception"]
    assert server.events("worker_killed")


def test_a_stopped_worker_is_named_as_such_and_replaced(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "2", *QUICK, *JSON, cwd=APPS)
    stopped = server.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    server.wait_event("worker_killed")
    assert "SIGSTOP" in server.wait_event("worker_aborted")["message"]
    server.wait_workers(2, without=[stopped])
    for _ in range(4):
        assert server.get().status_code == 200


def test_a_worker_that_is_stopped_for_a_moment_stays(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "2", "--timeout", "6", *JSON, cwd=APPS)
    before = server.workers()
    os.kill(before[0], signal.SIGSTOP)
    time.sleep(1.5)  # several beats, and far less than the timeout
    os.kill(before[0], signal.SIGCONT)
    eventually(lambda: server.get().text == str(before[0]), "it serves again")
    assert server.workers() == before
    assert not server.events("worker_stuck")


def test_a_segfault_at_boot_is_held_back_while_the_others_serve(serve: Serve, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    server = serve("troubled:app", "-w", "2", *JSON, cwd=APPS, env={"SWITCH": str(switch)}, quiet=False)
    first, second = server.workers()
    switch.with_suffix(".segfault").touch()
    os.kill(first, signal.SIGKILL)
    server.wait_event("restarts_held_back")
    server.wait_event("worker_crashed", count=3)
    server.wait_notified_like("STATUS=.*degraded.*")
    assert server.get().text == str(second)
    switch.with_suffix(".segfault").unlink()
    server.wait_workers(2, without=[first])
    eventually(lambda: len({server.get().text for _ in range(10)}) == 2, "both serve")


def test_a_busy_loop_that_turns_is_never_killed(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", *QUICK, *JSON, cwd=APPS)
    (worker,) = server.workers()
    assert server.get("/busy?seconds=4").text == str(worker)
    assert not server.events("worker_stuck")


def test_a_slow_import_is_never_killed_for_silence(serve: Serve, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.with_suffix(".slow").touch()
    server = serve("troubled:app", "-w", "1", *QUICK, *JSON, cwd=APPS, env={"SWITCH": str(switch)})
    assert server.get().status_code == 200
    assert not server.events("worker_stuck") + server.events("worker_crashed")


def test_an_import_that_hangs_is_told_with_its_stack(tmp_path: Path, serve: Serve) -> None:
    switch = tmp_path / "switch"
    switch.with_suffix(".hang").touch()
    options = ("-w", "1", "--boot-timeout", "1", *JSON)
    server = serve("troubled:app", *options, cwd=APPS, env={"SWITCH": str(switch)}, wait=False, quiet=False)
    assert "troubled.py" in server.wait_event("worker_evidence")["exception"]
    assert server.wait_exit() == 7


def test_a_request_that_takes_too_long_is_answered_for(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "1", "--timeout-request", "1", *JSON, cwd=APPS)
    assert server.get("/wait").status_code == 504
    told = server.wait_event("request_timeout")["message"]
    assert "in waits_for_something_else" in told
    assert "GET /wait" in told
    assert server.get().status_code == 200
