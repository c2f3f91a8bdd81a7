"""Facts: what has happened, as frozen records. ``Fleet.observe`` takes them one by one.

Rules: names are past tense; a fact carries what was seen and never what to do about it. Times are monotonic seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_arbiter.config.records import Record

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


class TimePassed(Record):
    """A turn of the loop began: deadlines may have passed."""


class Overslept(Record):
    """The turn began ``by`` seconds after its deadline: the machine was paused, or we were."""

    by: float


class SignalReceived(Record):
    """Somebody sent the arbiter a signal that means ``order``."""

    order: Order
    name: str


class FilesChanged(Record):
    """``--reload`` saw changes."""

    paths: tuple[str, ...]


class Spawned(Record):
    """A worker was forked."""

    pid: int
    slot: int
    number: int
    generation: int


class SpawnFailed(Record):
    """The kernel refused to fork, or a mold did not do it. ``slot`` names what a mold was ordered to fork."""

    generation: int
    error: str
    slot: int = -1


class SpawnOrdered(Record):
    """A mold was told to fork a worker; ``Spawned`` or ``SpawnFailed`` with the same slot follows."""

    slot: int
    number: int
    generation: int
    mold: int


class MoldSpawned(Record):
    """A mold was forked; a refused fork is a ``SpawnFailed``."""

    pid: int
    generation: int


class MoldReady(Record):
    """It has imported the application. ``remarks`` name threads and loops that will be missing in its workers."""

    pid: int
    remarks: tuple[str, ...] = ()


class MoldFailed(Record):
    """It could not import the application, or cannot go on, and says why."""

    pid: int
    code: ExitCode
    reason: str
    traceback: str = ""


class Signalled(Record):
    """A signal was sent to a worker (or the worker was already gone; its exit follows)."""

    pid: int
    signal: Signals
    reason: Reason


class Examined(Record):
    """A worker that is to die was looked at, and asked what it is doing."""

    pid: int
    finding: str
    will_tell: bool = False
    """It may answer."""


class ChildExited(Record):
    """A child was reaped; ``signal`` is 0 and ``code`` meaningful, or the other way round. ``code`` is ``UNKNOWN`` if it
    was somebody else's to reap."""

    pid: int
    code: int = 0
    signal: int = 0
    core_dumped: bool = False
    oom_killed: bool = False
    """The cgroup counted an out-of-memory kill since the last time we looked."""
    peak_memory: int = 0
    """Bytes of resident memory at most, 0 if unknown."""

    UNKNOWN = -1
    """A code that nobody could ask for."""


class WorkerReady(Record):
    """It accepts connections."""

    pid: int


class WorkerRetiring(Record):
    """It serves on, and asks for a successor: ``max_requests``, ``lifetime`` or ``memory``."""

    pid: int
    limit: str


class WorkerLeft(Record):
    """It has begun to drain."""

    pid: int


class WorkerFailed(Record):
    """It could not boot or cannot go on, and says why."""

    pid: int
    code: ExitCode
    reason: str
    traceback: str = ""


class WorkerTestified(Record):
    """A piece of what a worker tells about its threads, tasks and requests."""

    pid: int
    text: str


class PulseSeen(Record):
    """What a worker's line on the board said; ``beat_at`` is 0 before the first beat."""

    pid: int
    beat_at: float
    connections: int = 0
    in_flight: int = 0
    served: int = 0


class ConfigLoaded(Record):
    """The settings were read again."""

    config: Config
    rules: Rules
    refused: tuple[str, ...] = ()
    """Settings whose change needs a restart, one sentence each; their old values were kept."""


class ConfigRejected(Record):
    """The settings could not be read again."""

    complaint: str


class ListenersOpened(Record):
    """All addresses of a generation are listening."""

    generation: int
    addresses: tuple[str, ...]


class ListenersRefused(Record):
    """An address of a generation could not be opened."""

    generation: int
    complaint: str


class ListenersClosed(Record):
    """Only the listeners of generation ``keep`` are open now; with ``None``, none are."""

    keep: int | None


class SettingsAdopted(Record):
    """The settings of a promoted generation hold in this process."""

    generation: int


class LogsReopened(Record):
    """The log files were opened anew."""


class Notified(Record):
    """The service manager knows ``notice``."""

    notice: Notice


class SuccessorStarted(Record):
    """The program was executed anew."""

    pid: int


class SuccessorRefused(Record):
    """The program could not be executed anew."""

    error: str


class SuccessorReady(Record):
    """Its workers serve."""

    pid: int


class LeadOffered(Record):
    """It was told to lead."""

    pid: int


class SuccessorLeads(Record):
    """It leads. ``taken`` are the addresses of ours that it goes on using."""

    pid: int
    taken: tuple[str, ...] = ()


class SuccessorDismissed(Record):
    """It was told to leave."""

    pid: int


class SteppedDown(Record):
    """The service manager knows the successor, and our copies of the sockets are closed."""

    pid: int


class ReadinessReported(Record):
    """Our predecessor was told that our workers serve."""


class Appointed(Record):
    """Our predecessor told us to lead."""


class Relieved(Record):
    """Our predecessor gave the upgrade up and told us to leave."""


class PredecessorGone(Record):
    """Our predecessor has ended; ``has_released`` tells that it had let go of the sockets before."""

    has_released: bool = False


class SocketsReclaimed(Record):
    """No worker of a dead predecessor can close the sockets to new connections any more."""


class LeadTaken(Record):
    """The pid file and the socket files are ours."""


class WatchdogPetted(Record):
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
