"""The hooks around requests, as the operator's (which never raise) and as gunicorn's."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker.hooks import Hooks, WorkerView
from asgi_arbiter.worker.request_hooks import RequestHooks


def hooks(**settings: Any) -> Hooks:
    return Hooks(Config(**settings), number=2, generation=5, arbiter_pid=4711)


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"made"})


SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "raw_path": b"/a",
    "root_path": "",
    "query_string": b"b=1",
    "http_version": "1.1",
    "scheme": "http",
    "client": ("127.0.0.1", 5),
    "headers": [(b"host", b"x")],
}


def one_request(app: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    asyncio.run(app(SCOPE, receive, send))
    return sent


def test_without_hooks_around_requests_the_application_is_left_as_it_is() -> None:
    assert hooks().around(application) is application


def test_hooks_around_a_request_see_it_and_its_response(calls: list[Any]) -> None:
    app = hooks(pre_request="user_hooks:record", post_request="user_hooks:record").around(application)
    assert len(one_request(app)) == 2
    (worker, before), (same, after, environ, response) = calls
    assert (worker, worker.nr) == (same, 1)
    assert (before.method, before.path, before.query) == ("POST", "/a", "b=1")
    assert after is before
    assert environ["REQUEST_METHOD"] == "POST"
    assert (response.status, response.sent) == ("201 Created", 4)


@pytest.mark.parametrize("target", ["user_hooks:fail", "user_hooks:missing"])
def test_a_broken_hook_around_requests_fails_none(
    target: str, calls: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "asgi_arbiter.worker"):
        app = hooks(pre_request=target, post_request=target).around(application)
        assert len(one_request(app)) == 2
    assert [record.event for record in caplog.records] == ["hook_failed"] * 2  # type: ignore[attr-defined]


def test_a_first_hook_that_raises_fails_the_request_as_under_gunicorn() -> None:
    def refuse(worker: Any, request: Any) -> None:
        raise PermissionError("not you")

    view = WorkerView(1, 1, 1, Config())
    with pytest.raises(PermissionError):
        one_request(RequestHooks(application, view, refuse, None))


def test_the_last_hook_hears_of_a_failed_request_too() -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("the application is broken")

    seen: list[Any] = []
    view = WorkerView(1, 1, 1, Config())
    with pytest.raises(ValueError, match="broken"):
        one_request(RequestHooks(failing, view, None, lambda *given: seen.append(given)))
    assert seen[0][3].status_code == 500


def test_what_is_no_request_passes_through() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    view = WorkerView(1, 1, 1, Config())
    hooked = RequestHooks(app, view, lambda *given: seen.append(given), None)
    asyncio.run(hooked({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"] and view.nr == 0
