"""gunicorn's hooks around each request, ``pre_request`` and ``post_request``.

They are called as under gunicorn's own workers: an exception of ``pre_request`` fails the request (500), one of
``post_request`` is logged. How they come around the application is in ``request_hooks``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .request_hooks import RequestHooks

if TYPE_CHECKING:
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
    return RequestHooks(app, worker, pre, post)


def _debugs(log: Any) -> bool:
    error_log = getattr(log, "error_log", None)
    return isinstance(error_log, logging.Logger) and error_log.isEnabledFor(logging.DEBUG)
