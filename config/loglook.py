"""uvicorn's look of log lines, and a logging configuration in the shape of its ``LOGGING_CONFIG``, for those who have one.

``asgi_arbiter.config.LOGGING_CONFIG`` is a dictionary for ``log_config``; a program changes it and passes it on, or only
changes it. The classes are ``asgi_arbiter.logging.DefaultFormatter`` and ``.AccessFormatter``. What a format may use
beyond the attributes that every record has:

* both: ``%(levelprefix)s``, the level with its colon, padded, and coloured on a terminal; ``%(identity)s`` and
  ``%(event)s``;
* access: ``%(client_addr)s``, ``%(request_line)s``, ``%(status_code)s`` as in uvicorn; and of ours ``%(duration).3f``,
  ``%(bytes_sent)s`` and the other fields of an access record.

Without any of this the server's lines look as ``logformat`` makes them, which costs less.
"""

from __future__ import annotations

import copy
import logging
import sys
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal

__all__ = ["LOGGING_CONFIG", "AccessFormatter", "DefaultFormatter", "changed"]

LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "asgi_arbiter.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "asgi_arbiter.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
            "use_colors": None,
        },
    },
    "handlers": {
        "default": {"class": "logging.StreamHandler", "formatter": "default", "stream": "ext://sys.stderr"},
        "access": {"class": "logging.StreamHandler", "formatter": "access", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "asgi_arbiter": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "asgi_arbiter.error": {"level": "INFO"},
        "asgi_arbiter.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
"""``asgi_arbiter.error`` stands for both parts of the server's log, ``asgi_arbiter.arbiter`` and ``.worker``."""
_ORIGINAL: Final = copy.deepcopy(LOGGING_CONFIG)

_WIDTH: Final = 8
_LEVELS: Final = {5: "34", 10: "36", 20: "32", 30: "33", 40: "31", 50: "91"}
_STATUS: Final = {1: "97", 2: "32", 3: "33", 4: "31", 5: "91"}


def changed() -> dict[str, Any] | None:
    """``LOGGING_CONFIG`` if the program has changed something in it, else None."""
    return LOGGING_CONFIG if LOGGING_CONFIG != _ORIGINAL else None


class DefaultFormatter(logging.Formatter):
    """Formats with ``%(levelprefix)s``, in colours if ``use_colors`` says so or if it is None and there is a terminal."""

    stream: ClassVar[str] = "stderr"
    """Where the lines go by default, and hence whose terminal is asked."""

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
        *,
        defaults: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style, defaults=defaults)
        self.use_colors = use_colors if isinstance(use_colors, bool) else _is_terminal(self.stream)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, without what an exception adds."""
        prefix = _painted(record.levelname, _LEVELS.get(record.levelno), self.use_colors)
        fields = {"levelprefix": prefix + ":" + " " * (_WIDTH - len(record.levelname)), **self.fields(record)}
        completed = logging.makeLogRecord({**record.__dict__, **fields})
        return super().formatMessage(completed)

    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        """What the format may use of this record alone."""
        return {}


class AccessFormatter(DefaultFormatter):
    """The same for requests. Records that are none get empty fields."""

    stream = "stdout"

    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        """Client, request line and status, from the five arguments of an access record."""
        args = record.args
        if not isinstance(args, tuple) or len(args) != 5:
            return dict.fromkeys(("client_addr", "request_line", "status_code"), "")
        client, method, path, version, status = args
        line = _painted(f"{method} {path} HTTP/{version}", "1", self.use_colors)
        return {"client_addr": str(client), "request_line": line, "status_code": self.status(status)}

    def status(self, code: object) -> str:
        """``200 OK``."""
        number = code if isinstance(code, int) else 0
        try:
            text = f"{code} {HTTPStatus(number).phrase}"
        except ValueError:
            text = f"{code} "
        return _painted(text, _STATUS.get(number // 100), self.use_colors)


def _painted(text: str, colour: str | None, use_colors: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if use_colors and colour else text


def _is_terminal(name: str) -> bool:
    try:
        return bool(getattr(sys, name).isatty())
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False
