"""The steps of a worker's life that do not change the process that runs the test; the whole life is for real processes."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import AppImportError, ExitCode
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker import process as module
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.orders import Dismissed, Orders
from asgi_arbiter.worker.phases import ServerPhase, ServerSnapshot
from asgi_arbiter.worker.preparation import Prepared
from asgi_arbiter.worker.process import WorkerSpec, _Worker, run
from asgi_arbiter.worker.pulse import PulseBoard, PulsePhase


@pytest.fixture
def arbiter() -> Iterator[Mailbox]:
    """The arbiter's end of the worker's mailbox; ``spec`` has the other."""
    ours, theirs = open_pair()
    mailbox = Mailbox(ours)
    mailbox_ends[mailbox] = theirs
    yield mailbox
    mailbox_ends.pop(mailbox).close()
    mailbox.close()


mailbox_ends: dict[Mailbox, Any] = {}


@pytest.fixture
def spec(arbiter: Mailbox) -> Iterator[WorkerSpec]:
    board = PulseBoard(2)
    yield WorkerSpec(
        slot=1,
        number=3,
        generation=2,
        config=Config(app="main:app"),
        listeners=(),
        board=board,
        mailbox=mailbox_ends[arbiter],
        arbiter_pid=os.getppid(),
    )
    board.close()


@pytest.fixture(autouse=True)
def harmless(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The end of a worker without the end of the test's own process; what was called."""
    called: list[str] = []
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: called.append("atexit"))
    monkeypatch.setattr(Orders, "close", lambda self: called.append("orders closed"))
    return called


def outcome(spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> ExitCode:
    """What ``run`` returns when the life of the worker ends with ``error``."""

    def live(self: _Worker) -> ExitCode:
        if error is not None:
            raise error
        return ExitCode.OK

    monkeypatch.setattr(_Worker, "live", live)
    return run(spec)


def test_a_life_without_errors_ends_well(
    spec: WorkerSpec, arbiter: Mailbox, harmless: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome(spec, monkeypatch, None) is ExitCode.OK
    assert arbiter.receive() == []
    assert harmless == ["orders closed", "atexit"]


def test_being_told_to_leave_while_booting_is_no_failure(
    spec: WorkerSpec, arbiter: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome(spec, monkeypatch, Dismissed()) is ExitCode.OK
    assert arbiter.receive() == []


def test_a_failure_reaches_the_arbiter_with_its_code_and_the_users_traceback(
    spec: WorkerSpec, arbiter: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = AppImportError("no module", traceback_text="Traceback ...")
    assert outcome(spec, monkeypatch, error) is ExitCode.APP_IMPORT
    assert arbiter.receive() == [{"kind": "failed", "code": 4, "reason": "no module", "traceback": "Traceback ..."}]
    assert caplog.records == []  # the arbiter tells it once for all workers


@pytest.mark.parametrize("error", [RuntimeError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_an_unforeseen_error_reaches_the_arbiter_too(
    error: BaseException, spec: WorkerSpec, arbiter: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome(spec, monkeypatch, error) is ExitCode.FAILED
    (message,) = arbiter.receive()
    assert message["code"] == ExitCode.FAILED
    assert type(error).__name__ in message["reason"]
    assert "in live" in message["traceback"]


def test_exit_functions_that_fail_are_logged_and_change_nothing(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("telemetry is down")

    monkeypatch.setattr(atexit, "_run_exitfuncs", fail)
    with caplog.at_level(logging.ERROR):
        assert outcome(spec, monkeypatch, None) is ExitCode.OK
    assert "atexit failed" in caplog.text


def test_inherited_descriptors_are_closed_and_those_already_closed_do_no_harm(spec: WorkerSpec) -> None:
    read, write = os.pipe()
    os.close(write)
    worker = _Worker(WorkerSpec(**{**fields_of(spec), "inherited": (read, write, read)}))
    worker._close_inherited()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)


def fields_of(spec: WorkerSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in WorkerSpec.__slots__}


def test_being_ready_is_told_after_the_garbage_of_the_boot_is_gone(
    spec: WorkerSpec, arbiter: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda: did.append("collect"))
    monkeypatch.setattr(gc, "freeze", lambda: did.append("freeze"))
    _Worker(spec)._ready()
    assert did == ["collect", "freeze"]
    assert arbiter.receive() == [{"kind": "ready"}]


def test_beats_reach_the_board_and_the_first_of_the_drain_is_told(spec: WorkerSpec, arbiter: Mailbox) -> None:
    worker = _Worker(spec)
    worker._beat(ServerSnapshot(ServerPhase.SERVING, connections=5, served=8))
    reading = spec.board.read(1)
    assert reading is not None
    assert (reading.phase, reading.connections, reading.served) == (PulsePhase.SERVING, 5, 8)
    assert arbiter.receive() == []
    worker._beat(ServerSnapshot(ServerPhase.DRAINING))
    worker._beat(ServerSnapshot(ServerPhase.DRAINING))
    assert arbiter.receive() == [{"kind": "leaving"}]


def test_a_limit_reached_is_told_and_the_hook_is_the_arbiters_to_call(
    spec: WorkerSpec, arbiter: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    module: Any = ModuleType("user_hooks")
    module.retiring = lambda *arguments: heard.append(arguments)
    monkeypatch.setitem(sys.modules, "user_hooks", module)
    config = Config(worker_retiring="user_hooks:retiring")
    _Worker(WorkerSpec(**{**fields_of(spec), "config": config}))._retire("memory")
    assert arbiter.receive() == [{"kind": "retiring", "reason": "memory"}]
    assert heard == []


def test_a_worker_from_a_mold_has_the_application_and_a_name_of_its_own(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[Any] = []
    monkeypatch.setattr(gc, "enable", lambda: did.append("collector on"))
    monkeypatch.setattr(atexit, "_clear", lambda: did.append("atexit emptied"))
    monkeypatch.setattr(logs, "rename", did.append)
    monkeypatch.setattr(module, "set_title", did.append)
    app, tls = object(), object()
    worker = _Worker(spec)
    assert worker._take_over(Prepared(app, tls)) is app  # type: ignore[arg-type]
    assert worker._tls is tls
    assert did == [
        "collector on",
        "atexit emptied",
        "asgi-arbiter: worker 3 gen 2 [main:app]",
        f"worker=3 gen=2 pid={os.getpid()}",
    ]
