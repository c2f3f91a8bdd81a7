"""Where things are: the enums of every life in the arbiter, their groups, and the tables of transitions.

Rules: this file imports nothing of ours and decides nothing. A state says *where* something is, a ``Reason`` says *why*;
the two are never folded into one. A cell that is absent from a table cannot happen: when it does, ``Fleet`` counts and
logs a contradiction, which is a bug report. ``STATES.md`` is drawn from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

__all__ = [
    "ALIVE",
    "CAPACITY",
    "GENERATION_TABLE",
    "LEAVING",
    "MOLD_TABLE",
    "PHASE_TABLE",
    "SHUTTING_DOWN",
    "SPAWNING",
    "SUCCESSOR_TABLE",
    "TENURE_TABLE",
    "TESTING",
    "WORKER_TABLE",
    "GenerationFact",
    "GenerationState",
    "Health",
    "MoldFact",
    "MoldState",
    "Phase",
    "PhaseFact",
    "Reason",
    "SuccessorFact",
    "SuccessorState",
    "Tenure",
    "TenureFact",
    "WorkerFact",
    "WorkerState",
]


class WorkerState(Enum):
    """A worker, as the arbiter sees it. The value is the meaning."""

    BOOTING = "forked, not yet heard from"
    SERVING = "accepts connections; its pulse is judged"
    RETIRING = "still serves, has asked for a successor"
    STUCK = "its pulse is overdue; a replacement may boot while it is examined"
    DRAINING = "accepts no more, finishes its requests"
    ABORTING = "told to write its stacks and die"
    KILLED = "SIGKILL sent, nothing more to do"
    GONE = "reaped, no longer in the ledger"


class WorkerFact(Enum):
    """What can happen to a worker."""

    READY = "it reports that it serves"
    LIMIT = "it asks for a successor"
    LEFT = "it reports that it leaves, without our asking"
    FAILED = "it reports that it failed"
    BEAT = "a fresh pulse was seen"
    SILENT = "its pulse is overdue"
    TERMINATED = "SIGTERM or SIGQUIT was sent"
    ABORTED = "SIGABRT was sent"
    KILLED = "SIGKILL was sent"
    EXITED = "it was reaped"


class MoldState(Enum):
    """With ``--preload``: the child from which the workers of one generation are forked."""

    IMPORTING = "forked, imports the application"
    WAITING = "has the application; forks a worker when told"
    LEAVING = "told to leave, or has failed"
    ABORTING = "told to write its stacks and die"
    KILLED = "SIGKILL sent, nothing more to do"
    GONE = "reaped, no longer in the ledger"


class MoldFact(Enum):
    """What can happen to a mold."""

    IMPORTED = "it reports that it has the application"
    FAILED = "it reports that it failed"
    TERMINATED = "SIGTERM or SIGQUIT was sent"
    ABORTED = "SIGABRT was sent"
    KILLED = "SIGKILL was sent"
    EXITED = "it was reaped"


class GenerationState(Enum):
    """All workers that share one version of settings and code."""

    PROPOSED = "settings read, its listeners not yet open"
    CANDIDATE = "its canary boots and settles; nobody else is touched"
    ROLLING = "its canary has settled; its workers replace the old ones"
    CURRENT = "the one that refills"
    REJECTED = "its workers leave as soon as capacity stands without them"
    RETIRED = "superseded or rejected, and empty"


class GenerationFact(Enum):
    """What can happen to a generation."""

    OPENED = "its listeners are open"
    SETTLED = "its canary served for the settle time"
    REPLACED = "the wished number serves and no other worker is alive"
    FAILED = "one of its workers failed to boot, fell silent or died too early; or a listener could not be opened"
    SUPERSEDED = "another generation took over"
    EMPTIED = "its last living worker is gone"


class Phase(Enum):
    """The arbiter itself."""

    STARTING = "no worker has served yet"
    RUNNING = "serving"
    RELOADING = "a new generation is being tried or rolled out"
    HANDING_OVER = "serving, while a successor with the new program boots"
    DELAYING = "told to stop, still serving for drain_delay"
    DRAINING = "stopping gracefully"
    STOPPING = "stopping quickly"
    KILLING = "stopping at once"
    STOPPED = "no workers left"


class PhaseFact(Enum):
    """What moves the arbiter from phase to phase."""

    SERVED = "the first worker is ready"
    BOOT_FAILED = "the first generation could not boot"
    RELOAD = "a reload begins"
    RELOADED = "the reload ended: promoted or rejected"
    UPGRADE = "an upgrade begins"
    UPGRADE_FAILED = "the successor ended or was given up"
    HANDED_OVER = "the successor leads"
    TERM = "SIGTERM"
    INT = "SIGINT"
    QUIT = "SIGQUIT"
    DELAY_OVER = "drain_delay has passed"
    EMPTY = "no workers left"


class SuccessorState(Enum):
    """The next arbiter, as the one that started it sees it."""

    BOOTING = "started, its workers boot"
    READY = "its workers serve; not yet told to lead"
    OFFERED = "told to lead; has not answered"
    LEADING = "it leads"
    DISMISSED = "told to leave"
    KILLED = "SIGKILL sent, nothing more to do"
    GONE = "reaped"


class SuccessorFact(Enum):
    """What can happen to a successor."""

    READY = "it reports that its workers serve"
    OFFERED = "it was told to lead"
    LEADS = "it reports that it leads"
    DISMISSED = "it was told to leave"
    KILLED = "SIGKILL was sent"
    EXITED = "it was reaped"


class Tenure(Enum):
    """Whether this arbiter leads: has the pid file, owns socket files, and speaks to the service manager."""

    APPRENTICE = "a successor: its workers boot and serve, its predecessor leads"
    REPORTED = "a successor that has told its predecessor that its workers serve"
    APPOINTED = "told to lead, or its predecessor died"
    LEADING = "it leads"
    RETIRED = "its successor leads; it finishes what is under way"


class TenureFact(Enum):
    """What moves the lead."""

    REPORTED = "the predecessor was told that our workers serve"
    APPOINTED = "the predecessor told us to lead, or died"
    TAKEN = "pid file and socket files are ours"
    STEPPED_DOWN = "a successor leads"


class Reason(Enum):
    """Why a worker leaves. The first reason stays; later ones are only logged."""

    SHUTDOWN = "shutdown"
    SUPERSEDED = "replaced by a new generation"
    REJECTED = "its generation was rejected"
    SURPLUS = "more workers than wished"
    LIMIT = "it reached a limit"
    STALE_PULSE = "its event loop did not turn for too long"
    BOOT_TIMEOUT = "it did not become ready in time"
    FAILED = "it reported a failure"
    OWN_ACCORD = "somebody else told it to"
    HANDED_OVER = "another arbiter serves on"
    UNANSWERED = "it was told to fork a worker and did not"


class Health(Enum):
    """Whether restarts are held back. Never a reason to exit."""

    HEALTHY = "restarts happen at once"
    DEGRADED = "workers die faster than they may be restarted"


_W, _F = WorkerState, WorkerFact

ALIVE = frozenset({_W.BOOTING, _W.SERVING, _W.RETIRING, _W.STUCK})
CAPACITY = frozenset({_W.SERVING, _W.RETIRING})
LEAVING = frozenset({_W.DRAINING, _W.ABORTING, _W.KILLED})
TESTING = frozenset({GenerationState.CANDIDATE, GenerationState.ROLLING})
SPAWNING = frozenset({Phase.STARTING, Phase.RUNNING, Phase.RELOADING, Phase.HANDING_OVER, Phase.DELAYING})
SHUTTING_DOWN = frozenset({Phase.DRAINING, Phase.STOPPING, Phase.KILLING, Phase.STOPPED})

_ANY_END = {_F.ABORTED: _W.ABORTING, _F.KILLED: _W.KILLED, _F.EXITED: _W.GONE}
_OWN_END = {_F.LEFT: _W.DRAINING, _F.FAILED: _W.DRAINING, _F.TERMINATED: _W.DRAINING}


def _crossed(state: WorkerState) -> dict[WorkerFact, WorkerState]:
    """Messages that were already under way when we acted; they change nothing any more."""
    return dict.fromkeys((_F.READY, _F.LIMIT, _F.LEFT, _F.FAILED, _F.BEAT), state)


WORKER_TABLE: Mapping[WorkerState, Mapping[WorkerFact, WorkerState]] = {
    _W.BOOTING: {_F.READY: _W.SERVING, _F.BEAT: _W.BOOTING, **_OWN_END, **_ANY_END},
    _W.SERVING: {_F.LIMIT: _W.RETIRING, _F.BEAT: _W.SERVING, _F.SILENT: _W.STUCK, **_OWN_END, **_ANY_END},
    _W.RETIRING: {_F.LIMIT: _W.RETIRING, _F.BEAT: _W.RETIRING, _F.SILENT: _W.STUCK, **_OWN_END, **_ANY_END},
    _W.STUCK: {_F.LIMIT: _W.STUCK, _F.BEAT: _W.SERVING, **_OWN_END, **_ANY_END},
    _W.DRAINING: {**_crossed(_W.DRAINING), _F.TERMINATED: _W.DRAINING, **_ANY_END},
    _W.ABORTING: {**_crossed(_W.ABORTING), _F.KILLED: _W.KILLED, _F.EXITED: _W.GONE},
    _W.KILLED: {**_crossed(_W.KILLED), _F.EXITED: _W.GONE},
    _W.GONE: {},
}

_M, _N = MoldState, MoldFact
_MOLD_END = {_N.KILLED: _M.KILLED, _N.EXITED: _M.GONE}
_MOLD_LEAVES = {_N.FAILED: _M.LEAVING, _N.TERMINATED: _M.LEAVING, _N.ABORTED: _M.ABORTING, **_MOLD_END}

MOLD_TABLE: Mapping[MoldState, Mapping[MoldFact, MoldState]] = {
    _M.IMPORTING: {_N.IMPORTED: _M.WAITING, **_MOLD_LEAVES},
    _M.WAITING: _MOLD_LEAVES,
    _M.LEAVING: {_N.IMPORTED: _M.LEAVING, _N.FAILED: _M.LEAVING, _N.TERMINATED: _M.LEAVING, **_MOLD_END},
    _M.ABORTING: {_N.IMPORTED: _M.ABORTING, _N.FAILED: _M.ABORTING, **_MOLD_END},
    _M.KILLED: {_N.IMPORTED: _M.KILLED, _N.FAILED: _M.KILLED, _N.EXITED: _M.GONE},
    _M.GONE: {},
}

_S, _T = SuccessorState, SuccessorFact
_SUCCESSOR_END = {_T.DISMISSED: _S.DISMISSED, _T.KILLED: _S.KILLED, _T.EXITED: _S.GONE}


def _too_late(state: SuccessorState) -> dict[SuccessorFact, SuccessorState]:
    """Messages of a successor that crossed our decision."""
    return dict.fromkeys((_T.READY, _T.LEADS), state)


SUCCESSOR_TABLE: Mapping[SuccessorState, Mapping[SuccessorFact, SuccessorState]] = {
    _S.BOOTING: {_T.READY: _S.READY, **_SUCCESSOR_END},
    _S.READY: {_T.OFFERED: _S.OFFERED, **_SUCCESSOR_END},
    _S.OFFERED: {_T.LEADS: _S.LEADING, **_SUCCESSOR_END},
    _S.LEADING: _SUCCESSOR_END,
    _S.DISMISSED: {**_too_late(_S.DISMISSED), _T.KILLED: _S.KILLED, _T.EXITED: _S.GONE},
    _S.KILLED: {**_too_late(_S.KILLED), _T.EXITED: _S.GONE},
    _S.GONE: {},
}

_E, _X = Tenure, TenureFact

TENURE_TABLE: Mapping[Tenure, Mapping[TenureFact, Tenure]] = {
    _E.APPRENTICE: {_X.REPORTED: _E.REPORTED, _X.APPOINTED: _E.APPOINTED},
    _E.REPORTED: {_X.APPOINTED: _E.APPOINTED},
    _E.APPOINTED: {_X.TAKEN: _E.LEADING, _X.APPOINTED: _E.APPOINTED},
    _E.LEADING: {_X.STEPPED_DOWN: _E.RETIRED, _X.APPOINTED: _E.LEADING},
    _E.RETIRED: {},
}

_G, _H = GenerationState, GenerationFact

GENERATION_TABLE: Mapping[GenerationState, Mapping[GenerationFact, GenerationState]] = {
    _G.PROPOSED: {_H.OPENED: _G.CANDIDATE, _H.FAILED: _G.REJECTED},
    _G.CANDIDATE: {_H.SETTLED: _G.ROLLING, _H.FAILED: _G.REJECTED},
    _G.ROLLING: {_H.REPLACED: _G.CURRENT, _H.FAILED: _G.REJECTED},
    _G.CURRENT: {_H.SUPERSEDED: _G.RETIRED},
    _G.REJECTED: {_H.EMPTIED: _G.RETIRED},
    _G.RETIRED: {},
}

_P, _Q = Phase, PhaseFact
_STOP = {_Q.TERM: _P.DRAINING, _Q.INT: _P.STOPPING, _Q.QUIT: _P.STOPPING}
_NOW = {_Q.TERM: _P.KILLING, _Q.INT: _P.KILLING}

PHASE_TABLE: Mapping[Phase, Mapping[PhaseFact, Phase]] = {
    # A reload straight from STARTING: under --reload, when the first code could not boot and has been changed.
    _P.STARTING: {_Q.SERVED: _P.RUNNING, _Q.BOOT_FAILED: _P.STOPPING, _Q.RELOAD: _P.RELOADING, **_STOP},
    # A service that has a drain delay keeps serving for it; Fleet moves on at once where the delay is zero.
    _P.RUNNING: {_Q.RELOAD: _P.RELOADING, _Q.UPGRADE: _P.HANDING_OVER, **_STOP, _Q.TERM: _P.DELAYING},
    _P.RELOADING: {_Q.RELOADED: _P.RUNNING, **_STOP, _Q.TERM: _P.DELAYING},
    _P.HANDING_OVER: {_Q.UPGRADE_FAILED: _P.RUNNING, _Q.HANDED_OVER: _P.DRAINING, **_STOP, _Q.TERM: _P.DELAYING},
    _P.DELAYING: {_Q.DELAY_OVER: _P.DRAINING, **_STOP},
    _P.DRAINING: {_Q.EMPTY: _P.STOPPED, _Q.QUIT: _P.STOPPING, **_NOW},
    _P.STOPPING: {_Q.EMPTY: _P.STOPPED, _Q.QUIT: _P.STOPPING, **_NOW},
    _P.KILLING: {_Q.EMPTY: _P.STOPPED, _Q.QUIT: _P.KILLING, **_NOW},
    _P.STOPPED: {_Q.QUIT: _P.STOPPED, _Q.TERM: _P.STOPPED, _Q.INT: _P.STOPPED},
}
