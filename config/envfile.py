"""Environment variables for the application: ``--env-file`` and ``--env NAME=VALUE``.

* Of several files, a later one wins over an earlier one; a variable that the process already has wins over all files.
  (That is what uvicorn does with its one file.)
* ``--env`` wins over everything, as gunicorn's ``raw_env`` does.
* Called in the worker before the application is imported, so that a reload reads the files again. Settings of the
  server are not taken from them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InvalidSetting, MissingExtra, SourceUnreadable

if TYPE_CHECKING:
    from .settings import Config

__all__ = ["load_environment"]


def load_environment(config: Config, environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Set the variables of ``env_file`` and ``raw_env``; the names that were set, in order.

    Raises:
        SourceUnreadable: a file is missing or unreadable.
        MissingExtra: there are files and python-dotenv is not installed.
        InvalidSetting: an entry of ``raw_env`` is not NAME=VALUE.
    """
    given = dict(_pair(text) for text in config.raw_env)
    found: dict[str, str] = {}
    for path in config.env_file:
        found.update(_read(path))
    wanted = {name: value for name, value in found.items() if name not in environ} | given
    environ.update(wanted)
    return list(wanted)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or "\0" in text:
        raise InvalidSetting(f"raw_env: found {text!r}, expected NAME=VALUE")
    return name, value


def _read(path: str) -> dict[str, str]:
    try:
        from dotenv.main import DotEnv
    except ImportError:
        raise MissingExtra(
            f"env_file: reading {path} needs python-dotenv, which is not installed: pip install 'asgi-arbiter[dotenv]'"
        ) from None
    try:
        # Opened here as well: python-dotenv takes a file that is missing for an empty one.
        with Path(path).open(encoding="utf-8") as file, _BadLinesNamed(path):
            values = DotEnv(None, stream=file, override=False).dict()
    except OSError as problem:
        raise SourceUnreadable(f"env_file: cannot read {path}: {problem.strerror or problem}") from problem
    except UnicodeDecodeError as problem:
        raise SourceUnreadable(f"env_file: {path} is not UTF-8 text") from problem
    return {name: value for name, value in values.items() if value is not None and "\0" not in value}


class _BadLinesNamed(logging.Filter):
    """While it lasts, python-dotenv's complaints about lines go to our log, with the name of the file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.logger = logging.getLogger("dotenv.main")

    def __enter__(self) -> None:
        self.logger.addFilter(self)

    def __exit__(self, *exc: object) -> None:
        self.logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        logging.getLogger("asgi_arbiter.worker").warning(
            "env_file: %s: %s", self.path, record.getMessage(), extra={"event": "env_file_line"}
        )
        return False
