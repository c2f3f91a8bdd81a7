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

__all__ = [
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
