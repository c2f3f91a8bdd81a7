"""Calling the operator's hooks in the arbiter. Each is ``module:function``, imported where it is used.

A hook that cannot be imported or that raises is logged and changes nothing: hooks observe, they do not decide. They run
in the arbiter's only thread, so a slow one delays supervision; that is said when it happens.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from asgi_arbiter.worker.hooks import WorkerView

from .actions import Spawn
from .ledger import WorkerHandle

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["Hooks", "ServerView"]

log = logging.getLogger("asgi_arbiter.arbiter")

_SLOW = 1.0
_WITHOUT_SERVER = frozenset({"reload_finished"})


class ServerView:
    """What a hook sees of the arbiter (gunicorn's ``server`` argument)."""

    def __init__(self, config: Config, pid: int) -> None:
        self.cfg = config
        self.pid = pid
        self.log = log
        self.num_workers = config.workers
        self.address: tuple[str, ...] = ()


class Hooks:
    """The hooks of the arbiter, called by their settings' names."""

    def __init__(self, config: Config, pid: int) -> None:
        self.server = ServerView(config, pid)

    def adopt(self, config: Config) -> None:
        """After a reload: the new settings' hooks."""
        self.server.cfg = config

    def call(self, name: str, *arguments: Any) -> None:
        """Call ``name(server, *arguments)``; workers are shown as hooks know them."""
        if name == "nworkers_changed":
            self.server.num_workers = arguments[0]
        target = getattr(self.server.cfg, name, "")
        if not target:
            return
        from asgi_arbiter.config.importer import import_object, prepare_path

        shown = tuple(self._shown(argument) for argument in arguments)
        given = shown if name in _WITHOUT_SERVER else (self.server, *shown)
        began = time.monotonic()
        try:
            prepare_path(self.server.cfg)
            import_object(target)(*given)
        except (Exception, SystemExit):  # the hook call: whatever a hook does, the service goes on
            log.exception("the hook %s (%s) failed", name, target, extra={"event": "hook_failed", "hook": name})
        took = time.monotonic() - began
        if took > _SLOW:
            text = "the hook %s (%s) took %.1f s, during which the arbiter did nothing else"
            log.warning(text, name, target, took, extra={"event": "hook_slow", "hook": name})

    def _shown(self, argument: Any) -> Any:
        """A worker that is to be forked has no pid yet."""
        if not isinstance(argument, (WorkerHandle, Spawn)):
            return argument
        pid = argument.pid if isinstance(argument, WorkerHandle) else 0
        server = self.server
        return WorkerView(argument.number, argument.generation, server.pid, server.cfg, pid=pid, log=log)
