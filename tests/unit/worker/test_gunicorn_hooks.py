"""gunicorn's hooks around each request."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.worker.gunicorn_hooks import is_own, with_request_hooks

config = pytest.importorskip("gunicorn.config")


class Log:
    """gunicorn's logger, as far as hooks meet it."""

    def __init__(self, level: int = logging.INFO) -> None:
        self.error_log = logging.Logger("gunicorn.error", level)
        self.exceptions: list[str] = []
        self.debugged: list[str] = []

    def exception(self, text: str) -> None:
        self.exceptions.append(text)

    def debug(self, text: str, *args: object) -> None:
        self.debugged.append(text % args if args else text)


def worker(level: int = logging.INFO, **hooks: Any) -> Any:
    cfg = config.Config()
    for name, hook in hooks.items():
        cfg.set(name, hook)
    return SimpleNamespace(cfg=cfg, log=Log(level), nr=0)


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"four"})


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise LookupError("no such thing")


def call(app: Any, kind: str = "http") -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {
        "type": kind,
        "method": "GET",
        "raw_path": b"/p",
        "root_path": "",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "client": None,
        "headers": [(b"host", b"t")],
    }
    asyncio.run(app(scope, None, send))
    return sent


def test_without_hooks_the_application_is_left_alone() -> None:
    assert with_request_hooks(answering, worker()) is answering


def test_the_default_pre_request_logs_where_debugging_is_on() -> None:
    talking = worker(logging.DEBUG)
    call(with_request_hooks(answering, talking))
    assert talking.log.debugged == ["GET /p"]


def test_both_hooks_see_the_request_and_the_second_the_response() -> None:
    seen: list[Any] = []

    def pre(worker: Any, req: Any) -> None:
        seen.append(("pre", worker.nr, req.method, req.path))

    def post(worker: Any, req: Any, environ: Any, resp: Any) -> None:
        seen.append(("post", environ["HTTP_HOST"], resp.status, resp.sent))

    assert call(with_request_hooks(answering, worker(pre_request=pre, post_request=post))) == [
        "http.response.start",
        "http.response.body",
    ]
    assert seen == [("pre", 1, "GET", "/p"), ("post", "t", "201 Created", 4)]


def test_hooks_of_older_shapes_are_called_as_gunicorn_calls_them() -> None:
    seen = []
    call(with_request_hooks(answering, worker(post_request=lambda worker, req: seen.append(req.uri))))
    assert seen == ["/p"]


def test_an_application_that_fails_is_a_500_for_the_hook() -> None:
    seen = []
    hooked = with_request_hooks(failing, worker(post_request=lambda worker, req, env, resp: seen.append(resp.status)))
    with pytest.raises(LookupError):
        call(hooked)
    assert seen == ["500 Internal Server Error"]


def test_a_pre_request_that_raises_keeps_the_request_from_the_application() -> None:
    def refuse(worker: Any, req: Any) -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        call(with_request_hooks(answering, worker(pre_request=refuse)))


def test_a_post_request_that_raises_is_logged() -> None:
    def wrong(worker: Any, req: Any, environ: Any, resp: Any) -> None:
        raise ValueError

    failing_hook = worker(post_request=wrong)
    assert call(with_request_hooks(answering, failing_hook))
    assert failing_hook.log.exceptions == ["Exception in post_request hook"]


def test_other_scopes_pass_by() -> None:
    seen: list[Any] = []
    hooked = with_request_hooks(answering, worker(pre_request=lambda worker, req: seen.append(req)))
    assert call(hooked, "websocket")
    assert seen == []


def test_a_hook_that_this_gunicorn_does_not_know_is_nobodys() -> None:
    assert not is_own(config.Config(), "no_such_hook")
