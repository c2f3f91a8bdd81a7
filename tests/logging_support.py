"""Logging is one for the whole process: tests that configure it leave it as they found it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from asgi_arbiter.config import logconfig, logs

__all__ = ["untouched"]

_NAMES = ("asgi_arbiter", logs.ARBITER, logs.WORKER, logs.ACCESS, "uvicorn", "uvicorn.access", "gunicorn.error")


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Within the block our loggers are those of a process that has configured nothing."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    saved = [(one.handlers[:], one.filters[:], one.level, one.propagate) for one in loggers]
    root = logging.root.handlers[:], logging.root.level
    before, logs._state, logconfig._cached = logs._state, logs._State(), None
    try:
        yield
    finally:
        logs._state, logconfig._cached = before, None
        for one, (handlers, filters, level, one.propagate) in zip(loggers, saved, strict=True):
            one.handlers[:], one.filters[:] = handlers, filters
            one.setLevel(level)
        logging.root.handlers[:], logging.root.level = root
