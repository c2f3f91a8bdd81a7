"""What is written down about a worker, a mold, a successor and a generation. Data only: ``Fleet`` alone changes it.

Times are monotonic seconds. ``identity`` is the one way to begin a log line about a worker.
"""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING

from asgi_arbiter.config.records import Record, made

from .states import ALIVE, CAPACITY, GenerationState, MoldState, Reason, SuccessorState, WorkerState

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

    from .events import WorkerFailed
    from .policy import Rules

__all__ = ["Generation", "Mold", "Request", "Successor", "WorkerHandle", "identity"]


class WorkerHandle(Record, frozen=False):
    """The arbiter's view of one child."""

    pid: int
    slot: int
    """Its line on the pulse board; unique among the living."""
    number: int
    """Its name for people; unique among the workers of its generation."""
    generation: int
    born: float
    since: float
    """When it entered its state."""
    deadline: float | None
    """When this state has lasted too long."""
    state: WorkerState = WorkerState.BOOTING
    reason: Reason | None = None
    ready_at: float | None = None
    beat_at: float = 0.0
    served: int = 0
    in_flight: int = 0
    connections: int = 0
    limit: str = ""
    """The limit because of which it asked for a successor."""
    failure: WorkerFailed | None = None
    finding: str = ""
    """What an examination found, before it was told to die."""
    testimony: str = ""
    """What it has told about itself and is not in the log yet."""
    told_at: float | None = None
    """When that is complete, if nothing more comes."""
    tells_until: float | None = None
    """How long somebody waits for it."""
    evidence: str = ""
    """What it told last."""
    sent: set[Signals] = made(set)

    @property
    def is_alive(self) -> bool:
        """Whether it counts against the number of workers that may exist."""
        return self.state in ALIVE

    @property
    def is_capacity(self) -> bool:
        """Whether it serves."""
        return self.state in CAPACITY


class Mold(Record, frozen=False):
    """The child that has imported the application of a generation and forks its workers."""

    pid: int
    generation: int
    born: float
    since: float
    deadline: float | None
    state: MoldState = MoldState.IMPORTING
    reason: Reason | None = None
    ready_at: float | None = None
    has_failed: bool = False
    """It told why it ends."""
    sent: set[Signals] = made(set)

    @property
    def is_alive(self) -> bool:
        """Whether it has, or will have, the application."""
        return self.state in (MoldState.IMPORTING, MoldState.WAITING)

    @property
    def name(self) -> str:
        """``mold gen=2 pid=4711``, as its log lines begin."""
        return f"mold gen={self.generation} pid={self.pid}"


class Request(Record):
    """A worker that a mold was told to fork and that has not been seen yet."""

    slot: int
    number: int
    generation: int
    mold: int
    deadline: float


class Successor(Record, frozen=False):
    """The arbiter with the new program, started by us."""

    pid: int
    born: float
    deadline: float | None
    state: SuccessorState = SuccessorState.BOOTING
    taken: tuple[str, ...] = ()
    """Addresses of ours that it goes on using."""


class Generation(Record, frozen=False):
    """All workers that share one version of settings and code. Numbers are never reused."""

    number: int
    config: Config
    rules: Rules
    wish: int
    born: float
    state: GenerationState
    addresses: tuple[str, ...] = ()
    failure: str = ""
    """Why it was rejected."""
    deaths: int = 0
    """Its workers that ended unasked during its roll, though they had settled."""
    shown: set[str] = made(set)
    """Failures already told in full; the same again gets half a line."""

    @property
    def is_open(self) -> bool:
        """Whether its workers may be spawned or kept."""
        return self.state in (GenerationState.CANDIDATE, GenerationState.ROLLING, GenerationState.CURRENT)


def identity(number: int, generation: int, pid: int) -> str:
    """``worker=2 gen=5 pid=4711``."""
    return f"worker={number} gen={generation} pid={pid}"
