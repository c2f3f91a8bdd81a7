"""gunicorn's logger for our records: requests into its access log, everything else into its error log.

Format, files, syslog and statsd are gunicorn's business: records go through ``log.access`` and the logger
``gunicorn.error``, hence through whatever ``logger_class`` makes of them.
"""

from __future__ import annotations

import logging
import sys
from typing import IO, TYPE_CHECKING, Any

from .gunicorn_requests import Request, RequestTime, Response, environ

if TYPE_CHECKING:
    from asgi_arbiter.config.access import AccessRecord

__all__ = ["AccessToGunicorn", "adopt", "error_stream", "wants_access"]

_OURS = "asgi_arbiter"


def wants_access(log: Any, plain: object) -> bool:
    """Whether access records go anywhere: the access log is on, or ``log`` does something of its own with them
    (statsd). ``plain`` is gunicorn's own ``Logger.access``, which drops them when the log is off."""
    if getattr(type(log), "access", plain) is not plain:
        return True
    enabled = getattr(log, "access_log_enabled", None)  # since 25
    if enabled is not None:
        return bool(enabled)
    cfg = log.cfg
    return bool(
        cfg.accesslog
        or cfg.logconfig
        or cfg.logconfig_dict
        or getattr(cfg, "logconfig_json", None)
        or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
    )


class AccessToGunicorn:
    """Writes access records with gunicorn's ``log.access``."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __call__(self, record: AccessRecord) -> None:
        """Write one record. Whatever a ``logger_class`` raises is logged and harms nobody."""
        request = Request.of_record(record)
        response = Response(record.status, record.response_headers or (), record.bytes_sent)
        try:
            self._log.access(response, request, environ(request), RequestTime(seconds=record.duration))
        except Exception:  # noqa: BLE001 -- a user's logger class is called
            self._log.exception("Exception in the access log")


def adopt(log: Any) -> None:
    """Send the records of our loggers to ``log``. May be repeated."""
    ours = logging.getLogger(_OURS)
    for handler in [handler for handler in ours.handlers if isinstance(handler, _ToGunicorn)]:
        ours.removeHandler(handler)
    ours.addHandler(_ToGunicorn(log))
    ours.propagate = False
    target = getattr(log, "error_log", None)
    ours.setLevel(target.getEffectiveLevel() if isinstance(target, logging.Logger) else logging.INFO)


class _ToGunicorn(logging.Handler):
    """Hands records over to gunicorn's error log."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log
        target = getattr(log, "error_log", None)
        self._target = target if isinstance(target, logging.Logger) else None

    def emit(self, record: logging.LogRecord) -> None:
        """Give the record to the logger, or, if the logger class has none, the message to its ``log``."""
        if self._target is None:
            self._log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        elif self._target.isEnabledFor(record.levelno):
            self._target.handle(logging.makeLogRecord({**record.__dict__, "name": self._target.name}))


def error_stream(log: Any) -> IO[Any]:
    """The file behind the error log, for what is written below Python: the stream of its first handler that has a
    descriptor, else standard error."""
    target = getattr(log, "error_log", None)
    streams: list[Any] = [getattr(each, "stream", None) for each in getattr(target, "handlers", ())]
    for stream in streams:
        try:
            stream.fileno()
        except (AttributeError, OSError, ValueError):
            continue
        found: IO[Any] = stream
        return found
    return sys.__stderr__ or sys.stderr
