"""Hooks in the arbiter: called with gunicorn's arguments, and harmless whatever they do."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_arbiter.arbiter import hooks as module
from asgi_arbiter.arbiter.actions import Spawn
from asgi_arbiter.arbiter.hooks import Hooks
from asgi_arbiter.arbiter.ledger import WorkerHandle
from asgi_arbiter.config import Config

CALLS: list[tuple[Any, ...]] = []


@pytest.fixture(autouse=True)
def user_module() -> Iterator[None]:
    def record(*arguments: Any) -> None:
        CALLS.append(arguments)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("boom")

    def leave(*arguments: Any) -> None:
        raise SystemExit("boom")

    CALLS.clear()
    sys.modules["users_hooks"] = types.ModuleType("users_hooks")
    vars(sys.modules["users_hooks"]).update(record=record, fail=fail, leave=leave)
    yield
    del sys.modules["users_hooks"]


def test_a_hook_gets_the_server_first() -> None:
    hooks = Hooks(Config(nworkers_changed="users_hooks:record", workers=2), 4711)
    hooks.call("nworkers_changed", 3, 2)
    ((server, new, old),) = CALLS
    assert (server.pid, server.num_workers, server.cfg.workers, new, old) == (4711, 3, 2, 3, 2)


def test_the_number_of_workers_is_kept_also_if_nobody_wants_to_hear_of_it() -> None:
    hooks = Hooks(Config(workers=2), 4711)
    hooks.call("nworkers_changed", 3, 2)
    assert hooks.server.num_workers == 3


def test_a_worker_looks_the_same_before_its_fork_and_after_its_end() -> None:
    hooks = Hooks(Config(pre_fork="users_hooks:record", child_exit="users_hooks:record"), 4711)
    hooks.call("pre_fork", Spawn(slot=0, number=2, generation=5, config=Config()))
    hooks.call("child_exit", WorkerHandle(815, 0, 2, 5, born=0.0, since=0.0, deadline=None))
    (_, before), (_, after) = CALLS
    assert (before.pid, before.number, before.generation, before.ppid) == (0, 2, 5, 4711)
    assert (after.pid, after.age, after.cfg) == (815, 2, hooks.server.cfg)


def test_a_reloads_result_is_the_only_argument() -> None:
    Hooks(Config(reload_finished="users_hooks:record"), 1).call("reload_finished", "promoted")
    assert CALLS == [("promoted",)]


def test_what_is_not_set_is_not_called() -> None:
    Hooks(Config(), 1).call("on_exit")
    assert CALLS == []


def test_a_name_that_no_setting_has_is_no_error() -> None:
    Hooks(Config(), 1).call("on_something")


@pytest.mark.parametrize(
    "target", ["users_hooks:fail", "users_hooks:leave", "users_hooks:missing", "no_such_module:hook"]
)
def test_a_hook_that_fails_is_logged_and_changes_nothing(target: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "asgi_arbiter.arbiter"):
        Hooks(Config(on_exit=target), 1).call("on_exit")
    (record,) = caplog.records
    assert target in record.getMessage() and record.event == "hook_failed"  # type: ignore[attr-defined]


def test_a_slow_hook_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    times = iter([100.0, 103.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    with caplog.at_level(logging.WARNING, "asgi_arbiter.arbiter"):
        Hooks(Config(on_exit="users_hooks:record"), 1).call("on_exit")
    assert "took 3.0 s" in caplog.records[0].getMessage()


def test_after_a_reload_the_new_hooks_are_called() -> None:
    hooks = Hooks(Config(), 1)
    hooks.adopt(Config(on_exit="users_hooks:record"))
    hooks.call("on_exit")
    assert len(CALLS) == 1
