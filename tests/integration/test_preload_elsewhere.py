"""--preload where the kernel does not give us orphans (not Linux): molds rear their workers and report their deaths.

The same program with that one ability hidden, so that it can be tested on Linux too.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.load import Load

from .server_process import APPS, ServerProcess, eventually

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
Project = Callable[..., Path]
COMMAND = (sys.executable, "-P", str(APPS / "without_subreaper.py"))
PRELOAD = ("--preload", "--settle-time", "0.1", "--log-format", "json", "--bind", "127.0.0.1:0")

APP = """
import os
TEXT = "one"
with open("imports", "a") as imports:
    imports.write(f"{os.getpid()}\\n")
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = f"{TEXT} {os.getpid()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture
def start(serve: Serve, project: Project) -> Callable[..., ServerProcess]:
    def start(*arguments: str, source: str = APP, **options: object) -> ServerProcess:
        return serve("main:app", *PRELOAD, *arguments, command=COMMAND, cwd=project(main=source), **options)

    return start


def mold(server: ServerProcess) -> int:
    return int(server.events("mold_ready")[-1]["pid"])


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]


def connections(server: ServerProcess) -> set[str]:
    return {c.status for pid in children(mold(server)) for c in psutil.Process(pid).net_connections("tcp")}


def text(server: ServerProcess) -> str:
    return server.get().text.split()[0]


def test_molds_have_the_workers_and_report_how_each_has_ended(start: Callable[..., ServerProcess]) -> None:
    server = start("-w", "3")
    assert server.workers() == [mold(server)]
    workers = children(mold(server))
    assert len(workers) == 3
    os.kill(workers[0], signal.SIGKILL)
    crashed = server.wait_event("worker_crashed")
    assert crashed["signal"] == signal.SIGKILL and crashed["peak_memory"] > 2**20
    server.wait_event("worker_ready", count=4)
    eventually(lambda: len(children(mold(server))) == 3, "it was replaced by the same mold, and no zombie is left")
    assert len(psutil.Process(mold(server)).children()) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda each: each.name)
def test_it_stops_with_success_and_knows_how_all_have_ended(
    start: Callable[..., ServerProcess], number: signal.Signals
) -> None:
    server = start("-w", "2", "--log-level", "debug")
    server.signal(number)
    assert server.wait_exit() == 0
    assert [event["exit_code"] for event in server.events("worker_exited")] == [0, 0]


def test_a_stop_waits_for_what_is_under_way_and_refuses_new_connections(start: Callable[..., ServerProcess]) -> None:
    source = APP.replace("    body =", "    await receive()\n    await receive()\n    body =")
    server = start("-w", "2", source=source, wait=True)
    wire = server.wire()
    wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
    eventually(lambda: "ESTABLISHED" in connections(server), "a worker has taken it")
    server.signal(signal.SIGTERM)
    eventually(lambda: not psutil.Process(mold(server)).net_connections("tcp"), "the mold has let go of the socket")
    assert server.process.poll() is None
    wire.send(b"cd")
    assert wire.response("POST").body.startswith(b"one")
    wire.close()
    assert server.wait_exit() == 0


def test_a_reload_under_load_loads_new_code_and_loses_no_request(
    start: Callable[..., ServerProcess], project: Project
) -> None:
    server = start("-w", "2")
    first = mold(server)
    with Load(server.port, each=2) as load:
        for word in ("two", "six"):
            project(main=APP.replace('"one"', f'"{word}"'))
            server.signal(signal.SIGHUP)
            server.wait_event("reload_promoted", count=("two", "six").index(word) + 1)
            load.wait_more()
    assert load.failures == []
    assert text(server) == "six"
    eventually(lambda: not psutil.pid_exists(first), "the first mold has left")
    assert all(event["exit_code"] == 0 for event in server.events("worker_exited"))


def test_a_broken_deploy_is_rejected(start: Callable[..., ServerProcess], project: Project) -> None:
    server = start("-w", "2", quiet=False)
    before = children(mold(server))
    project(main="import not_there_at_all\n")
    server.signal(signal.SIGHUP)
    assert "not_there_at_all" in server.wait_event("reload_rejected")["message"]
    assert children(mold(server)) == before and text(server) == "one"


def test_recycling_loses_no_request(start: Callable[..., ServerProcess], tmp_path: Path) -> None:
    server = start("-w", "2", "--max-requests", "40")
    with Load(server.port, each=2) as load:
        server.wait_event("worker_exited", count=4)
    assert load.failures == []
    assert (tmp_path / "imports").read_text().split() == [str(mold(server))]


def test_workers_outlive_their_mold_and_their_death_is_noticed_all_the_same(
    start: Callable[..., ServerProcess],
) -> None:
    server = start("-w", "2")
    first, workers = mold(server), children(mold(server))
    with Load(server.port, each=2) as load:
        os.kill(first, signal.SIGKILL)
        server.wait_event("mold_ready", count=2)
        load.wait_more()
    assert load.failures == []
    assert all(psutil.pid_exists(pid) for pid in workers)
    os.kill(workers[0], signal.SIGKILL)
    crashed = server.wait_event("worker_crashed")
    assert crashed["pid"] == workers[0] and "nobody knows how" in crashed["message"]
    server.wait_event("worker_ready", count=3)
    assert len(children(mold(server))) == 1  # the other one of the first mold goes on
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in workers), "both are gone, and missed by nobody")


def test_everything_killed_at_once_comes_back(start: Callable[..., ServerProcess]) -> None:
    server = start("-w", "3")
    first = mold(server)
    for pid in (first, *children(first)):  # the mold first, which might replace one of them else
        os.kill(pid, signal.SIGKILL)
    server.wait_event("mold_ready", count=2)
    eventually(lambda: len(children(mold(server))) == 3, "three workers of another mold")
    server.wait_event("worker_ready", count=6)
    assert text(server) == "one"


def test_a_killed_arbiter_leaves_nobody_and_the_port_is_free(start: Callable[..., ServerProcess]) -> None:
    server = start("-w", "2")
    server.signal(signal.SIGKILL)
    server.wait_exit()
    eventually(lambda: not server.left(), "workers and mold have left")
