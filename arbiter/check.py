"""``--check-config``: would the workers boot? Asked in a process of its own, since importing the application runs it.

The child gets the checked settings (pickled, on its standard input) and this process's import path, so that it sees
exactly what a worker would see. It does what a worker does before it serves: directory, environment, TLS, application.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from typing import TYPE_CHECKING

from asgi_arbiter.config.errors import ArbiterError, ExitCode
from asgi_arbiter.config.records import as_dict

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["answer", "check"]

_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from asgi_arbiter.arbiter.check import answer; sys.exit(answer(sys.stdin.buffer.read()))"
)


def check(config: Config) -> ExitCode:
    """Whether a worker with ``config`` could import its application; what is wrong stands on standard error."""
    import subprocess

    from asgi_arbiter.config import pyfile

    command = [sys.executable, "-c", _CHILD, json.dumps(sys.path)]
    hooks = {str(value).partition(":")[0] for value in as_dict(config).values()}
    modules = {name: source for name, source in pyfile.executed().items() if name in hooks}
    done = subprocess.run(command, input=pickle.dumps((config, modules)), check=False)
    if done.returncode not in (ExitCode.OK, ExitCode.FAILED):
        print(f"asgi-arbiter: error: the check ended with status {done.returncode}", file=sys.stderr)  # noqa: T201
    return ExitCode.OK if done.returncode == 0 else ExitCode.FAILED


def answer(pickled: bytes) -> ExitCode:
    """The child's part: read the settings, do what a worker does before it serves."""
    config, modules = pickle.loads(pickled)
    try:
        _boot(config, modules)
    except ArbiterError as error:
        trace = f"{error.traceback_text.rstrip()}\n" if error.traceback_text else ""
        print(f"{trace}asgi-arbiter: error: {error}", file=sys.stderr)  # noqa: T201
        return ExitCode.FAILED
    return ExitCode.OK


def _boot(config: Config, modules: dict[str, tuple[str, str]]) -> None:
    from asgi_arbiter.config.envfile import load_environment
    from asgi_arbiter.config.importer import load_application, prepare_path

    if modules:
        from asgi_arbiter.config.pyfile import execute_again

        execute_again(modules)  # hooks may be functions of a settings file
    if config.chdir:
        os.chdir(config.chdir)
    load_environment(config)
    prepare_path(config)
    if config.speaks_tls:
        from asgi_arbiter.config.tls import server_context

        server_context(config)
    load_application(config)
