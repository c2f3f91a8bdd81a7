"""The command ``asgi-arbiter``: options from ``config.cli``, then the arbiter.

Rules: whatever the user has done, there is one line on standard error that begins with ``asgi-arbiter: error:`` and an
exit code of ``ExitCode``; a traceback of ours is never shown for it. ``--version`` and ``--help`` import nothing that
serves: no event loop, no TLS, no parser.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from asgi_arbiter.config.cli import CommandLine, command, complaint
from asgi_arbiter.config.errors import ArbiterError, ConfigError, ExitCode
from asgi_arbiter.config.sources import Loaded, load

from .early import Ended, leave

__all__ = ["main", "run", "version_text"]

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
            return _migrate(arguments[1:])
        if arguments and arguments[0] == "generate-unit":
            return _generate_unit(arguments[1:])
        outcome = command(_run, version_text).main(list(arguments), prog_name="asgi-arbiter", standalone_mode=False)
    except click.ClickException as error:
        return _failed(complaint(error), ExitCode.CONFIG)
    except ArbiterError as error:
        return _failed(str(error), error.exit_code, error.traceback_text)
    except (click.Abort, KeyboardInterrupt):
        return 130  # as a shell has it for SIGINT
    except Ended:
        return leave()
    except BrokenPipeError:
        sys.stderr.close()  # `asgi-arbiter --help | head`: nobody listens any more
        return ExitCode.FAILED
    return int(outcome or ExitCode.OK)


def _run(line: CommandLine) -> ExitCode:
    if line.action == "check-config":
        return _check(line)
    loaded = load(line.values, config_file=line.config_file)
    if line.action == "print-config":
        _remarks(loaded)
        click.echo("\n".join(loaded.describe()))
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
        click.echo(USAGE, err=not words)
        return ExitCode.OK if words else ExitCode.CONFIG
    click.echo(migrate(words).text, nl=False)
    return ExitCode.OK


def _generate_unit(words: Sequence[str]) -> ExitCode:
    """Print a systemd unit for this program, directory, user and options."""
    from .unit import USAGE, generate

    if not words or words[0] in ("-h", "--help"):
        click.echo(USAGE, err=not words)
        return ExitCode.OK if words else ExitCode.CONFIG
    text, loaded = generate(words)
    _remarks(loaded)
    click.echo(text, nl=False)
    return ExitCode.OK


def _remarks(loaded: Loaded) -> None:
    """Where there will be no log to write them to."""
    for text in (*loaded.notices, *loaded.warnings):
        click.echo(f"asgi-arbiter: warning: {text}", err=True)


def _failed(text: str, code: ExitCode, traceback_text: str = "") -> int:
    trace = f"{traceback_text.rstrip()}\n" if traceback_text else ""
    click.echo(f"{trace}asgi-arbiter: error: {text}", err=True)
    return int(code)


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
