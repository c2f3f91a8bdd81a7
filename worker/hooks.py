"""Calling the user's hooks in a worker. Each is ``module:function``, imported where it is used.

A hook that cannot be imported or that raises is logged and changes nothing: hooks observe, they do not decide.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["ArbiterView", "Hooks", "WorkerView"]

log = logging.getLogger("asgi_arbiter.worker")


@dataclass(slots=True)
class ArbiterView:
    """What a hook in a worker sees of the arbiter (gunicorn's ``server`` argument)."""

    pid: int
    cfg: Config
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("asgi_arbiter.worker"))


@dataclass(slots=True)
class WorkerView:
    """What a hook sees of the worker (gunicorn's ``worker`` argument)."""

    number: int
    generation: int
    ppid: int
    cfg: Config
    pid: int = field(default_factory=os.getpid)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("asgi_arbiter.worker"))

    @property
    def age(self) -> int:
        """gunicorn's name for the number."""
        return self.number


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

    def _call(self, name: str, *arguments: object) -> None:
        target = getattr(self._config, name)
        if not target:
            return
        from asgi_arbiter.config.importer import import_object

        try:
            import_object(target)(*arguments)
        except Exception:  # the hook call
            log.exception("the hook %s (%s) failed", name, target, extra={"event": "hook_failed", "hook": name})
