"""The forms in which uvicorn takes a value, turned into those of the settings table. Pure but for reading an open file.

Only what a program can write and a file cannot: levels as numbers, headers as pairs, paths as objects, a configuration of
logging as a dictionary, a parser or an open file.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from typing import Any

from asgi_arbiter.config import InvalidSetting
from asgi_arbiter.config.settings import names

__all__ = ["changed_logging", "held", "spoken", "take_log_config"]

_LEVELS = {5: "trace", 10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
_HANDS_OFF: dict[str, Any] = {"version": 1, "incremental": True, "root": {}}
"""For workers: a configuration of logging that changes nothing and sends our lines up to the program's own handlers."""


def spoken(name: str, value: Any) -> Any:
    """uvicorn's forms of a value in those of the table."""
    setting = names().get(name, name)
    if setting in ("ws_ping_interval", "ws_ping_timeout"):
        return 0.0 if value is None else value
    if value is None:
        return None
    if setting == "log_level" and isinstance(value, int) and not isinstance(value, bool):
        return next((word for number, word in _LEVELS.items() if value <= number), "critical")
    if setting == "headers" and isinstance(value, (list, tuple, Mapping)):
        pairs = value.items() if isinstance(value, Mapping) else value
        return [item if isinstance(item, str) else _header(item) for item in pairs]
    if setting in ("env_file", "reload_dirs", "reload_includes", "reload_excludes"):
        several = value if isinstance(value, (list, tuple, set)) else [value]  # never split at commas, as in uvicorn
        return [os.fspath(item) if isinstance(item, os.PathLike) else item for item in several]
    if setting == "workers" and value == 0:
        return None
    return value


def _header(pair: Any) -> str:
    try:
        name, value = (part.decode("latin-1") if isinstance(part, bytes) else str(part) for part in pair)
    except (TypeError, ValueError):
        raise InvalidSetting(f"Config(), headers: expected pairs of name and value, found {pair!r}") from None
    return f"{name}:{value}"


def take_log_config(words: dict[str, Any], objects: dict[str, Any]) -> None:
    """Everything that uvicorn takes as ``log_config``; a path is left among the words."""
    given = words["log_config"]
    if isinstance(given, (str, os.PathLike)):
        return
    del words["log_config"]
    objects["log_config"] = _HANDS_OFF if given is None else dict(given) if isinstance(given, Mapping) else given


def changed_logging() -> dict[str, Any] | None:
    """``asgi_arbiter.config.LOGGING_CONFIG``, if the program has changed it: it need not pass it on, as in uvicorn."""
    module = sys.modules.get("asgi_arbiter.config.loglook")
    return module.changed() if module is not None else None


def held(given: object) -> object:
    """A logging configuration in a form that can be read more than once."""
    from configparser import RawConfigParser

    from asgi_arbiter.config import logconfig

    if isinstance(given, RawConfigParser):
        written = io.StringIO()
        given.write(written)
        return logconfig.ini(written.getvalue(), "the given parser")
    if isinstance(given, (str, os.PathLike, Mapping, logconfig.LogConfig, type(None))):
        return given
    if hasattr(given, "read"):
        text = given.read()
        return logconfig.ini(text if isinstance(text, str) else text.decode(), str(getattr(given, "name", "the file")))
    raise InvalidSetting(f"Config(), log_config: expected a dictionary, a path or None, found {given!r}")
