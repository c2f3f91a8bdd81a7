"""The errors that a user or an operator can meet, and the exit codes of the program.

Every error carries the sentence to print (its ``str``) and the exit code that it leads to::

    ArbiterError                  1
    ├── ConfigError               2
    │   ├── UnknownSetting        a key, flag or variable that no setting has
    │   ├── InvalidSetting        a value of the wrong type or outside its range
    │   ├── ConflictingSettings   values that are fine alone and impossible together
    │   ├── SourceUnreadable      a settings file that is missing, unreadable or malformed
    │   └── MissingExtra          a setting that needs a package which is not installed
    ├── BindError                 3   a listening socket that could not be opened
    ├── AppImportError            4   the application could not be imported
    ├── LifespanFailed            5   the application refused to start (ASGI lifespan)
    └── HandoverFailed            6   a binary upgrade that did not come up

Errors of a single connection live in ``protocols``; they never leave a worker.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

__all__ = [
    "AppImportError",
    "ArbiterError",
    "BindError",
    "ConfigError",
    "ConflictingSettings",
    "ExitCode",
    "HandoverFailed",
    "InvalidSetting",
    "LifespanFailed",
    "MissingExtra",
    "SourceUnreadable",
    "UnknownSetting",
]


class ExitCode(IntEnum):
    """Exit codes of the arbiter and of its workers; the arbiter reacts to the member, never to a number."""

    OK = 0
    FAILED = 1
    """An unexpected failure; the log has a traceback."""
    CONFIG = 2
    """The configuration is wrong."""
    BIND = 3
    """A listening socket could not be opened."""
    APP_IMPORT = 4
    """The application could not be imported."""
    LIFESPAN = 5
    """The application's lifespan startup failed or took too long."""
    HANDOVER = 6
    """A binary upgrade failed."""
    BOOT = 7
    """The first workers died or hung before they were ready."""

    @property
    def meaning(self) -> str:
        """Half a sentence for a log line."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "finished",
    ExitCode.FAILED: "failed unexpectedly",
    ExitCode.CONFIG: "bad configuration",
    ExitCode.BIND: "could not open a listening socket",
    ExitCode.APP_IMPORT: "could not import the application",
    ExitCode.LIFESPAN: "the application's startup failed",
    ExitCode.HANDOVER: "the upgrade failed",
    ExitCode.BOOT: "could not boot",
}


class ArbiterError(Exception):
    """Base of all errors that end with a sentence for the operator."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, traceback_text: str = "") -> None:
        super().__init__(message)
        self.traceback_text = traceback_text
        """The user's own traceback, ours removed; empty where no user code was running."""


class ConfigError(ArbiterError):
    """Something is wrong with the settings."""

    exit_code = ExitCode.CONFIG


class UnknownSetting(ConfigError):
    """A key, flag or variable that belongs to no setting."""


class InvalidSetting(ConfigError):
    """A value of the wrong type or outside its range."""


class ConflictingSettings(ConfigError):
    """Values that are possible alone but not together."""


class SourceUnreadable(ConfigError):
    """A settings file, environment file or logging configuration that cannot be read."""


class MissingExtra(ConfigError):
    """A setting needs a package that is not installed; the message has the command that installs it."""


class BindError(ArbiterError):
    """A listening socket could not be opened; address and reason are in the message."""

    exit_code = ExitCode.BIND


class AppImportError(ArbiterError):
    """The application could not be imported."""

    exit_code = ExitCode.APP_IMPORT


class LifespanFailed(ArbiterError):
    """The application reported ``lifespan.startup.failed``, raised, or did not finish in time."""

    exit_code = ExitCode.LIFESPAN


class HandoverFailed(ArbiterError):
    """A binary upgrade did not come up."""

    exit_code = ExitCode.HANDOVER
