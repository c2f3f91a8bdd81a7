"""The operator's hooks in real processes: where each is called, in which order, with what, and that none does harm."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .server_process import ServerProcess, eventually

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
Call = dict[str, Any]

ARBITER = ["on_starting", "when_ready", "pre_fork", "worker_ready", "worker_retiring", "child_exit", "nworkers_changed",
           "on_reload", "reload_finished", "on_timeout", "on_exit"]  # fmt: skip
WORKER = ["post_fork", "post_worker_init", "worker_int", "worker_abort", "worker_exit", "pre_request", "post_request"]

# Each call becomes a line: its name, the process, and what the hook was given, as far as a hook may rely on it.
WITNESS = """
import json, os

def shown(argument):
    if hasattr(argument, "generation"):
        return {"worker": argument.number, "gen": argument.generation, "pid": argument.pid, "age": argument.age}
    if hasattr(argument, "num_workers"):
        return {"server": argument.pid, "workers": argument.num_workers, "address": list(argument.address)}
    if hasattr(argument, "cfg"):
        return {"server": argument.pid}
    if hasattr(argument, "method"):
        return {"request": argument.method + " " + argument.uri}
    if hasattr(argument, "status_code"):
        return {"status": argument.status_code}
    return sorted(argument) if isinstance(argument, dict) else argument

def note(name, *arguments):
    line = json.dumps({"hook": name, "pid": os.getpid(), "args": [shown(each) for each in arguments]})
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(line + "\\n")
"""
HOOKS = WITNESS + "\n".join(f"def {name}(*given): note('{name}', *given)" for name in [*ARBITER, *WORKER])
APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    if scope["path"] == "/block":
        import time
        time.sleep(600)
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"made"})
"""
TOML = "\n".join(f'{name} = "users_hooks:{name}"' for name in [*ARBITER, *WORKER])


class Journal:
    """What the hooks have written down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def calls(self, *names: str) -> list[Call]:
        text = self.path.read_text() if self.path.exists() else ""
        found = [json.loads(line) for line in text.splitlines()]
        return [call for call in found if not names or call["hook"] in names]

    def wait(self, name: str, count: int = 1) -> Call:
        """The call of that number, when it has come."""
        return eventually(lambda: self.calls(name)[count - 1 :], f"{count} calls of {name}: {self.calls()}")[0]

    def names(self, pid: int) -> list[str]:
        return [call["hook"] for call in self.calls() if call["pid"] == pid]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture(params=["toml", "python"])
def start(
    request: pytest.FixtureRequest, serve: Serve, project: Callable[..., Path], journal: Journal
) -> Callable[..., ServerProcess]:
    """Start an application whose settings file names every hook: as ``module:function``, or as functions in it."""

    def begin(*arguments: str, **options: Any) -> ServerProcess:
        folder = project(main=APP, users_hooks=HOOKS)
        name = "settings.toml" if request.param == "toml" else "settings.py"
        (folder / name).write_text(TOML if request.param == "toml" else HOOKS)
        words = ("main:app", "-c", name, "--bind", "127.0.0.1:0", "--settle-time", "0", "--log-format", "json")
        env = {"JOURNAL": str(journal.path)}
        return serve(*words, *arguments, cwd=folder, env=env, **options)

    return begin


def test_a_life_from_start_to_end_in_gunicorns_order(start: Callable[..., ServerProcess], journal: Journal) -> None:
    server = start("-w", "1")
    (worker,) = server.workers()
    with server.client() as client:
        assert client.get("/path?query").status_code == 201
    address = server.base_url
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    arbiter = ["on_starting", "when_ready", "nworkers_changed", "pre_fork", "worker_ready", "child_exit", "on_exit"]
    assert journal.names(server.pid) == arbiter
    assert journal.names(worker) == ["post_fork", "post_worker_init", "pre_request", "post_request", "worker_exit"]
    assert {call["pid"] for call in journal.calls()} == {server.pid, worker}

    us: dict[str, Any] = {"server": server.pid, "workers": 1, "address": [address]}
    it: dict[str, Any] = {"worker": 1, "gen": 1, "pid": worker, "age": 1}
    request = {"request": "GET /path?query"}
    given = {call["hook"]: call["args"] for call in journal.calls()}
    variables = given["post_request"].pop(2)
    assert "REQUEST_METHOD" in variables and "HTTP_HOST" in variables
    assert given == {
        "on_starting": [{**us, "address": []}],
        "when_ready": [us],
        "nworkers_changed": [us, 1, None],
        "pre_fork": [us, {**it, "pid": 0}],
        "post_fork": [{"server": server.pid}, it],
        "post_worker_init": [it],
        "worker_ready": [us, it],
        "pre_request": [it, request],
        "post_request": [it, request, {"status": 201}],
        "worker_exit": [{"server": server.pid}, it],
        "child_exit": [us, it],
        "on_exit": [us],
    }


def test_a_reload_is_announced_and_its_outcome_told(start: Callable[..., ServerProcess], journal: Journal) -> None:
    server = start("-w", "1")
    server.signal(signal.SIGHUP)
    assert journal.wait("reload_finished")["args"] == ["promoted"]
    (told,) = journal.calls("on_reload")
    assert told["pid"] == server.pid and [call["args"][1]["gen"] for call in journal.calls("pre_fork")] == [1, 2]
    main = Path(server.process.args[server.process.args.index("-c") + 1])  # type: ignore[union-attr,index,arg-type]
    assert main.suffix in (".toml", ".py")
    (journal.path.parent / "main.py").write_text("this is no Python")
    server.quiet = False
    server.signal(signal.SIGHUP)
    assert journal.wait("reload_finished", 2)["args"] == ["rejected"]
    assert server.get().status_code == 201


def test_a_retiring_worker_is_told_once_with_the_reason(start: Callable[..., ServerProcess], journal: Journal) -> None:
    server = start("-w", "1", "--max-requests", "1")
    (old,) = server.workers()
    assert server.get().status_code == 201
    journal.wait("child_exit")
    (call,) = [call for call in journal.calls("worker_retiring") if call["args"][1]["pid"] == old]
    assert (call["pid"], call["args"][2]) == (server.pid, "max_requests")
    assert len([call for call in journal.calls("worker_ready") if call["args"][1]["pid"] == old]) == 1


def test_ttin_quit_and_abort_are_told(start: Callable[..., ServerProcess], journal: Journal) -> None:
    server = start("-w", "1")
    server.quiet = False
    (first,) = server.workers()
    server.signal(signal.SIGTTIN)
    assert journal.wait("nworkers_changed", 2)["args"][1:] == [2, 1]
    journal.wait("worker_ready", 2)
    os.kill(first, signal.SIGABRT)
    assert journal.wait("worker_abort")["args"][0]["pid"] == first
    assert journal.wait("child_exit")["args"][1]["pid"] == first
    journal.wait("worker_ready", 3)
    pids = set(server.workers())
    server.signal(signal.SIGQUIT)
    assert server.wait_exit() == 0
    assert {call["pid"] for call in journal.calls("worker_int")} == pids


def test_a_stuck_worker_is_told_with_its_stacks(start: Callable[..., ServerProcess], journal: Journal) -> None:
    server = start("-w", "1", "--timeout", "2")
    server.quiet = False
    (stuck,) = server.workers()

    def about(name: str) -> Call:
        """The call about this worker; on a slow machine another may be late as well."""
        calls = lambda: [call for call in journal.calls(name) if call["args"][1]["pid"] == stuck]  # noqa: E731
        return eventually(calls, f"{name} about {stuck}: {journal.calls()}")[0]

    with server.wire() as wire:
        wire.send(b"GET /block HTTP/1.1\r\nHost: test\r\n\r\n")
        call = about("on_timeout")
        us, _, stacks = call["args"]
        assert (call["pid"], us["server"]) == (server.pid, server.pid)
        assert "main.py" in stacks and "GET /block" in stacks
        about("child_exit")
    assert server.get().status_code == 201


def test_hooks_that_fail_are_logged_and_the_service_goes_on(serve: Serve, project: Callable[..., Path]) -> None:
    lines = ["import sys"]
    for number, name in enumerate([*ARBITER, *WORKER]):
        lines.append(f"def {name}(*given): {'raise ValueError(given)' if number % 2 else 'sys.exit(9)'}")
    folder = project(main=APP, users_hooks="\n".join(lines))
    (folder / "settings.toml").write_text(TOML)
    server = serve(
        *("main:app", "-c", "settings.toml", "--bind", "127.0.0.1:0", "--settle-time", "0", "--log-format", "json"),
        *("-w", "1", "--max-requests", "2"),
        cwd=folder,
        quiet=False,
    )
    for _ in range(4):
        assert server.get().status_code == 201
    server.wait_event("worker_retiring")
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    server.signal(signal.SIGTTIN)
    server.wait_event("workers_changed")
    server.wait_workers(2)
    server.signal(signal.SIGQUIT)
    assert server.wait_exit() == 0
    failed = {event["hook"] for event in server.events("hook_failed")}
    assert failed == {*ARBITER, *WORKER} - {"worker_abort", "on_timeout"}


def test_a_reload_with_another_number_of_workers_is_told(
    serve: Serve, project: Callable[..., Path], journal: Journal
) -> None:
    folder = project(main=APP, users_hooks=HOOKS)
    settings = 'nworkers_changed = "users_hooks:nworkers_changed"\nworkers = '
    (folder / "settings.toml").write_text(settings + "1\n")
    words = ("main:app", "-c", "settings.toml", "--bind", "127.0.0.1:0", "--settle-time", "0")
    server = serve(*words, cwd=folder, env={"JOURNAL": str(journal.path)})
    (folder / "settings.toml").write_text(settings + "2\n")
    server.signal(signal.SIGHUP)
    call = journal.wait("nworkers_changed", 2)
    assert call["args"][1:] == [2, 1] and call["args"][0]["workers"] == 2
