"""Orders: what is to be done, as frozen dataclasses. ``plan`` gives them, ``effects`` carries them out.

Rules: names are imperative; an order is complete, so that carrying it out asks nothing of the ledger. Nothing is
remembered by having been ordered: only the fact that an effect answers with changes the ledger.

``Say`` and ``CallHook`` are *remarks*: they are not planned but written down by ``Fleet`` while it observes, since they
tell of what has changed rather than of what is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import Signals
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.errors import ExitCode

from .states import Reason

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = [
    "Action",
    "AdoptSettings",
    "CallHook",
    "CloseListeners",
    "DismissSuccessor",
    "Examine",
    "Finish",
    "LoadConfig",
    "Notice",
    "Notify",
    "OfferLead",
    "OpenListeners",
    "PetWatchdog",
    "ReclaimSockets",
    "Remark",
    "ReopenLogs",
    "ReportReadiness",
    "Say",
    "Signal",
    "Spawn",
    "SpawnMold",
    "StartSuccessor",
    "StepDown",
    "TakeLead",
]


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork a worker; with ``mold``, let that process do it."""

    slot: int
    number: int
    generation: int
    config: Config
    mold: int = 0


@dataclass(frozen=True, slots=True)
class SpawnMold:
    """Fork a child that imports the application of a generation, and from which its workers are forked."""

    generation: int
    config: Config


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to a worker, having told it why."""

    pid: int
    signal: Signals
    reason: Reason


@dataclass(frozen=True, slots=True)
class Examine:
    """Look at a stuck worker before it is told to die."""

    pid: int


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """Read the settings again."""


@dataclass(frozen=True, slots=True)
class OpenListeners:
    """Open what this generation listens on and what is not open yet."""

    generation: int
    config: Config


@dataclass(frozen=True, slots=True)
class CloseListeners:
    """Close every listener that generation ``keep`` does not use; with ``None``, all of them."""

    keep: int | None


@dataclass(frozen=True, slots=True)
class AdoptSettings:
    """Let the settings of a promoted generation hold in this process too."""

    generation: int
    config: Config


@dataclass(frozen=True, slots=True)
class ReopenLogs:
    """Open our log files anew and tell the workers ``pids`` to do the same."""

    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """What the service manager should know: a state of sd_notify (or ``""`` before READY) and a line of status."""

    state: str
    status: str
    extend: float = 0.0
    """Seconds for which the service manager should go on waiting, while the service stops."""


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the service manager."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class PetWatchdog:
    """Tell the service manager's watchdog that the service really serves."""


@dataclass(frozen=True, slots=True)
class StartSuccessor:
    """Execute the program anew, with our sockets."""


@dataclass(frozen=True, slots=True)
class OfferLead:
    """Tell the successor to lead."""

    pid: int


@dataclass(frozen=True, slots=True)
class DismissSuccessor:
    """Tell the successor to leave."""

    pid: int


@dataclass(frozen=True, slots=True)
class StepDown:
    """Name the successor to the service manager and let go of the sockets; of those not in ``taken``, also the files."""

    pid: int
    taken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportReadiness:
    """Tell the predecessor that our workers serve."""


@dataclass(frozen=True, slots=True)
class TakeLead:
    """Make the pid file and the socket files ours, and tell the predecessor."""


@dataclass(frozen=True, slots=True)
class ReclaimSockets:
    """Keep the orphans of a predecessor that was killed from closing the sockets to new connections."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Leave the program."""

    code: ExitCode
    reason: str


@dataclass(frozen=True, slots=True)
class Say:
    """Write a line for the operator. ``event`` is stable, ``text`` is prose."""

    event: str
    text: str
    level: int = logging.INFO
    traceback: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallHook:
    """Call a hook of the operator's in this process."""

    hook: str
    arguments: tuple[Any, ...] = ()


Remark = Say | CallHook
Action = (
    Spawn
    | SpawnMold
    | Signal
    | Examine
    | LoadConfig
    | OpenListeners
    | CloseListeners
    | AdoptSettings
    | ReopenLogs
    | Notify
    | PetWatchdog
    | StartSuccessor
    | OfferLead
    | DismissSuccessor
    | StepDown
    | ReportReadiness
    | TakeLead
    | ReclaimSockets
    | Finish
)
