"""--preload with real processes: who imports, who forks, and what follows from the death of either."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.load import Load

from .server_process import ServerProcess, eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="test_preload_elsewhere is for the others"),
]

Serve = Callable[..., ServerProcess]
Project = Callable[..., Path]
PRELOAD = ("--preload", "--settle-time", "0.1", "--log-format", "json", "--bind", "127.0.0.1:0")

APP = """
import os
with open("imports", "a") as imports:
    imports.write(f"{os.getpid()}\\n")
TEXT = "one"
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            with open("lives", "a") as lives:
                lives.write(f"{os.getpid()}\\n")
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": TEXT.encode()})
"""


def lines(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def molds(server: ServerProcess) -> list[int]:
    return [event["pid"] for event in server.events("mold_ready")]


def workers(server: ServerProcess) -> list[int]:
    return [pid for pid in server.workers() if pid not in molds(server)]


def wait_workers(server: ServerProcess, count: int, *, without: list[int]) -> list[int]:
    def settled() -> list[int] | None:
        found = workers(server)
        return found if len(found) == count and not set(found) & set(without) else None

    return eventually(settled, f"{count} workers, none of {without}")


def test_the_application_is_imported_once_and_started_in_each_worker(
    serve: Serve, project: Project, tmp_path: Path
) -> None:
    server = serve("main:app", "-w", "3", *PRELOAD, cwd=project(main=APP))
    (mold,) = molds(server)
    assert lines(tmp_path / "imports") == [mold]
    serving = workers(server)
    assert len(serving) == 3 and sorted(lines(tmp_path / "lives")) == sorted(serving)
    assert all(psutil.Process(pid).ppid() == server.pid for pid in serving)  # the arbiter reaps them, not the mold
    assert server.get().text == "one"


def test_processes_have_titles(serve: Serve) -> None:
    server = serve("plain:app", "-w", "1", *PRELOAD)
    titles = {" ".join(psutil.Process(pid).cmdline()).strip() for pid in server.workers()}
    assert titles == {"asgi-arbiter: mold gen 1 [plain:app]", "asgi-arbiter: worker 1 gen 1 [plain:app]"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda each: each.name)
def test_it_stops_with_success_and_leaves_nothing(serve: Serve, number: signal.Signals) -> None:
    server = serve("plain:app", "-w", "2", *PRELOAD)
    server.signal(number)
    assert server.wait_exit() == 0


def test_signals_to_the_whole_group_are_harmless(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", *PRELOAD)
    (before,) = molds(server)
    server.signal_group(signal.SIGUSR1)
    server.wait_event("logs_reopened")
    server.signal_group(signal.SIGHUP)
    server.wait_event("reload_promoted")
    assert not server.events("mold_lost") and len(molds(server)) == 2
    eventually(lambda: before not in server.workers(), "the first generation's mold has left")
    server.signal_group(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_a_reload_under_load_loads_new_code_and_loses_no_request(serve: Serve, project: Project) -> None:
    folder = project(main=APP)
    server = serve("main:app", "-w", "2", *PRELOAD, cwd=folder)
    with Load(server.port) as load:
        project(main=APP.replace('"one"', '"two"'))
        server.signal(signal.SIGHUP)
        server.wait_reloaded()
        load.wait_more()
    assert load.answers == {b"one", b"two"}
    assert server.get().text == "two"


def test_a_worker_is_replaced_from_the_old_mold_even_when_the_files_are_broken(serve: Serve, project: Project) -> None:
    folder = project(main=APP)
    server = serve("main:app", "-w", "2", *PRELOAD, cwd=folder)
    before = workers(server)
    project(main="def app(:\n")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_workers(server, 2, without=before)
    server.wait_event("worker_ready", count=4)
    assert server.get().text == "one" and len(molds(server)) == 1


BROKEN = {
    "syntax": ("def app(:\n", "SyntaxError"),
    "crash": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "SIGSEGV"),
    "lifespan": (
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no broker'})\n",
        "no broker",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_deploy_is_rejected_and_leaves_no_mold(serve: Serve, project: Project, how: str) -> None:
    source, reason = BROKEN[how]
    folder = project(main=APP)
    server = serve("main:app", "-w", "2", *PRELOAD, cwd=folder, quiet=False)
    before = server.workers()
    project(main=source)
    with Load(server.port, each=2) as load:
        server.signal(signal.SIGHUP)
        server.wait_event("reload_rejected")
        load.wait_more()
    assert reason in server.log
    server.wait_workers(3)
    assert server.workers() == before
    project(main=APP.replace('"one"', '"six"'))
    server.signal(signal.SIGHUP)
    server.wait_reloaded()
    assert server.get().text == "six"


def test_an_application_that_cannot_be_imported_ends_the_boot_with_one_traceback(
    serve: Serve, project: Project
) -> None:
    folder = project(main="import not_there_at_all\n")
    server = serve("main:app", "-w", "4", *PRELOAD, cwd=folder, wait=False, quiet=False)
    assert server.wait_exit() == 4
    assert server.log.count("Traceback (most recent call last)") == 1
    assert "not_there_at_all" in server.log


def test_a_killed_mold_is_made_anew_while_the_workers_serve(serve: Serve, project: Project) -> None:
    server = serve("main:app", "-w", "2", *PRELOAD, cwd=project(main=APP))
    serving = workers(server)
    with Load(server.port, each=2) as load:
        os.kill(molds(server)[0], signal.SIGKILL)
        assert "files as they are then" in server.wait_event("mold_lost")["message"]
        server.wait_event("mold_ready", count=2)
        load.wait_more()
    assert workers(server) == serving
    os.kill(serving[0], signal.SIGKILL)
    wait_workers(server, 2, without=[serving[0]])


def test_everything_killed_at_once_comes_back(serve: Serve) -> None:
    server = serve("plain:app", "-w", "3", *PRELOAD)
    before = server.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.wait_event("mold_ready", count=2)
    wait_workers(server, 3, without=before)
    assert server.get().status_code == 200


def test_a_killed_arbiter_leaves_no_mold_and_the_port_is_free(serve: Serve) -> None:
    server = serve("plain:app", "-w", "2", *PRELOAD)
    server.signal(signal.SIGKILL)
    server.wait_exit()
    eventually(lambda: not server.left(), "workers and mold have left")


def test_threads_and_loops_of_the_import_are_named(serve: Serve, project: Project) -> None:
    source = (
        "import asyncio, threading\n"
        "threading.Thread(target=threading.Event().wait, name='exporter', daemon=True).start()\n"
        "loop = asyncio.new_event_loop()\n" + APP
    )
    server = serve("main:app", "-w", "1", *PRELOAD, cwd=project(main=source))
    remarks = " ".join(event["message"] for event in server.events("mold_remark"))
    assert "exporter" in remarks and "1 asyncio event loop" in remarks
    assert server.get().text == "one"


def test_recycling_takes_its_workers_from_the_mold_and_loses_no_request(
    serve: Serve, project: Project, tmp_path: Path
) -> None:
    server = serve("main:app", "-w", "2", "--max-requests", "40", *PRELOAD, cwd=project(main=APP))
    with Load(server.port, each=2):
        server.wait_event("worker_retired", count=4)
    assert len(lines(tmp_path / "imports")) == 1


def test_workers_share_nothing_but_the_listening_socket(serve: Serve) -> None:
    server = serve("plain:app", "-w", "3", *PRELOAD)

    def sockets(pid: int) -> set[str]:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]
        return {link for link in links if link.startswith("socket:")}

    first, *others = (sockets(pid) for pid in server.workers())  # the mold among them
    for other in others:
        assert len(first & other) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up rights")
def test_the_application_is_imported_without_roots_rights(serve: Serve, short_path: Path) -> None:
    short_path.chmod(0o777)
    source = APP.replace('TEXT = "one"', "TEXT = str(os.geteuid())[:3].ljust(3)")
    (short_path / "main.py").write_text(source)
    server = serve("main:app", "-w", "2", "--user", "65534", "--group", "65534", *PRELOAD, cwd=short_path)
    assert server.get().text == "655"
    assert {psutil.Process(pid).uids().effective for pid in server.workers()} == {65534}
    (worker, *_) = workers(server)
    os.kill(worker, signal.SIGKILL)
    wait_workers(server, 2, without=[worker])
    server.signal(signal.SIGKILL)  # its children hear of it without a parent of the same user
    server.wait_exit()
    eventually(lambda: not server.left(), "workers and mold have left")
