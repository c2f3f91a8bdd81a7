"""Calling the user's hooks in a worker. Each is ``module:function``, imported where it is used.

A hook that cannot be imported or that raises is logged and changes nothing: hooks observe, they do not decide.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.records import Record, made

if TYPE_CHECKING:
    from asgi_arbiter.config import Config
    from asgi_arbiter.protocols.asgi import ASGIApplication

__all__ = ["ArbiterView", "Hooks", "WorkerView"]

log = logging.getLogger("asgi_arbiter.worker")


def _short(view: Any) -> str:
    """For log lines; the settings are long and may have a password."""
    return f"<{type(view).__name__} {view.pid}>"


class ArbiterView(Record, frozen=False):
    """What a hook in a worker sees of the arbiter (gunicorn's ``server`` argument)."""

    __repr__ = _short

    pid: int
    cfg: Config
    log: logging.Logger = made(lambda: logging.getLogger("asgi_arbiter.worker"))


class WorkerView(Record, frozen=False):
    """What a hook sees of the worker (gunicorn's ``worker`` argument)."""

    __repr__ = _short

    number: int
    generation: int
    ppid: int
    cfg: Config
    pid: int = made(os.getpid)
    log: logging.Logger = made(lambda: logging.getLogger("asgi_arbiter.worker"))
    nr: int = 0
    """gunicorn's name for the number of requests so far; counted only where ``pre_request`` or ``post_request`` is set."""

    @property
    def age(self) -> int:
        """gunicorn's name for the number."""
        return self.number


_IN_WORKERS = (
    "post_fork",
    "post_worker_init",
    "worker_ready",
    "worker_retiring",
    "worker_int",
    "worker_abort",
    "worker_exit",
    "pre_request",
    "post_request",
)


class Hooks:
    """The hooks of one worker, called by their settings' names."""

    def __init__(self, config: Config, *, number: int, generation: int, arbiter_pid: int) -> None:
        self._config = config
        self._arbiter = ArbiterView(arbiter_pid, config)
        self._worker = WorkerView(number, generation, arbiter_pid, config)

    def has(self, name: str) -> bool:
        """Whether the setting ``name`` names a hook."""
        return bool(getattr(self._config, name))

    def with_arbiter(self, name: str) -> None:
        """Call ``name(arbiter, worker)``."""
        self._call(name, self._arbiter, self._worker)

    def with_worker(self, name: str, *more: object) -> None:
        """Call ``name(worker, *more)``."""
        self._call(name, self._worker, *more)

    def import_all(self) -> None:
        """Import the hooks of workers now, in a mold, so that no worker of it reads them from the disk later. One that
        cannot be imported is told when it is called."""
        from asgi_arbiter.config.errors import AppImportError

        for name in _IN_WORKERS:
            target = getattr(self._config, name)
            if target:
                try:
                    _imported(target)
                except (AppImportError, SystemExit):
                    pass

    def around(self, app: ASGIApplication) -> ASGIApplication:
        """``app`` with ``pre_request`` and ``post_request`` around each request; ``app`` itself if neither is set, so
        that they cost nothing otherwise."""
        pre, post = self._found("pre_request"), self._found("post_request")
        if pre is None and post is None:
            return app
        from .request_hooks import RequestHooks

        return RequestHooks(app, self._worker, pre, post)

    def _found(self, name: str) -> Callable[..., None] | None:
        """The hook as a function that never raises, imported now rather than for each request."""
        target = getattr(self._config, name)
        hook = self._guarded(name, _imported, target) if target else None
        if hook is not None and name == "post_request":
            hook = _with_fewer(hook)
        return None if hook is None else lambda *arguments: self._guarded(name, hook, *arguments)

    def _call(self, name: str, *arguments: object) -> None:
        target = getattr(self._config, name)
        if target:
            self._guarded(name, lambda: _imported(target)(*arguments))

    def _guarded(self, name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """What ``function`` returns; None if it raises, which is logged and changes nothing."""
        try:
            return function(*arguments)
        except (Exception, SystemExit):  # the hook call
            target = getattr(self._config, name)
            log.exception("the hook %s (%s) failed", name, target, extra={"event": "hook_failed", "hook": name})
            return None


def _with_fewer(post_request: Callable[..., Any]) -> Callable[..., Any]:
    """Call it with as many of the four arguments as it takes: older functions have no response, the oldest no environ."""
    from asgi_arbiter.config.interfaces import takes

    count = next((each for each in (4, 3, 2) if takes(post_request, each) is not False), 4)
    return post_request if count == 4 else lambda *arguments: post_request(*arguments[:count])


def _imported(target: str) -> Any:
    from asgi_arbiter.config.importer import import_object

    return import_object(target)
