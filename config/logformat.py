"""How a log line looks: as text for a person at three in the morning, or as one JSON object for a machine.

Text::

    2026-07-30 14:03:22.481+02:00 INFO     [worker=2 gen=5 pid=4711] ready in 212 ms

A local time with its offset, the level, who speaks, what is said. The rules:

* Nothing that a client or an application sends can forge a line or reach the terminal: control characters are
  written as ``\\xNN``, and every line after the first of one record is indented.
* JSON lines always have ``ts`` (RFC 3339, UTC), ``level``, ``logger``, ``event`` (a stable name, or null), the
  identity (``role``, ``pid`` and, for a worker, ``worker`` and ``generation``) and ``message``; ``exception`` where there is
  one; then the fields that were given as ``extra``.
* This module formats and writes nothing.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final

__all__ = [
    "Identity",
    "JsonFormatter",
    "TextFormatter",
    "clean",
    "clf_stamp",
    "local_stamp",
    "quote",
    "utc_stamp",
]

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CLEAN: Final = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\n\t"} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_QUOTE: Final = {code: f"\\x{code:02x}" for code in range(256) if not 0x20 <= code < 0x7F} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}
_INDENT: Final = "\n    "
_COLOURS: Final = {5: "34", 10: "36", 20: "32", 30: "33", 40: "31", 50: "91"}
_NOT_EXTRA: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
    "identity",
    "event",
}
_ABOUT: Final = frozenset({"pid", "worker", "generation"})
"""Fields in which a line of the arbiter's says about whom it is, which goes before who says it."""


def clean(text: str) -> str:
    """A message without control characters; the lines after its first are indented."""
    if text.isprintable():
        return text
    return text.replace("\r\n", "\n").rstrip("\n").translate(_CLEAN).replace("\n", _INDENT)


def quote(text: str) -> str:
    """Text from a client, fit to stand between double quotes on one line: plain ASCII, the rest as ``\\xNN``."""
    text = text.translate(_QUOTE)
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode("ascii")


class Identity:
    """Who speaks in a log line: the text that each begins with, and the same as fields."""

    __slots__ = ("fields", "text")

    def __init__(self, text: str) -> None:
        self.fields: dict[str, str | int] = {}
        self.become(text)

    def become(self, text: str) -> None:
        """Speak as somebody else: the process was forked."""
        self.text = text
        self.fields = {"role": "worker" if "worker=" in text else "arbiter"}
        for word in text.split():
            key, found, value = word.partition("=")
            if found:
                self.fields["generation" if key == "gen" else key] = int(value) if value.isdecimal() else value
            else:
                self.fields["role"] = word


class _Second:
    """The parts of a time that change once a second."""

    __slots__ = ("clf", "local", "offset", "second", "utc")

    def __init__(self, second: int) -> None:
        here = time.localtime(second)
        minutes = round(here.tm_gmtoff / 60)
        sign = "-" if minutes < 0 else "+"
        hours, minutes = divmod(abs(minutes), 60)
        self.second = second
        self.local = time.strftime("%Y-%m-%d %H:%M:%S", here)
        self.offset = f"{sign}{hours:02}:{minutes:02}"
        self.utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        # The months by name, since %b would follow the locale that an application sets.
        clock = time.strftime("%Y:%H:%M:%S", here)
        self.clf = f"[{here.tm_mday:02}/{_MONTHS[here.tm_mon - 1]}/{clock} {sign}{hours:02}{minutes:02}]"


_now = _Second(0)
_local = (0, "")


def _second(at: float) -> _Second:
    global _now
    if int(at) != _now.second:
        _now = _Second(int(at))
    return _now


def local_stamp(at: float) -> str:
    """A Unix time as local time with milliseconds and offset: ``2026-07-30 14:03:22.481+02:00``."""
    global _local
    millisecond = int(at * 1000)
    if millisecond != _local[0]:  # a busy worker writes several access lines in one
        second = _second(at)
        _local = (millisecond, f"{second.local}.{millisecond % 1000:03}{second.offset}")
    return _local[1]


def utc_stamp(at: float) -> str:
    """A Unix time after RFC 3339: ``2026-07-30T12:03:22.481Z``."""
    return f"{_second(at).utc}.{int(at * 1000) % 1000:03}Z"


def clf_stamp(at: float) -> str:
    """A Unix time as the Common Log Format has it: ``[30/Jul/2026:14:03:22 +0200]``."""
    return _second(at).clf


class TextFormatter(logging.Formatter):
    """Records as lines for a person."""

    def __init__(self, identity: Identity, *, colours: bool = False) -> None:
        super().__init__()
        self.identity = identity
        self.colours = colours

    def prefix(self, level: int, name: str) -> str:
        """What stands between the time and the message, with the spaces around it."""
        if not self.colours:
            return f" {name:<8} [{self.identity.text}] "
        return f" \x1b[{_COLOURS.get(level, '0')}m{name:<8}\x1b[0m \x1b[2m[{self.identity.text}]\x1b[0m "

    def format(self, record: logging.LogRecord) -> str:
        """One record, without the newline at its end."""
        head = local_stamp(record.created) + self.prefix(record.levelno, record.levelname)
        tail = _exception(self, record)
        return head + clean(record.getMessage()) + (_INDENT + clean(tail) if tail else "")

    def announce(self, count: int, reason: str) -> bytes:
        """The line that tells how many were lost."""
        return f"{local_stamp(time.time())}{self.prefix(30, 'WARNING')}{_lost(count, reason)}\n".encode()


class JsonFormatter(logging.Formatter):
    """Records as JSON objects, one a line."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.identity = identity

    def format(self, record: logging.LogRecord) -> str:
        """One record, without the newline at its end."""
        line: dict[str, Any] = {
            "ts": utc_stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", None),
            **self.identity.fields,
            "message": record.getMessage(),
        }
        exception = _exception(self, record)
        if exception:
            line["exception"] = exception
        for key, value in record.__dict__.items():
            if key not in _NOT_EXTRA and (key not in line or key in _ABOUT):
                line[key] = value
        return dump(line)

    def announce(self, count: int, reason: str) -> bytes:
        """The line that tells how many were lost."""
        line = {
            "ts": utc_stamp(time.time()),
            "level": "warning",
            "logger": "asgi_arbiter",
            "event": "log_lines_lost",
            **self.identity.fields,
            "message": _lost(count, reason),
            "lost": count,
        }
        return dump(line).encode() + b"\n"


def dump(line: dict[str, Any]) -> str:
    """A JSON object on one line of ASCII; what JSON has no form for is written as its ``repr``."""
    try:
        return _encode(line)
    except (TypeError, ValueError):  # keys that are no strings, a structure that contains itself
        plain = {
            str(key): value if isinstance(value, (str, int, type(None))) else repr(value) for key, value in line.items()
        }
        return _encode(plain)


# Made once: `json.dumps` with these arguments makes an encoder for each call.
_encode = json.JSONEncoder(default=repr, separators=(",", ":")).encode


def _lost(count: int, reason: str) -> str:
    return f"{count} log {'line was' if count == 1 else 'lines were'} lost: {reason}"


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(formatter.formatException(record.exc_info))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
