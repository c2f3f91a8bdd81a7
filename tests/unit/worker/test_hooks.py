"""The user's hooks: called with what gunicorn's are called with, and never in a position to break anything."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from asgi_arbiter.config.errors import AppImportError
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker import hooks as module
from asgi_arbiter.worker.hooks import Hooks


def hooks(**settings: Any) -> Hooks:
    return Hooks(Config(**settings), number=2, generation=5, arbiter_pid=4711)


def test_a_hook_that_is_not_set_is_not_called(calls: list[Any]) -> None:
    made = hooks(post_fork="user_hooks:record")
    assert made.has("post_fork")
    assert not made.has("worker_exit")
    made.with_arbiter("worker_exit")
    assert calls == []


def test_hooks_see_the_arbiter_and_the_worker(calls: list[Any]) -> None:
    made = hooks(post_fork="user_hooks:record", worker_retiring="user_hooks:record")
    made.with_arbiter("post_fork")
    made.with_worker("worker_retiring", "memory")
    (arbiter, worker), (same, reason) = calls
    assert arbiter.pid == worker.ppid == 4711
    assert (worker.pid, worker.number, worker.age, worker.generation) == (os.getpid(), 2, 2, 5)
    assert worker.cfg.post_fork == "user_hooks:record"
    assert isinstance(worker.log, logging.Logger)
    assert (same, reason) == (worker, "memory")


@pytest.mark.parametrize("target", ["user_hooks:fail", "user_hooks:missing", "no_such_module:x"])
def test_a_broken_hook_is_logged_and_changes_nothing(
    target: str, calls: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "asgi_arbiter.worker"):
        hooks(worker_int=target).with_worker("worker_int")
    assert caplog.messages == [f"the hook worker_int ({target}) failed"]


def test_a_mold_imports_the_hooks_of_its_workers_and_does_not_complain(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []

    def look(target: str) -> None:
        imported.append(target)
        if target == "nowhere:hook":
            raise AppImportError("there is no module nowhere")

    monkeypatch.setattr(module, "_imported", look)
    hooks(post_fork="nowhere:hook", worker_exit="user_hooks:record", on_exit="user_hooks:fail").import_all()
    assert imported == ["nowhere:hook", "user_hooks:record"]


def test_what_a_hook_sees_is_short_in_a_log_line(calls: list[Any]) -> None:
    hooks(post_fork="user_hooks:record", keyfile_password="secret").with_arbiter("post_fork")
    [(arbiter, worker)] = calls
    assert (repr(arbiter), str(worker)) == ("<ArbiterView 4711>", f"<WorkerView {os.getpid()}>")


@pytest.mark.parametrize("count", [2, 3, 4])
def test_post_request_may_take_fewer_arguments_as_in_older_settings_of_gunicorn(count: int) -> None:
    seen: list[Any] = []
    older = [lambda a, b: seen.extend((a, b)), lambda a, b, c: seen.extend((a, b, c))]
    newest = lambda a, b, c, d: seen.extend((a, b, c, d))  # noqa: E731
    module._with_fewer([*older, newest][count - 2])("worker", "request", "environ", "response")
    assert seen == ["worker", "request", "environ", "response"][:count]
