"""``Fleet``: the ledger of all workers and generations. Facts go in by ``observe``; questions are answered; no I/O.

Rules: every state in the arbiter changes here, in ``move_worker``, ``move_generation`` and ``move_phase``, by table.
Time enters as ``now`` (monotonic seconds) and nowhere else. What to *do* is ``plan``'s business. What each kind of
fact means is in ``supervision`` (workers), ``reloading`` (generations) and ``stopping`` (signals and phases).
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import blame, children, hearing, molding, reloading, stopping, succession, supervision
from .actions import Notice, Remark, Say
from .ledger import Generation, Mold, Request, Successor, WorkerHandle, identity
from .policy import Rules, look_interval
from .states import (
    CAPACITY,
    GENERATION_TABLE,
    MOLD_TABLE,
    PHASE_TABLE,
    SHUTTING_DOWN,
    SUCCESSOR_TABLE,
    TENURE_TABLE,
    TESTING,
    WORKER_TABLE,
    GenerationFact,
    GenerationState,
    Health,
    MoldFact,
    MoldState,
    Phase,
    PhaseFact,
    SuccessorFact,
    Tenure,
    TenureFact,
    WorkerFact,
    WorkerState,
)

if TYPE_CHECKING:
    from asgi_arbiter.config import Config
    from asgi_arbiter.config.errors import ExitCode

    from .events import Event

__all__ = ["Fleet"]

_JUDGED = (WorkerState.SERVING, WorkerState.RETIRING)

_OBSERVERS: dict[type[Any], Callable[[Fleet, Any, float], None]] = {
    **supervision.OBSERVERS,
    **hearing.OBSERVERS,
    **molding.OBSERVERS,
    **reloading.OBSERVERS,
    **stopping.OBSERVERS,
    **succession.OBSERVERS,
    **children.OBSERVERS,
}


class Fleet:
    """The whole memory of the arbiter. ``slots`` is the size of the pulse board, ``watchdog`` the interval in seconds
    at which the service manager wants to hear from us (0: it does not), ``leads`` is false in the successor of another
    arbiter."""

    def __init__(
        self,
        config: Config,
        rules: Rules,
        *,
        now: float,
        slots: int,
        addresses: tuple[str, ...] = (),
        watchdog: float = 0.0,
        leads: bool = True,
    ) -> None:
        self.phase = Phase.STARTING
        self.tenure = Tenure.LEADING if leads else Tenure.APPRENTICE
        self.health = Health.HEALTHY
        self.slots = slots
        self.handles: dict[int, WorkerHandle] = {}
        self.molds: dict[int, Mold] = {}
        self.requests: dict[int, Request] = {}
        """Workers that molds were told to fork, by slot."""
        self.successor: Successor | None = None
        first = Generation(1, config, rules, rules.workers, now, GenerationState.CURRENT, addresses)
        self.generations: dict[int, Generation] = {1: first}
        self.newest = 1
        self.born = now
        self.complete_at: float | None = None
        """When the wished number of workers served for the first time."""
        self.opened: set[int] = {1}
        """Generations whose listeners are open."""
        self.adopted = 1
        """The generation whose settings hold in the arbiter itself."""

        self.pending_reload = False
        self.reload_began = now
        self.reload_base = 0
        """Requests that had been served when the reload began."""
        self.served_gone = 0
        """Requests served by workers that are gone."""
        self.last_failure = ""
        """Why the last reload was rejected, until one succeeds."""

        self.crashes: deque[float] = deque()
        """When workers ended unasked, within the restart window."""
        self.streak = 0
        """Workers in a row that ended before they were ready."""
        self.crash_hold_until = 0.0
        self.fork_failures = 0
        self.fork_hold_until = 0.0

        self.mold_streak = 0
        """Molds of the current generation that ended unasked, with nothing good between them."""
        self.mold_hold_until = 0.0

        self.pending_upgrade = False
        self.upgrade_began = now
        self.upgrade_repeated = False
        """Somebody asked for another one while one is under way, and was told so."""
        self.reclaim_wanted = False
        """Our predecessor died with the sockets in its hands."""
        self.upgrade_failure = ""
        """Why the last upgrade failed, until another begins."""

        self.stop_began: float | None = None
        self.stop_signal_at = -math.inf
        self.delay_until = 0.0
        self.outcome: tuple[ExitCode, str] | None = None

        self.reopen_wanted = False
        self.told: Notice | None = None
        self.watchdog = watchdog
        self.petted_at = now
        self.looked_at = now

        self.remarks: list[Remark] = []
        self.contradictions: list[str] = []

    # --- facts -------------------------------------------------------------------------------------------------------

    def observe(self, event: Event, now: float) -> None:
        """Let one fact change the ledger, then draw the conclusions that several facts make together."""
        _OBSERVERS[type(event)](self, event, now)
        supervision.conclude(self, now)
        hearing.conclude(self, now)
        molding.conclude(self, now)
        reloading.conclude(self, now)
        stopping.conclude(self, now)
        succession.conclude(self, now)

    def take_remarks(self) -> list[Remark]:
        """What is to be said about the changes since the last call."""
        taken, self.remarks = self.remarks, []
        return taken

    def move_worker(self, handle: WorkerHandle, fact: WorkerFact, now: float) -> bool:
        """Apply ``fact`` to a worker by table; whether it changed its state."""
        old, new = handle.state, WORKER_TABLE[handle.state].get(fact)
        who = identity(handle.number, handle.generation, handle.pid)
        if new is None:
            self._contradict(f"{who} {old.name} cannot take {fact.name}")
            return False
        if new is old:
            return False
        handle.state, handle.since = new, now
        handle.deadline = self._deadline(handle, now)
        self._trace(f"{who} {old.name} --{fact.name}--> {new.name}")
        return True

    def move_generation(self, generation: Generation, fact: GenerationFact) -> None:
        """Apply ``fact`` to a generation by table."""
        old, new = generation.state, GENERATION_TABLE[generation.state].get(fact)
        if new is None:
            self._contradict(f"gen={generation.number} {old.name} cannot take {fact.name}")
            return
        generation.state = new
        self._trace(f"gen={generation.number} {old.name} --{fact.name}--> {new.name}")

    def move_phase(self, fact: PhaseFact) -> None:
        """Apply ``fact`` to the arbiter itself by table."""
        old, new = self.phase, PHASE_TABLE[self.phase].get(fact)
        if new is None:
            self._contradict(f"arbiter {old.name} cannot take {fact.name}")
            return
        self.phase = new
        if new is not old:
            self._trace(f"arbiter {old.name} --{fact.name}--> {new.name}")

    def move_mold(self, mold: Mold, fact: MoldFact, now: float) -> bool:
        """Apply ``fact`` to a mold by table; whether it changed its state."""
        old, new = mold.state, MOLD_TABLE[mold.state].get(fact)
        if new is None:
            self._contradict(f"{mold.name} {old.name} cannot take {fact.name}")
            return False
        if new is old:
            return False
        rules = self.generations[mold.generation].rules
        # One that rears its workers stays until the last of them has left.
        leaving = rules.kill_timeout + (rules.drain_budget if rules.molds_rear else 0.0)
        budgets = {MoldState.LEAVING: leaving, MoldState.ABORTING: rules.abort_timeout}
        mold.state, mold.since = new, now
        mold.deadline = now + budgets[new] if new in budgets else None
        self._trace(f"{mold.name} {old.name} --{fact.name}--> {new.name}")
        return True

    def move_successor(self, successor: Successor, fact: SuccessorFact) -> None:
        """Apply ``fact`` to the successor by table."""
        old, new = successor.state, SUCCESSOR_TABLE[successor.state].get(fact)
        if new is None:
            self._contradict(f"successor pid={successor.pid} {old.name} cannot take {fact.name}")
            return
        successor.state = new
        self._trace(f"successor pid={successor.pid} {old.name} --{fact.name}--> {new.name}")

    def move_tenure(self, fact: TenureFact) -> None:
        """Apply ``fact`` to the lead by table."""
        old, new = self.tenure, TENURE_TABLE[self.tenure].get(fact)
        if new is None:
            self._contradict(f"tenure {old.name} cannot take {fact.name}")
            return
        self.tenure = new
        self._trace(f"tenure {old.name} --{fact.name}--> {new.name}")

    def say(self, remark: Remark) -> None:
        """Keep a remark for ``take_remarks``."""
        self.remarks.append(remark)

    def _trace(self, text: str) -> None:
        self.say(Say("state_changed", text, logging.DEBUG))

    def _contradict(self, text: str) -> None:
        self.contradictions.append(text)
        self.say(Say("contradiction", f"{text}; please report this", logging.ERROR))

    def _deadline(self, handle: WorkerHandle, now: float) -> float | None:
        rules = self.generations[handle.generation].rules
        match handle.state:
            case WorkerState.SERVING | WorkerState.RETIRING:
                return max(handle.beat_at, now) + rules.timeout if rules.timeout > 0 else None
            case WorkerState.STUCK:
                return now + rules.stuck_budget
            case WorkerState.DRAINING:
                return now + rules.drain_budget
            case WorkerState.ABORTING:
                return now + rules.abort_timeout
            case _:
                return None

    # --- questions ---------------------------------------------------------------------------------------------------

    def current(self) -> Generation:
        """The generation that refills; there is always one."""
        return next(g for g in self.generations.values() if g.state is GenerationState.CURRENT)

    def candidate(self) -> Generation | None:
        """The generation under trial or being rolled out."""
        return next((g for g in self.generations.values() if g.state in TESTING), None)

    def proposed(self) -> Generation | None:
        """The generation that waits for its listeners."""
        return next((g for g in self.generations.values() if g.state is GenerationState.PROPOSED), None)

    @property
    def wish(self) -> int:
        """How many workers are wanted now."""
        candidate = self.candidate()
        if candidate is not None and candidate.state is GenerationState.ROLLING:
            return candidate.wish
        return self.current().wish

    def ceiling(self) -> int:
        """How many may be alive at once."""
        candidate, current = self.candidate(), self.current()
        if candidate is not None:
            return max(candidate.wish, current.wish) + candidate.rules.reload_surge
        return current.wish + current.rules.recycle_surge

    def workers(self, *states: WorkerState, of: Generation | None = None) -> list[WorkerHandle]:
        """Workers in one of ``states`` (any, if none is given), of one generation or of all, oldest first."""
        return sorted(
            (
                handle
                for handle in self.handles.values()
                if (not states or handle.state in states) and (of is None or handle.generation == of.number)
            ),
            key=lambda handle: (handle.born, handle.pid),
        )

    def living(self, of: Generation | None = None) -> list[WorkerHandle]:
        """Workers that have not been told to leave."""
        return [handle for handle in self.workers(of=of) if handle.is_alive]

    def serving(self, of: Generation | None = None) -> list[WorkerHandle]:
        """Workers that serve."""
        return self.workers(*CAPACITY, of=of)

    def expected(self, of: Generation | None = None) -> list[Request]:
        """Workers that a mold was told to fork and that are not seen yet."""
        return [request for request in self.requests.values() if of is None or request.generation == of.number]

    def is_empty(self) -> bool:
        """Whether no child is left that the end would have to wait for."""
        waits = self.successor is not None and self.tenure is not Tenure.RETIRED
        return not (self.handles or self.molds or self.requests or waits)

    def free_slots(self) -> list[int]:
        """Lines of the pulse board that nobody uses."""
        taken = {handle.slot for handle in self.handles.values()} | set(self.requests)
        return [slot for slot in range(self.slots) if slot not in taken]

    def is_probing(self) -> bool:
        """Whether restarts go one at a time, since the last ones failed."""
        return self.streak > 0 or self.health is Health.DEGRADED

    def may_pet(self) -> bool:
        """Whether the service really serves, so that the service manager's watchdog may be told so."""
        leads = self.tenure is Tenure.LEADING
        return leads and self.watchdog > 0 and (self.phase in SHUTTING_DOWN or bool(self.serving()))

    def total_served(self) -> int:
        """Requests served by all workers there ever were, as far as their pulses told."""
        return self.served_gone + sum(handle.served for handle in self.handles.values())

    def next_deadline(self) -> float | None:
        """When the next turn must begin even if nothing happens; ``None`` if only an event can change anything."""
        times = [handle.deadline for handle in self.handles.values() if handle.deadline is not None]
        judged = [self.generations[h.generation].rules.timeout for h in self.workers(*_JUDGED)]
        if any(timeout > 0 for timeout in judged):
            times.append(self.looked_at + look_interval(min(timeout for timeout in judged if timeout > 0)))
        candidate = self.candidate()
        if candidate is not None and candidate.state is GenerationState.CANDIDATE:
            settle = candidate.rules.settle_time
            times += [h.ready_at + settle for h in self.serving(candidate) if h.ready_at is not None]
        times += [hold for hold in (self.crash_hold_until, self.fork_hold_until) if 0 < hold < math.inf]
        if self.phase is Phase.DELAYING:
            times.append(self.delay_until)
        if self.may_pet():
            times.append(self.petted_at + self.watchdog)
        times += molding.deadlines(self) + succession.deadlines(self) + hearing.deadlines(self)
        recovery = blame.recovery_time(self)
        if recovery is not None:
            times.append(recovery)
        return min(times, default=None)
