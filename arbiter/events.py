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
    "Appointed",
    "ChildExited",
    "ConfigLoaded",
    "ConfigRejected",
    "Event",
    "Examined",
    "FilesChanged",
    "LeadOffered",
    "LeadTaken",
    "ListenersClosed",
    "ListenersOpened",
    "ListenersRefused",
    "LogsReopened",
    "MoldFailed",
    "MoldReady",
    "MoldSpawned",
    "Notified",
    "Overslept",
    "PredecessorGone",
    "PulseSeen",
    "ReadinessReported",
    "Relieved",
    "SettingsAdopted",
    "SignalReceived",
    "Signalled",
    "SocketsReclaimed",
    "SpawnFailed",
    "SpawnOrdered",
    "Spawned",
    "SteppedDown",
    "SuccessorDismissed",
    "SuccessorLeads",
    "SuccessorReady",
    "SuccessorRefused",
    "SuccessorStarted",
    "TimePassed",
    "WatchdogPetted",
    "WorkerFailed",
    "WorkerLeft",
    "WorkerReady",
    "WorkerRetiring",
    "WorkerTestified",
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
    """The kernel refused to fork, or a mold did not do it. ``slot`` names what a mold was ordered to fork."""

    generation: int
    error: str
    slot: int = -1


@dataclass(frozen=True, slots=True)
class SpawnOrdered:
    """A mold was told to fork a worker; ``Spawned`` or ``SpawnFailed`` with the same slot follows."""

    slot: int
    number: int
    generation: int
    mold: int


@dataclass(frozen=True, slots=True)
class MoldSpawned:
    """A mold was forked; a refused fork is a ``SpawnFailed``."""

    pid: int
    generation: int


@dataclass(frozen=True, slots=True)
class MoldReady:
    """It has imported the application. ``remarks`` name threads and loops that will be missing in its workers."""

    pid: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MoldFailed:
    """It could not import the application, or cannot go on, and says why."""

    pid: int
    code: ExitCode
    reason: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal was sent to a worker (or the worker was already gone; its exit follows)."""

    pid: int
    signal: Signals
    reason: Reason


@dataclass(frozen=True, slots=True)
class Examined:
    """A worker that is to die was looked at, and asked what it is doing."""

    pid: int
    finding: str
    will_tell: bool = False
    """It may answer."""


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
class WorkerTestified:
    """A piece of what a worker tells about its threads, tasks and requests."""

    pid: int
    text: str


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
class SuccessorStarted:
    """The program was executed anew."""

    pid: int


@dataclass(frozen=True, slots=True)
class SuccessorRefused:
    """The program could not be executed anew."""

    error: str


@dataclass(frozen=True, slots=True)
class SuccessorReady:
    """Its workers serve."""

    pid: int


@dataclass(frozen=True, slots=True)
class LeadOffered:
    """It was told to lead."""

    pid: int


@dataclass(frozen=True, slots=True)
class SuccessorLeads:
    """It leads. ``taken`` are the addresses of ours that it goes on using."""

    pid: int
    taken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SuccessorDismissed:
    """It was told to leave."""

    pid: int


@dataclass(frozen=True, slots=True)
class SteppedDown:
    """The service manager knows the successor, and our copies of the sockets are closed."""

    pid: int


@dataclass(frozen=True, slots=True)
class ReadinessReported:
    """Our predecessor was told that our workers serve."""


@dataclass(frozen=True, slots=True)
class Appointed:
    """Our predecessor told us to lead."""


@dataclass(frozen=True, slots=True)
class Relieved:
    """Our predecessor gave the upgrade up and told us to leave."""


@dataclass(frozen=True, slots=True)
class PredecessorGone:
    """Our predecessor has ended; ``has_released`` tells that it had let go of the sockets before."""

    has_released: bool = False


@dataclass(frozen=True, slots=True)
class SocketsReclaimed:
    """No worker of a dead predecessor can close the sockets to new connections any more."""


@dataclass(frozen=True, slots=True)
class LeadTaken:
    """The pid file and the socket files are ours."""


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
    | SpawnOrdered
    | MoldSpawned
    | MoldReady
    | MoldFailed
    | Signalled
    | Examined
    | ChildExited
    | WorkerReady
    | WorkerRetiring
    | WorkerLeft
    | WorkerFailed
    | WorkerTestified
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
    | SuccessorStarted
    | SuccessorRefused
    | SuccessorReady
    | LeadOffered
    | SuccessorLeads
    | SuccessorDismissed
    | SteppedDown
    | ReadinessReported
    | Appointed
    | Relieved
    | PredecessorGone
    | SocketsReclaimed
    | LeadTaken
)
