"""The single layers of the settings: a file, the environment, the command line, each as names with raw values.

A layer knows where each of its values was written, in the words that begin an error message. Nothing is converted here
and nothing is compared between layers; ``sources.py`` puts them on top of each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from .errors import ConflictingSettings, SourceUnreadable, UnknownSetting
from .records import Record, made
from .schema import section_slug
from .settings import ADDRESS_PARTS, names, options

__all__ = [
    "AMBIENT",
    "PREFIX",
    "Given",
    "Layer",
    "Origin",
    "ambient_layer",
    "command_line_layer",
    "find_file",
    "keyword_layer",
    "own_layer",
    "toml_layer",
    "unknown",
    "uvicorn_layer",
]

PREFIX = "ASGI_ARBITER_"
"""Variables with two underscores behind the prefix's name (``ASGI_ARBITER__FDS``) are the program's own business."""
AMBIENT = {"WEB_CONCURRENCY": "workers", "PORT": "port", "FORWARDED_ALLOW_IPS": "forwarded_allow_ips"}
"""Variables that platforms set for any program; the weakest of the environment."""
TABLE = "asgi-arbiter"
"""Our table in ``pyproject.toml`` below ``tool``, and the stem of our own file."""
_UVICORN_PLURALS = {"headers", "reload_dirs", "reload_includes", "reload_excludes"}


class Origin(Enum):
    """The kinds of layers, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"
    KEYWORD = "keyword"


class Given(Record):
    """A value as it was written, and where."""

    raw: object
    where: str
    """Begins the messages about it: ``command line, --workers``."""


class Layer(Record):
    """The values of one source by the settings' own names, or by ``host``, ``port``, ``uds``, ``fd``."""

    origin: Origin
    title: str
    values: dict[str, Given] = made(dict)
    modest: bool = False
    """A platform's hint (``PORT``) that must not replace addresses of another kind."""
    notices: list[str] = made(list)

    def add(self, word: str, raw: object, where: str) -> None:
        """Take a value under any of its names. Raises ``UnknownSetting``, or ``ConflictingSettings`` if the setting is
        here already under another name."""
        key = word.replace("-", "_")
        name = key if key in ADDRESS_PARTS else names().get(key, "")
        if not name:
            raise UnknownSetting(f"{where}: {unknown('setting', word, [*names(), *ADDRESS_PARTS])}")
        if name in self.values:
            raise ConflictingSettings(f"{where}: the same setting as in {self.values[name].where}; keep one of them")
        self.values[name] = Given(raw, where)


def unknown(noun: str, word: str, known: Iterable[str]) -> str:
    """``no such setting "wrokers"; did you mean workers?``"""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'no such {noun} "{word}"' + (f"; did you mean {near[0]}?" if near else "")


# ----------------------------------------------------------------------------------------------------------------- file


def find_file(directory: Path) -> Path | None:
    """The settings file that is read without being named: ``asgi-arbiter.toml``, else ``pyproject.toml`` if it has
    our table, else gunicorn's ``gunicorn.conf.py``."""
    own = directory / f"{TABLE}.toml"
    if own.is_file():
        return own
    project = directory / "pyproject.toml"
    if project.is_file() and _mentions_us(project):
        return project
    gunicorn = directory / "gunicorn.conf.py"
    return gunicorn if gunicorn.is_file() else None


def _mentions_us(project: Path) -> bool:
    """Whether it is worth parsing: another program's broken ``pyproject.toml`` is none of our business."""
    try:
        text = project.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return bool(re.search(rf'^\s*\[\s*tool\s*\.\s*"?{TABLE}"?\s*[\].]', text, re.MULTILINE))


def toml_layer(path: Path, title: str) -> Layer:
    """Read a TOML file; ``title`` is its name in messages. Raises ``SourceUnreadable``, ``UnknownSetting``."""
    import tomllib

    try:
        data: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceUnreadable(f"{title}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SourceUnreadable(f"{title}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SourceUnreadable(f"{title}: is not valid TOML: {error}") from None
    within = ""
    if path.name == "pyproject.toml":
        within = f"tool.{TABLE}"
        tools = data.get("tool", {})
        data = tools.get(TABLE, {}) if isinstance(tools, Mapping) else {}
    layer = Layer(Origin.FILE, title)
    for key, value in data.items():
        _take_toml(layer, key, value, within)
    return layer


def _take_toml(layer: Layer, key: str, value: object, within: str) -> None:
    sections = {section_slug(option.section): option.section for option in options().values()}
    if not isinstance(value, Mapping) or key.replace("-", "_") in names():
        layer.add(key, value, f"{layer.title}, {f'[{within}] ' if within else ''}{key}")
        return
    if key not in sections:
        raise UnknownSetting(f"{layer.title}, [{key}]: {unknown('table', key, sections)}")
    table = f"{within}.{key}" if within else key
    for word, inner in value.items():
        where = f"{layer.title}, [{table}] {word}"
        name = names().get(word.replace("-", "_"), "bind" if word in ADDRESS_PARTS else "")
        if name and (home := section_slug(options()[name].section)) != key:
            raise UnknownSetting(f"{where}: belongs into [{home}] or before the first table")
        layer.add(word, inner, where)


# ---------------------------------------------------------------------------------------------------------- environment


def ambient_layer(environment: Mapping[str, str]) -> Layer:
    """``WEB_CONCURRENCY``, ``PORT`` and ``FORWARDED_ALLOW_IPS``."""
    layer = Layer(Origin.ENVIRONMENT, "environment", modest=True)
    for variable, name in AMBIENT.items():
        if environment.get(variable, "").strip():
            layer.add(name, environment[variable], f"environment, {variable}")
    return layer


def uvicorn_layer(environment: Mapping[str, str]) -> Layer:
    """uvicorn's variables (``UVICORN_WORKERS``). Unknown ones are left alone: they may be someone else's."""
    layer = Layer(Origin.ENVIRONMENT, "environment")
    theirs = sorted(variable for variable in environment if variable.startswith("UVICORN_"))
    known = dict(_uvicorn_variables()) if theirs else {}
    for variable in theirs:
        name = known.get(variable, "")
        if name and environment[variable]:
            value: object = environment[variable]
            if name in _UVICORN_PLURALS:
                value = environment[variable].split()  # as click splits them
            layer.add(name, value, f"environment, {variable}")
    return layer


def _uvicorn_variables() -> Iterator[tuple[str, str]]:
    yield "UVICORN_APP", "app"
    for part in ADDRESS_PARTS:
        yield f"UVICORN_{part.upper()}", part
    for name, option in options().items():
        if name == "bind":
            continue
        for flag in re.findall(r"--(?!no-)[\w-]+", option.uvicorn):
            yield "UVICORN_" + (name if name in _UVICORN_PLURALS else flag[2:].replace("-", "_")).upper(), name


def own_layer(environment: Mapping[str, str]) -> Layer:
    """``ASGI_ARBITER_<NAME>``, where an unknown name is an error. Empty variables count as absent where an empty value
    means nothing, since files of container platforms cannot leave a variable out."""
    layer = Layer(Origin.ENVIRONMENT, "environment")
    for variable in sorted(environment):
        word = variable.removeprefix(PREFIX)
        if word == variable or word.startswith("_") or word == "CONFIG":
            continue
        value = environment[variable]
        name = names().get(word.lower(), word.lower())
        if not name.isidentifier() or (name not in ADDRESS_PARTS and name not in options()):
            known = [PREFIX + each.upper() for each in (*names(), *ADDRESS_PARTS, "config")]
            raise UnknownSetting(f"environment, {variable}: {unknown('variable', variable, known)}")
        if value or (name in options() and options()[name].kind.name in {"TEXT", "PATH", "WORDS", "LINES"}):
            layer.add(name, value, f"environment, {variable}")
    return layer


# ------------------------------------------------------------------------------------------- command line and keywords


def command_line_layer(values: Mapping[str, Given], title: str = "command line") -> Layer:
    """What click found, already by name."""
    return Layer(Origin.COMMAND_LINE, title, dict(values))


def keyword_layer(values: Mapping[str, object], title: str = "Config()") -> Layer:
    """Keywords of a call; ``None`` is "not given", as everywhere in uvicorn's programmatic interface."""
    layer = Layer(Origin.KEYWORD, title)
    for word, value in values.items():
        if value is not None:
            layer.add(word, os.fspath(value) if isinstance(value, os.PathLike) else value, f"{title}, {word}")
    return layer
