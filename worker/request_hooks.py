"""``pre_request`` and ``post_request``: the application between two hooks.

The seam is the application: it is wrapped only where one of the hooks is set. What they do is theirs: they run in the
event loop, and one that blocks blocks it. ``post_request`` comes when the application has returned, also when it failed.
WebSockets have no such hooks, as in gunicorn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .gunicorn_requests import Request, Response, environ

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_arbiter.protocols.asgi import ASGIApplication

__all__ = ["RequestHooks"]


class RequestHooks:
    """``app`` with the hooks around it. ``worker`` is what they get; its ``nr`` counts the requests."""

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
        """One request of the application; what is no HTTP request passes through."""
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
