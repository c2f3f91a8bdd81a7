"""Orders: what is to be done, as frozen records. ``plan`` gives them, ``effects`` carries them out.

Rules: names are imperative; an order is complete, so that carrying it out asks nothing of the ledger. Nothing is
remembered by having been ordered: only the fact that an effect answers with changes the ledger.

``Say`` and ``CallHook`` are *remarks*: they are not planned but written down by ``Fleet`` while it observes, since they
tell of what has changed rather than of what is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from signal import Signals
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.errors import ExitCode
from asgi_arbiter.config.records import Record, made

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


class Spawn(Record):
    """Fork a worker; with ``mold``, let that process do it."""

    slot: int
    number: int
    generation: int
    config: Config
    mold: int = 0


class SpawnMold(Record):
    """Fork a child that imports the application of a generation, and from which its workers are forked."""

    generation: int
    config: Config


class Signal(Record):
    """Send a signal to a worker, having told it why."""

    pid: int
    signal: Signals
    reason: Reason


class Examine(Record):
    """Look at a stuck worker before it is told to die."""

    pid: int


class LoadConfig(Record):
    """Read the settings again."""


class OpenListeners(Record):
    """Open what this generation listens on and what is not open yet."""

    generation: int
    config: Config


class CloseListeners(Record):
    """Close every listener that generation ``keep`` does not use; with ``None``, all of them."""

    keep: int | None


class AdoptSettings(Record):
    """Let the settings of a promoted generation hold in this process too."""

    generation: int
    config: Config


class ReopenLogs(Record):
    """Open our log files anew and tell the workers ``pids`` to do the same."""

    pids: tuple[int, ...]


class Notice(Record):
    """What the service manager should know: a state of sd_notify (or ``""`` before READY) and a line of status."""

    state: str
    status: str
    extend: float = 0.0
    """Seconds for which the service manager should go on waiting, while the service stops."""


class Notify(Record):
    """Tell the service manager."""

    notice: Notice


class PetWatchdog(Record):
    """Tell the service manager's watchdog that the service really serves."""


class StartSuccessor(Record):
    """Execute the program anew, with our sockets."""


class OfferLead(Record):
    """Tell the successor to lead."""

    pid: int


class DismissSuccessor(Record):
    """Tell the successor to leave."""

    pid: int


class StepDown(Record):
    """Name the successor to the service manager and let go of the sockets; of those not in ``taken``, also the files."""

    pid: int
    taken: tuple[str, ...]


class ReportReadiness(Record):
    """Tell the predecessor that our workers serve."""


class TakeLead(Record):
    """Make the pid file and the socket files ours, and tell the predecessor."""


class ReclaimSockets(Record):
    """Keep the orphans of a predecessor that was killed from closing the sockets to new connections."""


class Finish(Record):
    """Leave the program."""

    code: ExitCode
    reason: str


class Say(Record):
    """Write a line for the operator. ``event`` is stable, ``text`` is prose."""

    event: str
    text: str
    level: int = logging.INFO
    traceback: str = ""
    facts: Mapping[str, Any] = made(dict)


class CallHook(Record):
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
