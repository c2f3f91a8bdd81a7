"""Puts the layers on top of each other and makes the ``Config``: default, file, environment, command line.

Within the environment, the weakest first: what platforms set for any program (``WEB_CONCURRENCY``, ``PORT``,
``FORWARDED_ALLOW_IPS``), ``GUNICORN_CMD_ARGS``, ``UVICORN_*``, ``ASGI_ARBITER_*``. Each value remembers its ``Source``.

Rules: loading twice with the same ``Invocation`` reads the file again and nothing else, which is what a reload wants;
the environment is the one of the program's start. Environment files (``env_file``) are the application's and are not
read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .address import DEFAULT_HOST, DEFAULT_PORT, Address, AddressKind
from .coerce import Misfit, coerce, found, notice
from .derived import consequences
from .errors import ConflictingSettings, InvalidSetting, SourceUnreadable
from .layers import (
    AMBIENT,
    PREFIX,
    Given,
    Layer,
    Origin,
    ambient_layer,
    command_line_layer,
    find_file,
    keyword_layer,
    own_layer,
    toml_layer,
    uvicorn_layer,
)
from .records import Record, made
from .rules import Complaint, check
from .settings import ADDRESS_PARTS, Config, defaults, options

__all__ = ["Invocation", "Loaded", "Source", "assemble", "configure", "load"]


class Source(Record):
    """Where a value came from; ``str()`` is for people."""

    origin: Origin
    where: str = "default"

    def __str__(self) -> str:
        return self.where


_DEFAULT = Source(Origin.DEFAULT)


class Invocation(Record):
    """How the program was started: plain data, all that a reload needs to load again."""

    command_line: Mapping[str, Given] = made(dict)
    config_file: str = ""
    """``-c``; empty looks for a file by its usual names."""
    directory: str = ""
    """The current directory of the start, absolute: relative names of settings files are meant from there."""
    environment: Mapping[str, str] = made(dict)
    """The variables that can matter here."""


class Loaded(Record):
    """A checked ``Config`` and the story of its values."""

    config: Config
    sources: Mapping[str, Source]
    """The source of every setting, by name."""
    warnings: tuple[str, ...]
    """For the operator's log, one line each: settings without effect and the like."""
    notices: tuple[str, ...]
    """The same, less urgent: which settings files of other programs were read."""
    invocation: Invocation

    def reload(self) -> Loaded:
        """Load again as the program was started. Raises ``ConfigError``."""
        return _load(self.invocation)

    def describe(self) -> list[str]:
        """For ``--print-config``: a TOML line for each setting, with its source as an aligned comment."""
        rows = [(f"{name} = {value}", str(self.sources[name])) for name, value in self.config.describe()]
        width = min(60, max(len(row) for row, _ in rows))
        return [f"{row:<{width}}  # {source}" for row, source in rows]


def load(
    command_line: Mapping[str, Given] | None = None,
    *,
    config_file: str = "",
    environment: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] = "",
) -> Loaded:
    """Read all sources. ``environment`` and ``directory`` are the process's own unless given.

    Raises ``ConfigError`` with one line that names source, setting, what was found and what is allowed.
    """
    variables = os.environ if environment is None else environment
    return _load(
        Invocation(
            command_line=command_line or {},
            config_file=config_file,
            directory=str(Path(directory).absolute()),
            environment={name: value for name, value in variables.items() if _matters(name)},
        )
    )


def configure(
    values: Mapping[str, object], *, environment: Mapping[str, str] | None = None, title: str = "Config()"
) -> Loaded:
    """Settings from a program: keywords under any name of the table over defaults. Of the environment only
    ``WEB_CONCURRENCY`` and ``FORWARDED_ALLOW_IPS`` count, as in uvicorn, and no file is read. ``title`` begins the
    messages. Raises ``ConfigError``."""
    variables = os.environ if environment is None else environment
    ambient = {name: value for name, value in variables.items() if name in AMBIENT and name != "PORT"}
    return assemble([ambient_layer(ambient), keyword_layer(values, title)], Invocation())


def _matters(variable: str) -> bool:
    return variable.startswith((PREFIX, "UVICORN_")) or variable in AMBIENT or variable == "GUNICORN_CMD_ARGS"


def _load(invocation: Invocation) -> Loaded:
    environment = invocation.environment
    layers = [ambient_layer(environment), uvicorn_layer(environment), own_layer(environment)]
    config_file = invocation.config_file or environment.get(f"{PREFIX}CONFIG", "")
    if environment.get("GUNICORN_CMD_ARGS", "").strip():
        from .cli import gunicorn_arguments

        layer, named = gunicorn_arguments(environment["GUNICORN_CMD_ARGS"])
        layers.insert(1, layer)
        config_file = config_file or named
    file = _file_layer(config_file, Path(invocation.directory or "."))
    return assemble([*file, *layers, command_line_layer(invocation.command_line)], invocation)


def _file_layer(named: str, directory: Path) -> Iterator[Layer]:
    """The layer of the settings file, if there is one."""
    if named.startswith("python:") or named.removeprefix("file:").endswith(".py"):
        from .pyfile import python_layer

        yield python_layer(named, directory)
        return
    named = named.removeprefix("file:")
    path = directory / Path(named).expanduser() if named else find_file(directory)
    if path is None:
        return
    if path.suffix == ".py":
        from .pyfile import python_layer

        layer = python_layer(str(path), directory)
        layer.notices.append(f"{path.name}: read as the settings file; an {_OWN_FILE} beside it takes its place")
        yield layer
        return
    if not path.exists():
        raise SourceUnreadable(f"{named}: there is no such file")
    yield toml_layer(path, named or path.name)


_OWN_FILE = "asgi-arbiter.toml"


def assemble(layers: Sequence[Layer], invocation: Invocation) -> Loaded:
    """Put ``layers`` on the defaults, the weakest first, and check the result. Raises ``ConfigError``."""
    values = dict(defaults())
    sources = dict.fromkeys(values, _DEFAULT)
    warnings: list[str] = []
    for layer in layers:
        for name, given in layer.values.items():
            if name not in ADDRESS_PARTS:
                values[name] = _value(name, given)
                sources[name] = Source(layer.origin, given.where)
                warnings += [f"{given.where}: {text}"] if (text := notice(options()[name], given.raw)) else []
        if changed := _bind(layer, values["bind"], fresh=sources["bind"] is _DEFAULT):
            values["bind"], where = changed
            sources["bind"] = Source(layer.origin, where)
    written = {name for name, source in sources.items() if source is not _DEFAULT}
    for name, value, cause in consequences(values, written):
        values[name], sources[name] = value, sources[cause]
    if values["chdir"]:  # absolute, since a reload happens after it was changed to
        values["chdir"] = str(Path(invocation.directory or ".").absolute() / Path(values["chdir"]).expanduser())
    config = Config(**values)
    warnings += _without_effect(config, sources)
    warnings += _judge(config, sources)
    notices = [text for layer in layers for text in layer.notices]
    return Loaded(config, sources, tuple(dict.fromkeys(warnings)), tuple(notices), invocation)


def _value(name: str, given: Given) -> Any:
    try:
        return coerce(options()[name], given.raw)
    except Misfit as misfit:
        raise InvalidSetting(_complaint(given, misfit)) from None


def _complaint(given: Given, misfit: Misfit) -> str:
    if misfit.whole:
        return f"{given.where}: {misfit}"
    return f"{given.where}: expected {misfit}, found {found(given.raw)}"


def _bind(layer: Layer, before: tuple[str, ...], *, fresh: bool) -> tuple[tuple[str, ...], str] | None:
    """The addresses after a layer with host, port, uds or fd, and where it says so; ``None`` if it has none of them.

    ``before`` are the addresses up to here; ``fresh`` tells that they are the default.
    """
    parts = {part: layer.values[part] for part in ADDRESS_PARTS if part in layer.values}
    if not parts:
        return None
    if "bind" in layer.values:
        first = next(iter(parts.values()))
        raise ConflictingSettings(f"{first.where}: the same setting as in {layer.values['bind'].where}; keep one")
    for part, given in parts.items():
        _check_part(part, given)
    for part in ("fd", "uds"):
        if part in parts:
            return (_one(part, parts[part]),), parts[part].where
    last = Address.parse(before[0])
    lone = len(before) == 1 and last.kind is AddressKind.TCP
    if layer.modest and not lone:
        return None  # a platform's PORT does not undo a Unix socket or a choice of several addresses
    host, port = (last.host, last.port) if lone else (DEFAULT_HOST, DEFAULT_PORT)
    if layer.modest and fresh:
        host = "0.0.0.0"
    if "host" in parts:
        host = str(parts["host"].raw).strip() or "0.0.0.0"
    if "port" in parts:
        port = int(str(parts["port"].raw))
    given = parts.get("host") or parts["port"]
    try:
        return (str(Address.tcp(host, port)),), given.where
    except InvalidSetting as wrong:
        raise InvalidSetting(f"{given.where}: {wrong}") from None


def _check_part(part: str, given: Given) -> None:
    """Types of the parts, which are no settings of their own."""
    if part in ("port", "fd"):
        text = str(given.raw).strip() if isinstance(given.raw, (int, str)) and not isinstance(given.raw, bool) else ""
        digits = text.isascii() and text.isdigit() and len(text) < 10
        if not digits or (part == "port" and int(text) > 65535):
            allowed = "a port between 0 and 65535" if part == "port" else "the number of a file descriptor"
            raise InvalidSetting(_complaint(given, Misfit(allowed)))
    elif not isinstance(given.raw, str):
        raise InvalidSetting(_complaint(given, Misfit("a text")))


def _one(part: str, given: Given) -> str:
    try:
        if part == "fd":
            return str(Address.descriptor(int(str(given.raw))))
        return str(Address.unix(str(given.raw).removeprefix("unix:")))
    except InvalidSetting as wrong:
        raise InvalidSetting(f"{given.where}: {wrong}") from None


def _without_effect(config: Config, sources: Mapping[str, Source]) -> Iterator[str]:
    """One warning for each setting that was set to something that cannot be had."""
    for name, option in options().items():
        if option.inert and sources[name] is not _DEFAULT and getattr(config, name) != defaults()[name]:
            yield f"{sources[name]}: has no effect: {option.inert}"


def _judge(config: Config, sources: Mapping[str, Source]) -> Iterator[str]:
    """The warnings of the rules. Raises ``ConflictingSettings`` for the first fatal complaint."""
    given = {name for name, source in sources.items() if source is not _DEFAULT}
    complaints = list(check(config, given))
    for complaint in complaints:
        if complaint.fatal:
            raise ConflictingSettings(_located(complaint, sources))
    for complaint in complaints:
        yield _located(complaint, sources)


def _located(complaint: Complaint, sources: Mapping[str, Source]) -> str:
    """Begin with the strongest source among the settings that the complaint is about."""
    written = [sources[name] for name in complaint.about if sources[name] is not _DEFAULT]
    order = list(Origin)
    where = max(written, key=lambda source: order.index(source.origin)).where if written else complaint.about[0]
    return f"{where}: {complaint.text}"
