"""The command ``asgi-arbiter``: options from ``config.words`` or ``config.cli``, then the arbiter.

Rules: whatever the user has done, there is one line on standard error that begins with ``asgi-arbiter: error:`` and an
exit code of ``ExitCode``; a traceback of ours is never shown for it. ``--version`` and ``--help`` import nothing that
serves: no event loop, no TLS, no parser. What is about to serve imports no click.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from asgi_arbiter.config.errors import ArbiterError, ConfigError, ExitCode
from asgi_arbiter.config.sources import Loaded, load
from asgi_arbiter.config.words import CommandLine, cut

from .early import Ended, leave

__all__ = ["main", "run", "version_text"]

_COMPLETION = "_ASGI_ARBITER_COMPLETE"
"""With this variable, click answers the shell."""
_COMPANIONS = ("uvloop", "httptools", "h11", "websockets")
"""What ``--version`` names beside us: what parses and what loops."""
_RARE_COMPANIONS = ("gunicorn_h1c",)
"""What it names where it is installed and does not miss elsewhere."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (``sys.argv`` unless given) and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code and prints what is wrong."""
    try:
        if arguments and arguments[0] == "migrate":  # by exactly this word: migrate:app is an application
            return _with_click(lambda: _migrate(arguments[1:]))
        if arguments and arguments[0] == "generate-unit":
            return _with_click(lambda: _generate_unit(arguments[1:]))
        line = cut(arguments) if _COMPLETION not in os.environ else None
        return int(_run(line) if line is not None else _with_click(lambda: _by_click(arguments)))
    except ArbiterError as error:
        return _failed(str(error), error.exit_code, error.traceback_text)
    except KeyboardInterrupt:
        return 130  # as a shell has it for SIGINT
    except Ended:
        return leave()
    except BrokenPipeError:
        sys.stderr.close()  # `asgi-arbiter --help | head`: nobody listens any more
        return ExitCode.FAILED


def _with_click(act: Callable[[], int]) -> int:
    """``act``, which uses click, with click's complaints in our form."""
    import click

    from asgi_arbiter.config.cli import complaint

    try:
        return act()
    except click.ClickException as error:
        return _failed(complaint(error), ExitCode.CONFIG)
    except click.Abort:
        raise KeyboardInterrupt from None


def _by_click(arguments: Sequence[str]) -> int:
    from asgi_arbiter.config.cli import command

    outcome = command(_run, version_text).main(list(arguments), prog_name="asgi-arbiter", standalone_mode=False)
    return int(outcome or ExitCode.OK)


def _run(line: CommandLine) -> ExitCode:
    if line.action == "check-config":
        return _check(line)
    loaded = load(line.values, config_file=line.config_file)
    if line.action == "print-config":
        _remarks(loaded)
        _write("\n".join(loaded.describe()) + "\n")
        return ExitCode.OK
    _need_application(loaded)
    _check_form(loaded.config.app)
    from .loop import Arbiter

    gc.freeze()
    gc.enable()
    return Arbiter(loaded).run()


def _check(line: CommandLine) -> ExitCode:
    """0 if the settings hold and the application can be imported, 1 if not."""
    try:
        loaded = load(line.values, config_file=line.config_file)
        _need_application(loaded)
    except ArbiterError as error:
        return ExitCode(_failed(str(error), ExitCode.FAILED, error.traceback_text))
    _remarks(loaded)
    from .check import check

    return check(loaded.config)


def _need_application(loaded: Loaded) -> None:
    if not loaded.config.app:
        raise ConfigError("APP is missing; name the application, as in: asgi-arbiter main:app")


def _check_form(app: str) -> None:
    """``main.py`` and the like, before anything is started: no change of a file can mend it."""
    if not re.fullmatch(r"\w+(\.\w+)*(:\w+(\.\w+)*)?", app) or app.endswith(".py"):
        from asgi_arbiter.config.importer import check_form

        check_form(app)


def _migrate(words: Sequence[str]) -> ExitCode:
    """Print another server's command line or settings file as ours."""
    from asgi_arbiter.config.migrate import USAGE, migrate

    if not words or words[0] in ("-h", "--help"):
        _write(f"{USAGE}\n", error=not words)
        return ExitCode.OK if words else ExitCode.CONFIG
    _write(migrate(words).text)
    return ExitCode.OK


def _generate_unit(words: Sequence[str]) -> ExitCode:
    """Print a systemd unit for this program, directory, user and options."""
    from .unit import USAGE, generate

    if not words or words[0] in ("-h", "--help"):
        _write(f"{USAGE}\n", error=not words)
        return ExitCode.OK if words else ExitCode.CONFIG
    text, loaded = generate(words)
    _remarks(loaded)
    _write(text)
    return ExitCode.OK


def _remarks(loaded: Loaded) -> None:
    """Where there will be no log to write them to."""
    for text in (*loaded.notices, *loaded.warnings):
        _write(f"asgi-arbiter: warning: {text}\n", error=True)


def _failed(text: str, code: ExitCode, traceback_text: str = "") -> int:
    trace = f"{traceback_text.rstrip()}\n" if traceback_text else ""
    _write(f"{trace}asgi-arbiter: error: {text}\n", error=True)
    return int(code)


def _write(text: str, *, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    stream.write(text)
    stream.flush()


def version_text() -> str:
    """The first line is uvicorn's but for the name; the second has the versions of the companions."""
    import platform
    from importlib import metadata

    from asgi_arbiter import __version__

    companions = []
    for name in (*_COMPANIONS, *_RARE_COMPANIONS):
        try:
            companions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            if name in _COMPANIONS:
                companions.append(f"no {name}")
    implementation, python, system = platform.python_implementation(), platform.python_version(), platform.system()
    return f"Running asgi-arbiter {__version__} with {implementation} {python} on {system}\n{', '.join(companions)}"
