"""What is wanted: the settings, where they come from, and the rules between them.

This folder reads files and variables and does no other input or output. It imports nothing of ``protocols``,
``worker`` or ``arbiter``.
"""

from __future__ import annotations

from .address import Address, AddressKind
from .errors import (
    AppImportError,
    ArbiterError,
    BindError,
    ConfigError,
    ConflictingSettings,
    ExitCode,
    HandoverFailed,
    InvalidSetting,
    LifespanFailed,
    MissingExtra,
    SourceUnreadable,
    UnknownSetting,
)
from .schema import Reach
from .settings import Config
from .sources import Loaded, configure, load

TYPE_CHECKING = False  # what type checkers take for true
if TYPE_CHECKING:
    from typing import Any

    from .loglook import LOGGING_CONFIG

__all__ = [
    "LOGGING_CONFIG",
    "Address",
    "AddressKind",
    "AppImportError",
    "ArbiterError",
    "BindError",
    "Config",
    "ConfigError",
    "ConflictingSettings",
    "ExitCode",
    "HandoverFailed",
    "InvalidSetting",
    "LifespanFailed",
    "Loaded",
    "MissingExtra",
    "Reach",
    "SourceUnreadable",
    "UnknownSetting",
    "configure",
    "load",
]


def __getattr__(name: str) -> Any:
    if name != "LOGGING_CONFIG":  # imported for programs that ask for it alone
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import loglook

    return loglook.LOGGING_CONFIG
