"""The worker class, without processes: what each signal, hook and beat does. Real gunicorns are in the integration tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("gunicorn")

from gunicorn.config import Config as GunicornConfig

from asgi_arbiter.worker import gunicorn as module
from asgi_arbiter.worker.gunicorn import ArbiterH11Worker, ArbiterWorker, _Stage


class Log:
    """gunicorn's logger: keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def say(text: Any = "", *args: object, **more: object) -> None:
            self.said.append(f"{name}: {str(text) % args if args else text}")

        return say


class Application:
    """gunicorn's application object."""

    def __init__(self, found: object) -> None:
        self.found = found

    def wsgi(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Loop:
    """The little that signal handlers ask of a loop."""

    def __init__(self) -> None:
        self.called: list[Any] = []

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, callback: Any) -> None:
        self.called.append(callback)

    def set_exception_handler(self, handler: Any) -> None:
        self.handler = handler

    def stop(self) -> None:
        """Never called here."""


class Drained:
    """A server that remembers its drains."""

    def __init__(self) -> None:
        self.drains: list[tuple[str, float | None]] = []

    def begin_drain(self, reason: str, *, timeout: float | None = None) -> None:
        self.drains.append((reason, timeout))

    def under_way(self) -> list[str]:
        return ["GET /stuck"]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An application."""


def cfg(**settings: Any) -> Any:
    made = GunicornConfig()
    for name, value in settings.items():
        made.set(name, value)
    return made


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ArbiterWorker]]:
    """Workers as gunicorn's master makes them, in whose process no signal disposition is changed."""
    made: list[ArbiterWorker] = []
    monkeypatch.setattr(module, "stop_listening", lambda: None)

    def make_one(found: object = app, kind: type[ArbiterWorker] = ArbiterWorker, **settings: Any) -> ArbiterWorker:
        worker = kind(1, os.getppid(), [], Application(found), 15, cfg(**settings), Log())
        worker._settle()
        made.append(worker)
        return worker

    yield make_one
    for worker in made:
        worker.tmp.close()


def running(worker: ArbiterWorker) -> tuple[Loop, Drained]:
    """Put ``worker`` into the state in which it serves."""
    loop, server = Loop(), Drained()
    worker._stage = _Stage.RUNNING
    worker._loop = loop  # type: ignore[assignment]
    worker._server = server  # type: ignore[assignment]
    worker._beat_at = time.monotonic()
    return loop, server


def test_the_facade_has_both_classes() -> None:
    import asgi_arbiter.gunicorn

    assert asgi_arbiter.gunicorn.ArbiterWorker is ArbiterWorker
    assert asgi_arbiter.gunicorn.ArbiterH11Worker is ArbiterH11Worker


def test_the_rest_of_the_package_does_not_import_gunicorn() -> None:
    import subprocess

    text = "import sys; from asgi_arbiter.worker import process, server; import asgi_arbiter.arbiter.cli; sys.exit('gunicorn' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", text], check=False).returncode == 0


# In the master


def test_wrong_settings_end_the_master_before_it_forks() -> None:
    class Wrong(ArbiterWorker):
        CONFIG_KWARGS = {"http": "h4"}  # noqa: RUF012

    with pytest.raises(RuntimeError, match="http"):
        Wrong.check_config(cfg(), Log())


def test_settings_without_effect_are_named_by_the_master() -> None:
    log = Log()
    ArbiterWorker.check_config(cfg(), log)
    assert log.said == []
    if "casefold_http_method" in cfg().settings:
        ArbiterWorker.check_config(cfg(casefold_http_method=True), log)
        assert "casefold_http_method" in log.said[0]


def test_more_workers_than_lines_serve_all_the_same(
    make: Callable[..., ArbiterWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "take_line", lambda: None)
    assert make(workers=2)._rivals() is None


# Booting


def test_the_h11_class_chooses_what_is_pure_python(make: Callable[..., ArbiterWorker]) -> None:
    config = make(kind=ArbiterH11Worker).config
    assert (config.http, config.loop) == ("h11", "asyncio")


@pytest.mark.parametrize(("timeout", "interval"), [(0, 1.0), (1, 0.25), (2, 0.5), (30, 1.0)])
def test_the_beat_is_well_under_a_third_of_the_timeout(
    make: Callable[..., ArbiterWorker], timeout: int, interval: float
) -> None:
    assert make(timeout=timeout)._interval == interval


def test_gunicorns_jitter_is_in_the_limit(make: Callable[..., ArbiterWorker]) -> None:
    worker = make(max_requests=10, max_requests_jitter=5)
    assert worker.config.max_requests == worker.max_requests
    assert 10 <= worker.max_requests <= 15
    assert make().config.max_requests == 0


def test_both_forms_of_the_application_are_kept(make: Callable[..., ArbiterWorker]) -> None:
    worker = make()
    worker.load_wsgi()
    assert worker.wsgi is app
    assert worker.asgi is app


def test_what_is_no_application_is_gunicorns_exit_code_4(make: Callable[..., ArbiterWorker]) -> None:
    worker = make(7)
    with pytest.raises(SystemExit) as ended:
        worker.load_wsgi()
    assert ended.value.code == 4
    assert "not callable" in worker.log.said[-1]


def test_a_syntax_error_passes_without_the_reloader_and_is_shown_with_it(make: Callable[..., ArbiterWorker]) -> None:
    error = SyntaxError("that is no Python")
    with pytest.raises(SyntaxError):
        make(error).load_wsgi()
    worker = make(error, reload=True)
    worker.load_wsgi()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    broken: Any = worker.asgi
    asyncio.run(broken({"type": "http"}, None, send))
    assert sent[0]["status"] == 500
    assert b"that is no Python" in sent[1]["body"]
    with pytest.raises(NotImplementedError):
        asyncio.run(broken({"type": "lifespan"}, None, send))


@pytest.mark.parametrize(("came", "leaves"), [([signal.SIGHUP], False), ([signal.SIGHUP, signal.SIGINT], True)])
def test_what_came_between_the_fork_and_now_is_heard(
    make: Callable[..., ArbiterWorker], monkeypatch: pytest.MonkeyPatch, came: list[int], leaves: bool
) -> None:
    installed: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", installed.__setitem__)
    monkeypatch.setattr(module, "queued", lambda handler: came if installed else [])  # later, they come to us
    worker = make()
    if leaves:
        with pytest.raises(SystemExit) as ended:
            worker._listen_early()
        assert ended.value.code == 0
    else:
        worker._listen_early()
    assert set(installed) == {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


def test_term_interrupts_the_boot(make: Callable[..., ArbiterWorker]) -> None:
    with pytest.raises(SystemExit) as ended:
        make().handle_exit(signal.SIGTERM, None)
    assert ended.value.code == 0


def test_quit_interrupts_the_boot_and_calls_the_hook(make: Callable[..., ArbiterWorker]) -> None:
    called: list[Any] = []
    worker = make(worker_int=called.append)
    with pytest.raises(SystemExit) as ended:
        worker.handle_quit(signal.SIGQUIT, None)
    assert ended.value.code == 0
    assert called == [worker]


# Signals while it serves


def test_term_begins_the_drain_in_the_loop(make: Callable[..., ArbiterWorker]) -> None:
    worker = make()
    loop, server = running(worker)
    worker.handle_exit(signal.SIGTERM, None)
    assert server.drains == []
    assert worker.alive is False
    for callback in loop.called:
        callback()
    assert server.drains == [("shutdown", None)]


def test_quit_calls_the_hook_once_and_leaves_little_time(make: Callable[..., ArbiterWorker]) -> None:
    called: list[Any] = []
    worker = make(worker_int=called.append)
    loop, server = running(worker)
    worker.handle_quit(signal.SIGINT, None)
    worker.handle_quit(signal.SIGQUIT, None)
    for callback in loop.called:
        callback()
    assert called == [worker]
    assert set(server.drains) == {("shutdown", 0.5)}


def test_quit_does_not_wait_for_a_loop_that_is_blocked(make: Callable[..., ArbiterWorker]) -> None:
    worker = make()
    running(worker)
    worker._beat_at -= 10
    with pytest.raises(SystemExit) as ended:
        worker.handle_quit(signal.SIGQUIT, None)
    assert ended.value.code == 0


def test_abort_tells_what_is_under_way_calls_the_hook_and_exits_with_1(
    make: Callable[..., ArbiterWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Any] = []
    worker = make(worker_abort=called.append)
    loop, _ = running(worker)
    monkeypatch.setattr(module, "tasks_and_requests", lambda loop, requests: f"evidence: {requests}")
    with pytest.raises(SystemExit) as ended:
        worker.handle_abort(signal.SIGABRT, None)
    assert ended.value.code == 1
    assert called == [worker]
    assert "evidence: ['GET /stuck']" in worker.log.said[-1]
    assert loop.called == [loop.stop]  # for uvloop, which may swallow the exception


def test_abort_ends_the_worker_without_evidence_if_need_be(
    make: Callable[..., ArbiterWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> str:
        raise RuntimeError

    worker = make()
    running(worker)
    monkeypatch.setattr(module, "tasks_and_requests", fail)
    with pytest.raises(SystemExit):
        worker.handle_abort(signal.SIGABRT, None)


def test_a_hook_that_raises_stops_nothing(make: Callable[..., ArbiterWorker]) -> None:
    def wrong(worker: Any) -> None:
        raise ValueError

    worker = make(worker_int=wrong)
    loop, _ = running(worker)
    worker.handle_quit(signal.SIGQUIT, None)
    assert worker.log.said == ["exception: Exception in a hook of the worker"]
    assert loop.called


def test_usr1_reopens_in_the_loop_and_without_one_at_once(
    make: Callable[..., ArbiterWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make()
    pointed: list[bool] = []
    monkeypatch.setattr(module, "point_faulthandler", lambda log: pointed.append(True))
    worker.handle_usr1(signal.SIGUSR1, None)
    assert worker.log.said == ["reopen_files: "]
    loop, _ = running(worker)
    worker.handle_usr1(signal.SIGUSR1, None)
    assert len(pointed) == 1
    loop.called[0]()
    assert len(pointed) == 2


# The heartbeat


@pytest.fixture
def beating(make: Callable[..., ArbiterWorker], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """One beat of a worker that serves: the worker, its drains, and how often it notified."""

    def beat(*, ready: bool = True, orphan: bool = False, alive: bool = True, **settings: Any) -> Any:
        worker = make(**settings)
        loop, server = running(worker)
        loop.call_later = lambda delay, callback: loop.called.append((delay, callback))  # type: ignore[attr-defined]
        notified: list[bool] = []
        monkeypatch.setattr(worker, "notify", lambda: notified.append(True))
        worker._is_ready = ready
        worker.alive = alive
        worker.ppid = -1 if orphan else os.getppid()
        worker._watch()
        assert len(loop.called) == 1  # the next beat
        return worker, server.drains, len(notified)

    return beat


def test_a_beat_notifies_the_master_and_plans_the_next(beating: Callable[..., Any]) -> None:
    _, drains, notified = beating()
    assert (drains, notified) == ([], 1)


def test_before_it_is_ready_a_worker_is_not_judged_by_newer_gunicorns(
    beating: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_JUDGED_FROM_THE_FORK", False)
    assert beating(ready=False)[2] == 0
    monkeypatch.setattr(module, "_JUDGED_FROM_THE_FORK", True)
    assert beating(ready=False)[2] == 1


def test_an_orphan_leaves_and_says_so(beating: Callable[..., Any]) -> None:
    worker, drains, _ = beating(orphan=True)
    assert drains == [("orphaned", None)]
    assert worker.log.said[0].startswith("info: Parent changed, shutting down")


def test_a_worker_that_a_hook_declared_dead_leaves(beating: Callable[..., Any]) -> None:
    assert beating(alive=False)[1] == [("recycle", None)]


def test_for_the_reloader_it_leaves_soon(beating: Callable[..., Any]) -> None:
    worker, drains, _ = beating(alive=False, reload=True)
    assert drains == [("recycle", 0.5)]
    assert worker._interval <= 0.2


# Limits and siblings


def test_a_limit_is_told_with_its_reason_and_ends_the_worker(make: Callable[..., ArbiterWorker]) -> None:
    worker = make()
    _, server = running(worker)
    server.snapshot = lambda: type("Snapshot", (), {"served": 12})  # type: ignore[attr-defined]
    worker._retire("max_requests")
    assert worker.alive is False
    assert server.drains == [("recycle", None)]
    assert worker.log.said[0].endswith("max_requests, 12 requests served")


def test_workers_look_at_each_other_where_they_share_a_socket(make: Callable[..., ArbiterWorker]) -> None:
    assert make(workers=1)._rivals() is None
    assert make(workers=2)._rivals() is not None
    shared = make(workers=2, reuse_port=True)._rivals()
    assert (shared is None) == (module.gunicorn.version_info >= (24, 0))
