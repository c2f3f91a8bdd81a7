"""``asgi-arbiter migrate``: another server's command line, or a ``gunicorn.conf.py``, as an ``asgi-arbiter.toml``.

Rules: what was written is taken over, and only where it differs from our default; what has no equivalent becomes a
comment with the reason. Where the other program has another default and the user left it alone, a comment at the end
says so, and nothing is changed. Variables of the environment do not count: they still do where the file is used.

Nothing is written and nothing is served; a Python settings file is executed, as gunicorn itself does.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .cli import flags, parse
from .errors import ConfigError
from .layers import Given, Layer, Origin, command_line_layer
from .logconfig import IN_PYTHON
from .records import Record, made, replace
from .rules import WORKER_CLASSES, WSGI_CLASSES
from .schema import Kind
from .settings import Config, defaults, options
from .sources import Invocation, Loaded, assemble
from .written import toml_value

__all__ = ["USAGE", "Migration", "migrate"]

USAGE = """\
Usage: asgi-arbiter migrate uvicorn|gunicorn [OPTIONS] [APP]
       asgi-arbiter migrate FILE.py

Print the asgi-arbiter.toml that says what this command line of uvicorn or gunicorn, or this gunicorn.conf.py, says:

  asgi-arbiter migrate uvicorn main:app --workers 4 > asgi-arbiter.toml

An application in a module that is itself named migrate is written with its attribute, as in migrate:app."""

_WSGI = "interface = \"wsgi\" needs a2wsgi (pip install 'asgi-arbiter[wsgi]')"


_MADE = {"bind", "http", "loop"}
"""Settings that may follow from others which we do not print; what follows from printed ones follows again."""


class Migration(Record):
    """The text of the file, and the settings to which it loads."""

    text: str
    config: Config


class _Move(Record, frozen=False):
    """What is being moved: where from, its layers (the weakest first), and what there is to say about it."""

    program: str
    words: Sequence[str]
    directory: Path
    layers: list[Layer] = made(list)
    notes: list[str] = made(list)
    is_file_only: bool = False

    def given(self, name: str) -> Given | None:
        """The strongest value."""
        return next((layer.values[name] for layer in reversed(self.layers) if name in layer.values), None)

    def put(self, name: str, raw: object) -> None:
        """Replace a value where it is, or add it to the strongest layer."""
        layer = next((each for each in reversed(self.layers) if name in each.values), self.layers[-1])
        where = layer.values[name].where if name in layer.values else f"{layer.title}, {name}"
        layer.values[name] = Given(raw, where)

    def drop(self, name: str) -> None:
        """Forget every value."""
        for layer in self.layers:
            layer.values.pop(name, None)


def migrate(words: Sequence[str], directory: str = "") -> Migration:
    """Translate ``words``, a command line or the name of a file. ``directory`` is the one in which it is meant; the
    current one unless given. Raises ``ConfigError`` and click's exceptions for what the other program would refuse."""
    move = _read(words, Path(directory or ".").absolute())
    if move.program == "gunicorn":
        _gunicorn_application(move)
        _gunicorn_worker_class(move)
        _gunicorn_umask(move)
        _hooks(move)
        _logging(move)
    loaded = assemble(move.layers, Invocation(directory=str(move.directory)))
    lost = {name: defaults()[name] for name, option in options().items() if option.inert}
    config = replace(loaded.config, **{**lost, "worker_class": ""})
    return Migration("\n".join(_lines(move, loaded, config)) + "\n", config)


# ------------------------------------------------------------------------------------------------------------- reading


def _read(words: Sequence[str], directory: Path) -> _Move:
    if len(words) == 1 and " " in words[0].strip():
        words = shlex.split(words[0])  # the whole command line as one word
    program, rest = _program(words)
    if program.endswith(".py"):
        move = _Move("gunicorn", words, directory, is_file_only=True)
        move.layers.append(_settings_file(program, directory))
        return move
    move = _Move(program, words, directory)
    line = parse(_written_out(rest) if program == "gunicorn" else rest)
    if program == "gunicorn" and (line.config_file or (directory / "gunicorn.conf.py").is_file()):
        named = line.config_file or "gunicorn.conf.py"
        move.layers.append(_settings_file(named, directory))
        move.notes.append(f"{named} is contained in this file; what it computes is computed for this machine.")
    move.layers.append(command_line_layer(line.values))
    return move


def _program(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The program and its arguments, from ``python -m gunicorn …`` and ``exec /opt/bin/uvicorn …`` too."""
    rest = list(words)
    while rest and (rest[0] == "exec" or re.match(r"python[\d.]*$", Path(rest[0]).name) or rest[0] == "-m"):
        del rest[0]
    name = Path(rest[0]).name if rest else ""
    if name in ("uvicorn", "gunicorn"):
        return name, rest[1:]
    if name.endswith(".py") and len(rest) == 1:
        return rest[0], ()
    found = f'found "{rest[0]}"' if rest else "found nothing"
    raise ConfigError(f"migrate: expected uvicorn, gunicorn or the name of a gunicorn.conf.py, {found}")


def _settings_file(named: str, directory: Path) -> Layer:
    from .pyfile import python_layer

    return python_layer(named, directory)


def _written_out(words: Sequence[str]) -> list[str]:
    """gunicorn's argparse takes beginnings of long options (``--worker-conn``); those that mean one option here."""
    known = [flag for flag in flags() if flag.startswith("--") and not flag.startswith("--no-")]
    result = []
    for word in words:
        name, equals, value = word.partition("=")
        if name.startswith("--") and len(name) > 2 and name not in flags():
            longer = [flag for flag in known if flag.startswith(name)]
            word = f"{longer[0]}{equals}{value}" if len(longer) == 1 else word
        result.append(word)
    return result


# -------------------------------------------------------------------------------------------- where gunicorn differs


def _gunicorn_application(move: _Move) -> None:
    """A module alone means ``application`` to gunicorn, and nothing else."""
    given = move.given("app")
    if given is not None and isinstance(given.raw, str) and given.raw and ":" not in given.raw:
        move.put("app", f"{given.raw}:application")


def _gunicorn_worker_class(move: _Move) -> None:
    """There is one kind of worker here; a class says whether the application is ASGI or WSGI, and no more."""
    given = move.given("worker_class")
    name = str(given.raw) if given is not None else ""
    if re.fullmatch(WORKER_CLASSES, name):
        return  # assemble() knows what the H11 classes mean
    move.drop("worker_class")
    if not name and move.is_file_only:
        move.notes.append(
            "worker_class is not set: gunicorn's default runs WSGI applications. If yours is one, "
            f"{_WSGI}; for an ASGI application nothing is missing."
        )
    elif name == "tornado":
        move.notes.append("worker_class = tornado has no equivalent: Tornado applications are neither ASGI nor WSGI.")
    elif not name or name in WSGI_CLASSES:
        move.put("interface", "wsgi")
        said = f"worker_class = {name}" if name else "gunicorn's default worker class"
        move.notes.append(f"{said} runs WSGI applications: {_WSGI}, and requests run in its threads.")
    else:
        move.notes.append(
            f"worker_class = {name} has no equivalent: a worker class of your own cannot be used; "
            "what such classes configure (loop, http, proxy_headers, ...) are settings here."
        )


def _gunicorn_umask(move: _Move) -> None:
    """gunicorn reads ``--umask 18`` as decimal; here modes are octal."""
    given = move.given("umask")
    if given is not None and isinstance(given.raw, str) and re.fullmatch("[1-9][0-9]*", given.raw):
        move.put("umask", int(given.raw))


def _hooks(move: _Move) -> None:
    """TOML names a hook as ``module:function``, so the function must live where it can be imported from."""
    for layer in move.layers:
        left: list[str] = []
        for name, given in list(layer.values.items()):
            if options()[name].kind is not Kind.HOOK or options()[name].inert:
                continue
            location = _importable(str(given.raw), layer.title, move)
            if location:
                layer.values[name] = Given(location, given.where)
                continue
            del layer.values[name]
            left.append(name)
        if left:
            *others, last = left
            named = f"{', '.join(others)} and {last} are functions" if others else f"{last} is a function"
            move.notes.append(
                f"{named} of {layer.title}, which cannot be imported by name: move {'them' if others else 'it'} into a "
                f'module and write {last} = "module:{last}"; or keep the file: asgi-arbiter -c {layer.title}'
            )


def _logging(move: _Move) -> None:
    """A dictionary for logging stays in the Python file: only there can it name classes and functions."""
    given = move.given("log_config")
    if given is not None and str(given.raw).startswith(IN_PYTHON):
        move.drop("log_config")
        move.notes.append(
            f'{given.where} is a dictionary: write it into a JSON file and log_config = "that file"; or keep '
            f"this one: asgi-arbiter -c {given.where.partition(',')[0]}"
        )


def _importable(location: str, title: str, move: _Move) -> str:
    """The hook under a name that can be imported without the settings file being loaded, or an empty text."""
    module, _, attribute = location.partition(":")
    function = getattr(sys.modules.get(module), attribute, None)
    if function is None:
        return location  # it was written as module:function
    home, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if home and home != module and name.isidentifier():
        return f"{home}:{name}"
    if title.startswith("python:"):
        return f"{title.removeprefix('python:')}:{attribute}"
    at_home = not any(move.given(setting) for setting in ("chdir", "app_dir"))
    path = Path(title)
    return f"{path.stem}:{attribute}" if at_home and path.name == title and path.stem.isidentifier() else ""


# ------------------------------------------------------------------------------------------------------------- writing


def _lines(move: _Move, loaded: Loaded, config: Config) -> Iterator[str]:
    yield _comment(f"asgi-arbiter.toml, made by asgi-arbiter migrate from: {shlex.join(move.words)}")
    if move.is_file_only:
        yield _comment("What the file computes is computed for this machine.")
    for note in move.notes:
        yield _comment(note)
    for warning in loaded.warnings:
        if "has no effect: " not in warning:  # those follow below, each with its value
            yield _comment(warning)
    yield ""
    for name, option in options().items():
        value = getattr(loaded.config, name)
        if option.inert and value != defaults()[name]:
            yield _comment(f"{name} = {_shortened(toml_value(value, kind=option.kind))} has no effect: {option.inert}.")
        elif getattr(config, name) != defaults()[name] and (name in _MADE or move.given(name)):
            if told := _remark(option.differs):
                yield _comment(told)
            yield f"{name} = {_value(name, move, config)}"
    others = list(_other_defaults(move.program, loaded))
    if others:
        yield ""
        yield _comment(f"Not set, and {move.program} has another default:")
        yield from others


def _value(name: str, move: _Move, config: Config) -> str:
    given = move.given(name)
    if name == "chdir" and given is not None:
        return toml_value(str(given.raw))  # as it was written: the settings have it absolute
    return toml_value(getattr(config, name), kind=options()[name].kind)


def _other_defaults(program: str, loaded: Loaded) -> Iterator[str]:
    """The settings that were left alone and begin elsewhere in the other program, by what the table says."""
    for name, option in options().items():
        is_there = option.gunicorn if program == "gunicorn" else option.uvicorn
        told = re.search(rf"{program}'s (default|is off)", option.differs)
        if is_there and told and not option.inert and loaded.sources[name].origin is Origin.DEFAULT:
            yield _comment(f"{name} = {toml_value(defaults()[name], kind=option.kind)}: {option.differs}")


def _remark(differs: str) -> str:
    """What there is to know about our setting; the sentences about the other programs are no news to their users."""
    sentences = re.split(r"(?<=\.) ", differs)
    return " ".join(sentence for sentence in sentences if not re.search("uvicorn|gunicorn", sentence))


def _comment(text: str) -> str:
    """One line of comment; a line break in it would begin something that is none."""
    return "# " + re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
