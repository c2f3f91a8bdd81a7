"""Facts: what has happened, as frozen dataclasses. ``Fleet.observe`` takes them one by one.

Rules: names are past tense; a fact carries what was seen and never what to do about it. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .states import Reason

if TYPE_CHECKING:
    from signal import Signals

    from asgi_arbiter.config import Config
    from asgi_arbiter.config.errors import ExitCode

    from .actions import Notice
    from .policy import Rules
    from .signals import Order

__all__ = [
    "ChildExited",
    "ConfigLoaded",
    "ConfigRejected",
    "Event",
    "Examined",
    "FilesChanged",
    "ListenersClosed",
    "ListenersOpened",
    "ListenersRefused",
    "LogsReopened",
    "Notified",
    "Overslept",
    "PulseSeen",
    "SettingsAdopted",
    "SignalReceived",
    "Signalled",
    "SpawnFailed",
    "Spawned",
    "TimePassed",
    "WatchdogPetted",
    "WorkerFailed",
    "WorkerLeft",
    "WorkerReady",
    "WorkerRetiring",
]


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A turn of the loop began: deadlines may have passed."""


@dataclass(frozen=True, slots=True)
class Overslept:
    """The turn began ``by`` seconds after its deadline: the machine was paused, or we were."""

    by: float


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """Somebody sent the arbiter a signal that means ``order``."""

    order: Order
    name: str


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """``--reload`` saw changes."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spawned:
    """A worker was forked."""

    pid: int
    slot: int
    number: int
    generation: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The kernel refused to fork."""

    generation: int
    error: str


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal was sent to a worker (or the worker was already gone; its exit follows)."""

    pid: int
    signal: Signals
    reason: Reason


@dataclass(frozen=True, slots=True)
class Examined:
    """A stuck worker was looked at; what was found is in the log."""

    pid: int
    finding: str


@dataclass(frozen=True, slots=True)
class ChildExited:
    """A child was reaped; ``signal`` is 0 and ``code`` meaningful, or the other way round."""

    pid: int
    code: int = 0
    signal: int = 0
    core_dumped: bool = False
    oom_killed: bool = False
    """The cgroup counted an out-of-memory kill since the last time we looked."""
    peak_memory: int = 0
    """Bytes of resident memory at most, 0 if unknown."""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """It accepts connections."""

    pid: int


@dataclass(frozen=True, slots=True)
class WorkerRetiring:
    """It serves on, and asks for a successor: ``max_requests``, ``lifetime`` or ``memory``."""

    pid: int
    limit: str


@dataclass(frozen=True, slots=True)
class WorkerLeft:
    """It has begun to drain."""

    pid: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """It could not boot or cannot go on, and says why."""

    pid: int
    code: ExitCode
    reason: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class PulseSeen:
    """What a worker's line on the board said; ``beat_at`` is 0 before the first beat."""

    pid: int
    beat_at: float
    connections: int = 0
    in_flight: int = 0
    served: int = 0


@dataclass(frozen=True, slots=True)
class ConfigLoaded:
    """The settings were read again."""

    config: Config
    rules: Rules
    refused: tuple[str, ...] = ()
    """Settings whose change needs a restart, one sentence each; their old values were kept."""


@dataclass(frozen=True, slots=True)
class ConfigRejected:
    """The settings could not be read again."""

    complaint: str


@dataclass(frozen=True, slots=True)
class ListenersOpened:
    """All addresses of a generation are listening."""

    generation: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListenersRefused:
    """An address of a generation could not be opened."""

    generation: int
    complaint: str


@dataclass(frozen=True, slots=True)
class ListenersClosed:
    """Only the listeners of generation ``keep`` are open now; with ``None``, none are."""

    keep: int | None


@dataclass(frozen=True, slots=True)
class SettingsAdopted:
    """The settings of a promoted generation hold in this process."""

    generation: int


@dataclass(frozen=True, slots=True)
class LogsReopened:
    """The log files were opened anew."""


@dataclass(frozen=True, slots=True)
class Notified:
    """The service manager knows ``notice``."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class WatchdogPetted:
    """The service manager's watchdog was told that we are alive."""


Event = (
    TimePassed
    | Overslept
    | SignalReceived
    | FilesChanged
    | Spawned
    | SpawnFailed
    | Signalled
    | Examined
    | ChildExited
    | WorkerReady
    | WorkerRetiring
    | WorkerLeft
    | WorkerFailed
    | PulseSeen
    | ConfigLoaded
    | ConfigRejected
    | ListenersOpened
    | ListenersRefused
    | ListenersClosed
    | SettingsAdopted
    | LogsReopened
    | Notified
    | WatchdogPetted
)
