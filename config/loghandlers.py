"""The pieces of Python's logging that are ours: a handler for sinks, one that hands records over, a filter, a logger.

Which of them are installed where is decided in ``logs``.
"""

from __future__ import annotations

import logging
import sys
from enum import Enum, auto

from .sinks import Sink

__all__ = ["HandOver", "Identify", "Lent", "Route", "SinkHandler", "Steady", "reopen_file_handlers"]


class Route(Enum):
    """Where the lines of one of our two logs go."""

    OWN = auto()
    """To our handlers."""
    FILE = auto()
    """To what the file says for our loggers."""
    ROOT = auto()
    """Up to the root logger."""
    OTHER = auto()
    """To a logger of uvicorn or gunicorn."""


class Steady(logging.Logger):
    """A logger that no logging configuration of an application can silence by the way.

    ``dictConfig`` and ``fileConfig`` disable every logger that exists and is not named, unless they are told not to,
    and an application that configures its own logging (Django's LOGGING) does not mean ours.
    """

    @property
    def disabled(self) -> bool:
        """Always false."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


class Lent(logging.Logger):
    """A logger of another server with our handlers: as ``Steady``, but an application may disable it itself."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "disabled" and sys._getframe(1).f_globals.get("__name__") == "logging.config":
            return
        super().__setattr__(name, value)


class SinkHandler(logging.Handler):
    """Formats records for a sink. It does not own the sink: ``logging.config`` closes handlers at will."""

    def __init__(self, sink: Sink, formatter: logging.Formatter) -> None:
        super().__init__()
        self.sink = sink
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. What cannot be formatted is written unformatted."""
        try:
            line = self.format(record)
        except Exception as problem:  # noqa: BLE001 -- arguments of any kind format themselves; logging must go on
            plain = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, "%s", (), None)
            plain.msg = f"{record.msg!r} (its arguments do not fit: {type(problem).__name__}: {problem})"
            plain.args = None
            line = self.format(plain)
        self.sink.write(line.encode("utf-8", "backslashreplace") + b"\n")


class HandOver(logging.Handler):
    """Gives our records to a logger of another name, with its level, filters and handlers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.target = logging.getLogger(name)

    def emit(self, record: logging.LogRecord) -> None:
        if self.target.isEnabledFor(record.levelno):
            record = logging.makeLogRecord({**record.__dict__, "name": self.target.name})
            self.target.handle(record)


class Identify(logging.Filter):
    """Gives every record of ours the attributes ``identity`` and ``event``, for formats in a user's configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, completed."""
        record.identity = self.text
        if not hasattr(record, "event"):
            record.event = None
        return True


def reopen_file_handlers() -> None:
    """Open the files of handlers from a user's logging configuration again, as gunicorn does on USR1."""
    for handler in _file_handlers():
        _reopen(handler)


def _file_handlers() -> list[logging.FileHandler]:
    known = list(logging.root.manager.loggerDict.values())
    loggers = [logging.getLogger(), *(logger for logger in known if isinstance(logger, logging.Logger))]
    found = {handler: None for logger in loggers for handler in logger.handlers}
    return [handler for handler in found if isinstance(handler, logging.FileHandler)]


def _reopen(handler: logging.FileHandler) -> None:
    handler.acquire()
    try:
        if handler.stream:
            old = handler.setStream(handler._open())
            if old is not None:
                old.close()
    except OSError:  # the old file stays in use
        pass
    finally:
        handler.release()
