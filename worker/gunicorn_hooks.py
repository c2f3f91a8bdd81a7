"""gunicorn's hooks around each request, ``pre_request`` and ``post_request``.

The seam is the application: it is wrapped when one of the hooks is set, so that they cost nothing otherwise. What they
do is theirs: they run in the event loop, and one that blocks blocks it. An exception of ``pre_request`` fails the
request (500), as under gunicorn's own workers; one of ``post_request`` is logged.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .gunicorn_requests import Request, Response, environ

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_arbiter.protocols.asgi import ASGIApplication

__all__ = ["is_own", "with_request_hooks"]


def is_own(cfg: Any, name: str) -> bool:
    """Whether the hook is the user's, not gunicorn's default, which does nothing (``pre_request``: logs for debugging)."""
    setting = cfg.settings.get(name)
    return setting is not None and setting.get() is not setting.default


def with_request_hooks(app: ASGIApplication, worker: Any) -> ASGIApplication:
    """``app`` with the hooks of ``worker.cfg``, or ``app`` itself if there are none."""
    cfg = worker.cfg
    pre = cfg.pre_request if is_own(cfg, "pre_request") or _debugs(worker.log) else None
    post = cfg.post_request if is_own(cfg, "post_request") else None
    if pre is None and post is None:
        return app
    return _Hooked(app, worker, pre, post)


def _debugs(log: Any) -> bool:
    error_log = getattr(log, "error_log", None)
    return isinstance(error_log, logging.Logger) and error_log.isEnabledFor(logging.DEBUG)


class _Hooked:
    """The application between two hooks."""

    def __init__(
        self,
        app: ASGIApplication,
        worker: Any,
        pre: Callable[[Any, Request], object] | None,
        post: Callable[[Any, Request, dict[str, Any], Response], object] | None,
    ) -> None:
        self._app = app
        self._worker = worker
        self._pre = pre
        self._post = post

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._worker.nr += 1
        request = Request.of_scope(scope)
        if self._pre is not None:
            self._pre(self._worker, request)
        if self._post is None:
            await self._app(scope, receive, send)
            return
        response = Response()

        async def watched(message: Any) -> None:
            await send(message)
            response.note(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # What did not begin to answer is answered with 500 by the server.
            response.status_code = response.status_code or 500
            self._after(request, response)

    def _after(self, request: Request, response: Response) -> None:
        assert self._post is not None
        try:
            self._post(self._worker, request, environ(request), response)
        except Exception:  # the hook call
            self._worker.log.exception("Exception in post_request hook")
