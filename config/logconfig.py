"""Reads the file of ``--log-config`` and decides which loggers our lines go to when there is one.

A file in the form of ``logging.config``: ``.json``, ``.yaml``/``.yml``, anything else as ini. Existing loggers are not
disabled by an ini file. Where our lines go is decided for the server's log and for the access log alone, by the names
of the loggers that the file defines; the first that applies:

1. one of ours (``asgi_arbiter``, ``asgi_arbiter.arbiter``, ``.worker``, ``.access``, and ``asgi_arbiter.error`` for
   both of ``.arbiter`` and ``.worker``): the file is obeyed;
2. those of uvicorn (``uvicorn``, ``uvicorn.error``, ``uvicorn.access``) or of gunicorn (``gunicorn.error``,
   ``gunicorn.access``): our records are handed to them, so that a file written for one of these servers serves;
3. the root logger: our records go up to it;
4. none of these: our own handlers stay.

A file may name uvicorn's formatters (``uvicorn.logging.AccessFormatter``); ours are taken for them where uvicorn is not
installed. ``python:MODULE:NAME`` is a dictionary in a module, the ``logconfig_dict`` of a ``gunicorn.conf.py``; as with gunicorn it
replaces parts of a default one.

The file is read once by the process that starts; children made by fork apply what their parent read, so that a file
broken by a later edit cannot keep a worker from being replaced. A reload reads it again.
"""

from __future__ import annotations

import configparser
import importlib.util
import io
import json
import logging
import logging.config
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .errors import InvalidSetting, MissingExtra, SourceUnreadable
from .loghandlers import Route
from .records import Record

__all__ = ["IN_PYTHON", "LogConfig", "ini", "read"]

IN_PYTHON: Final = "python:"
_GUNICORN: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
        },
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"},
    },
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": True},
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": True},
    },
}
"""What ``logconfig_dict`` of gunicorn is laid over, key by key: files name its handlers and formatter."""
_ERROR: Final = "asgi_arbiter.error"
_PARTS: Final = ("asgi_arbiter.arbiter", "asgi_arbiter.worker")
_OURS_SERVER: Final = frozenset({"asgi_arbiter", _ERROR, *_PARTS})
_OURS_ACCESS: Final = frozenset({"asgi_arbiter", "asgi_arbiter.access"})
_SERVER_OF: Final = (
    (frozenset({"uvicorn", "uvicorn.error"}), "uvicorn.error"),
    (frozenset({"gunicorn", "gunicorn.error"}), "gunicorn.error"),
)
_ACCESS_OF: Final = (
    (frozenset({"uvicorn", "uvicorn.access"}), "uvicorn.access"),
    (frozenset({"gunicorn", "gunicorn.access"}), "gunicorn.access"),
)
_THEIR_FORMATTERS: Final = "uvicorn.logging."
_OUR_FORMATTERS: Final = "asgi_arbiter.logging."
# What a logging configuration can fail with: it evaluates expressions and imports and calls what it names.
_REJECTIONS: Final = (
    ArithmeticError,
    AttributeError,
    AssertionError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    configparser.Error,
)


class LogConfig(Record):
    """A logging configuration that was read and can be applied."""

    source: str
    """The path, for messages."""
    content: dict[str, Any] | str
    """A dictionary for ``dictConfig``, or the text of an ini file."""
    names: frozenset[str]
    """The loggers that it defines; the root logger is the empty name."""

    def apply(self, *, use_colors: bool | None = None) -> None:
        """Configure Python's logging. Raises ``InvalidSetting`` if logging refuses.

        ``use_colors`` decides for all formatters that have such an argument, unless it is None.
        """
        try:
            if isinstance(self.content, str):
                folder = str(Path(self.source).resolve().parent)
                defaults = {"__file__": self.source, "here": folder}
                logging.config.fileConfig(io.StringIO(self.content), defaults, disable_existing_loggers=False)
            else:
                logging.config.dictConfig(_completed(self.content, use_colors))
        except _REJECTIONS as problem:
            cause = problem.__cause__
            why = f"{_one_line(problem)}: {_one_line(cause)}" if cause else _one_line(problem)
            raise InvalidSetting(f"log_config: {self.source}: {why}") from problem

    def server_route(self) -> tuple[Route, str]:
        """Where the server's log goes, and to which logger if that is another's."""
        return self._route(_OURS_SERVER, _SERVER_OF)

    def access_route(self) -> tuple[Route, str]:
        """The same for the access log."""
        return self._route(_OURS_ACCESS, _ACCESS_OF)

    def _route(self, ours: frozenset[str], others: tuple[tuple[frozenset[str], str], ...]) -> tuple[Route, str]:
        if self.names & ours:
            return Route.FILE, ""
        for names, target in others:
            if self.names & names:
                return Route.OTHER, target
        return (Route.ROOT, "") if "" in self.names else (Route.OWN, "")


_cached: tuple[int, LogConfig] | None = None


def read(given: str | Mapping[str, Any] | LogConfig) -> LogConfig:
    """Read a logging configuration from a path, or take one that a program holds already (embedded use).

    Raises:
        SourceUnreadable: the file is missing, unreadable or malformed; the message has the place.
        MissingExtra: the file is YAML and PyYAML is not installed.
    """
    global _cached
    if isinstance(given, LogConfig):
        return given
    if isinstance(given, Mapping):
        return LogConfig("the given dictionary", dict(given), _names_in(given))
    if _cached is not None and _cached[0] != os.getpid() and _cached[1].source == given:
        return _cached[1]
    found = _read_module(given) if given.startswith(IN_PYTHON) else _read_file(given)
    _cached = (os.getpid(), found)
    return found


def ini(text: str, source: str) -> LogConfig:
    """A logging configuration in ini form from its text; ``source`` is its name in messages. Raises as `read` does."""
    names = _names_in_ini(source, text)
    if not _has_uvicorn():
        text = re.sub(rf"(?m)^(class\s*[=:]\s*){re.escape(_THEIR_FORMATTERS)}", rf"\g<1>{_OUR_FORMATTERS}", text)
    return LogConfig(source, text, names)


def _read_module(source: str) -> LogConfig:
    from .errors import AppImportError
    from .importer import import_object

    try:
        content = import_object(source.removeprefix(IN_PYTHON))
    except AppImportError as error:
        raise SourceUnreadable(f"log_config: {error}", traceback_text=error.traceback_text) from None
    if not isinstance(content, Mapping):
        raise SourceUnreadable(f"log_config: {source} must be a dictionary, found {_kind(content)}")
    whole = {**_GUNICORN, **content}
    return LogConfig("the logconfig_dict", whole, _names_in(whole))


def _read_file(path: str) -> LogConfig:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as problem:
        raise SourceUnreadable(f"log_config: cannot read {path}: {problem.strerror or problem}") from problem
    except UnicodeDecodeError as problem:
        raise SourceUnreadable(f"log_config: {path} is not UTF-8 text") from problem
    match Path(path).suffix.lower():
        case ".json":
            content = _parse_json(path, text)
        case ".yaml" | ".yml":
            content = _parse_yaml(path, text)
        case _:
            return ini(text, path)
    if not isinstance(content, dict):
        raise SourceUnreadable(f"log_config: {path} must hold a mapping with the key version, found {_kind(content)}")
    return LogConfig(path, content, _names_in(content))


def _parse_json(path: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise SourceUnreadable(f"log_config: {path} is not valid JSON: {problem}") from problem


def _parse_yaml(path: str, text: str) -> object:
    try:
        import yaml
    except ImportError:
        raise MissingExtra(
            f"log_config: {path} is YAML, which needs PyYAML: pip install 'asgi-arbiter[yaml]'"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise SourceUnreadable(f"log_config: {path} is not valid YAML: {_one_line(problem)}") from problem


def _completed(content: Mapping[str, Any], use_colors: bool | None) -> dict[str, Any]:
    """The dictionary with what ``logging`` does not know by itself put in. A copy, where something changes."""
    done = dict(content)
    if isinstance(formatters := done.get("formatters"), Mapping):
        done["formatters"] = {name: _completed_formatter(each, use_colors) for name, each in formatters.items()}
    if isinstance(loggers := done.get("loggers"), Mapping) and _ERROR in loggers:
        done["loggers"] = {**dict.fromkeys(_PARTS, loggers[_ERROR]), **loggers}
    return done


def _completed_formatter(formatter: object, use_colors: bool | None) -> object:
    if not isinstance(formatter, Mapping) or not isinstance(made_by := formatter.get("()"), str):
        return formatter
    done = dict(formatter)
    if made_by.startswith(_THEIR_FORMATTERS) and not _has_uvicorn():
        done["()"] = _OUR_FORMATTERS + made_by.removeprefix(_THEIR_FORMATTERS)
    if use_colors is not None and "use_colors" in done:
        done["use_colors"] = use_colors
    return done


def _has_uvicorn() -> bool:
    return importlib.util.find_spec("uvicorn") is not None


def _names_in(content: Mapping[str, Any]) -> frozenset[str]:
    loggers = content.get("loggers")
    names = {str(name) for name in loggers} if isinstance(loggers, Mapping) else set()
    return frozenset(names | {""} if "root" in content else names)


def _names_in_ini(path: str, text: str) -> frozenset[str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, path)
        keys = parser["loggers"]["keys"]
    except KeyError:
        raise SourceUnreadable(
            f"log_config: {path} has no section [loggers] with keys (only .json, .yaml and .yml are read otherwise)"
        ) from None
    except configparser.Error as problem:
        raise SourceUnreadable(f"log_config: {path} is not a valid ini file: {_one_line(problem)}") from problem
    sections = [f"logger_{key.strip()}" for key in keys.split(",") if key.strip()]
    names = {parser.get(section, "qualname", fallback="") for section in sections if section != "logger_root"}
    return frozenset(names - {""} | ({""} if "logger_root" in sections else set()))


def _one_line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text}" if isinstance(problem, (KeyError, NameError)) or not text else text


def _kind(value: object) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(value), f"a {type(value).__name__}")
