"""The fleet as an operator sees it: who is there, who replaces whom, and what the log says about it."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.load import Load

from .server_process import ServerProcess, eventually

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
Project = Callable[..., Path]
ANY_PORT = ("--bind", "127.0.0.1:0")
JSON = ("--log-format", "json", *ANY_PORT)

APP = """
TEXT = "one"
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": TEXT.encode()})
"""


@pytest.mark.parametrize("count", [1, 4])
def test_so_many_workers_boot_as_were_asked_for(serve: Serve, count: int) -> None:
    server = serve("plain:app", "-w", str(count), *JSON)
    assert len(server.workers()) == count  # and READY=1 was not said before
    assert len(server.events("worker_ready")) == count
    assert int(server.get().text) in server.workers()  # one worker is a child of the arbiter, too


def test_every_worker_runs_the_lifespan_before_ready_is_said(serve: Serve, project: Project, tmp_path: Path) -> None:
    source = """
import os
async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        message = await receive()
        with open("lives", "a") as lives:
            lives.write(message["type"] + "\\n")
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
"""
    server = serve("main:app", "-w", "3", *ANY_PORT, cwd=project(main=source))
    lives = tmp_path / "lives"
    assert lives.read_text().splitlines() == ["lifespan.startup"] * 3
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert lives.read_text().splitlines()[3:] == ["lifespan.shutdown"] * 3


def test_a_killed_worker_is_replaced_and_the_log_names_the_signal(serve: Serve) -> None:
    server = serve("plain:app", "-w", "3", *JSON)
    before = server.workers()
    os.kill(before[1], signal.SIGKILL)
    after = server.wait_workers(3, without=[before[1]])
    assert set(before) - {before[1]} <= set(after)
    crash = server.wait_event("worker_crashed")
    assert "SIGKILL" in crash["message"] and str(before[1]) in crash["message"]
    server.wait_event("worker_ready", count=4)
    assert server.get().status_code == 200


def test_all_workers_killed_at_once_are_replaced(serve: Serve) -> None:
    server = serve("plain:app", "-w", "4", *JSON)
    before = server.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.wait_workers(4, without=before)
    assert server.get().status_code == 200  # connections made meanwhile wait in the queue of the arbiter's socket


def test_a_worker_that_segfaults_is_named_as_a_crash_in_native_code(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", *JSON)
    (first, _) = server.workers()
    os.kill(first, signal.SIGSEGV)
    assert "SIGSEGV" in server.wait_event("worker_crashed")["message"]
    server.wait_workers(2, without=[first])


def test_no_zombie_stays(serve: Serve) -> None:
    server = serve("plain:app", "-w", "3", *JSON)
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    server.wait_event("worker_ready", count=6)
    states = [child.status() for child in psutil.Process(server.pid).children()]
    assert psutil.STATUS_ZOMBIE not in states


def test_processes_have_titles(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", *ANY_PORT)

    def titles(*pids: int) -> list[str]:
        return sorted(" ".join(psutil.Process(pid).cmdline()).strip() for pid in pids)

    wanted = ["asgi-arbiter: worker 1 gen 1 [plain:app]", "asgi-arbiter: worker 2 gen 1 [plain:app]"]
    eventually(lambda: titles(*server.workers()) == wanted, "the workers' titles")
    assert titles(server.pid) == ["asgi-arbiter: arbiter [plain:app]"]


def test_max_requests_replaces_a_worker_and_loses_no_request(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", "--max-requests", "20", *JSON)
    before = set(server.workers())
    with server.client() as client:
        for _ in range(200):
            assert client.get("/").status_code == 200
    eventually(lambda: server.events("worker_retired"), "a worker has retired")
    eventually(lambda: before - set(server.workers()), "a worker was replaced")
    server.wait_workers(2)


# Reload.


def test_hup_serves_new_code_with_new_workers(serve: Serve, project: Project) -> None:
    folder = project(main=APP)
    server = serve("main:app", "-w", "2", "--settle-time", "0.1", *JSON, cwd=folder)
    before = server.workers()
    assert server.get().text == "one"
    project(main=APP.replace("one", "two"))
    server.signal(signal.SIGHUP)
    server.wait_reloaded()
    assert server.get().text == "two"
    server.wait_workers(2, without=before)


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_no_request_fails_over_reloads(serve: Serve, parser: str) -> None:
    server = serve("plain:app", "-w", "3", "--http", parser, "--settle-time", "0.1", "--no-access-log", *JSON)
    with Load(server.port) as load:
        for number in range(1, 4):
            server.signal(signal.SIGHUP)
            server.wait_event("reload_promoted", count=number)
    assert load.answered > 50


BROKEN = {
    "syntax": ("def app(:\n", "SyntaxError"),
    "import": ("import not_there_at_all\n", "not_there_at_all"),
    "lifespan": (
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no broker'})\n",
        "no broker",
    ),
    "crash": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "SIGSEGV"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_hup_with_broken_code_keeps_the_old_workers_and_the_next_hup_starts_afresh(
    serve: Serve, project: Project, how: str
) -> None:
    source, reason = BROKEN[how]
    folder = project(main=APP)
    server = serve("main:app", "-w", "2", "--settle-time", "0.1", *JSON, cwd=folder, quiet=False)
    before = server.workers()
    project(main=source)
    server.signal(signal.SIGHUP)
    server.wait_event("reload_rejected")
    assert reason in server.log
    server.wait_workers(2)
    assert server.workers() == before
    assert server.get().text == "one"
    project(main=APP.replace("one", "three"))
    server.signal(signal.SIGHUP)
    server.wait_reloaded()
    assert server.get().text == "three"


def test_new_code_that_dies_while_it_settles_is_rejected_and_the_old_workers_serve_on(
    serve: Serve, project: Project
) -> None:
    server = serve("main:app", "-w", "2", "--settle-time", "600", *JSON, cwd=project(main=APP), quiet=False)
    before = server.workers()
    project(main=APP + "import os, threading\nthreading.Timer(0.5, os.abort).start()\n")
    server.signal(signal.SIGHUP)
    assert "SIGABRT" in server.wait_event("reload_rejected")["message"]
    server.wait_workers(2)
    assert server.workers() == before
    assert server.get().text == "one"


def test_hup_reads_the_settings_file_again(serve: Serve, project: Project) -> None:
    folder = project(main=APP)
    settings = folder / "asgi-arbiter.toml"
    settings.write_text('workers = 1\nbind = ["127.0.0.1:0"]\nlog_format = "json"\nsettle_time = 0.1\n')
    server = serve("main:app", cwd=folder)
    settings.write_text(settings.read_text().replace("workers = 1", "workers = 3"))
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    server.wait_workers(3)
    settings.write_text("workers = nonsense\n")
    server.signal(signal.SIGHUP)
    assert "asgi-arbiter.toml" in server.wait_event("reload_rejected")["message"]
    assert server.get().text == "one"


def test_the_service_manager_is_told_about_a_reload(serve: Serve, project: Project) -> None:
    server = serve("main:app", "--settle-time", "0.1", *JSON, cwd=project(main=APP))
    server.notifications.clear()
    server.signal(signal.SIGHUP)
    server.wait_notified("RELOADING=1")
    server.wait_notified("READY=1")
    assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", line) for line in server.notifications)
    server.signal(signal.SIGTERM)
    server.wait_notified("STOPPING=1")
    assert server.wait_exit() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_hold_no_descriptor_of_the_arbiters_other_children(serve: Serve) -> None:
    server = serve("plain:app", "-w", "4", *ANY_PORT)

    def sockets(pid: int) -> set[str]:
        found = set()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except OSError:
                continue
            if target.startswith("socket:"):
                found.add(target)
        return found

    # What two workers share is the listening socket and nothing else: a mailbox end of a sibling would keep the
    # sibling's death unnoticed.
    first, *others = (sockets(pid) for pid in server.workers())
    for other in others:
        shared = first & other
        assert len(shared) == 1, shared


def test_a_single_worker_shares_its_connections_with_those_that_ttin_adds(serve: Serve) -> None:
    server = serve("plain:app", "-w", "1", *JSON)
    for workers in (2, 3, 4):
        server.signal(signal.SIGTTIN)
        server.wait_event("worker_ready", count=workers)

    def is_fair() -> bool:
        wires = server.wires(100)
        counts = Counter(wire.get().body for wire in wires)
        for wire in wires:
            wire.close()
        return len(counts) == 4 and max(counts.values()) <= 1.3 * 25

    eventually(is_fair, "100 connections spread within 1.3 of the mean")


IMPORTS = """
import sys
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        app.before = set(sys.modules)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/broken":
        raise RuntimeError("on purpose")
    body = " ".join(sorted(set(sys.modules) - app.before)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.mark.parametrize("parser", ["httptools", "h11"])
@pytest.mark.parametrize("preload", [False, True])
def test_no_request_waits_for_imports_of_ours(serve: Serve, project: Project, parser: str, preload: bool) -> None:
    options = ("--http", parser, *(["--preload"] if preload else []))
    server = serve("main:app", "-w", "1", *options, *JSON, cwd=project(main=IMPORTS), quiet=False)

    def chunks() -> Iterator[bytes]:
        yield b"some"
        yield b"thing"

    with server.client() as client:
        assert client.get("/").text == ""
        assert client.post("/", content=b"a body").text == ""
        assert client.post("/", content=chunks(), headers={"x-forwarded-for": "192.0.2.1"}).text == ""
        assert client.get("/broken").status_code == 500
        with server.wire() as wire:
            assert wire.send(b"GET nonsense HTTP/1.1\r\n\r\n").response().status == 400
        assert client.get("/").text == ""
