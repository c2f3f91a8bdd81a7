"""One turn of the arbiter: wait, observe, plan, carry out. There is no other loop in the parent.

Rules: this is the joint between the pure machine and the kernel, and it is the same joint for the real kernel
(``effects``) and for the simulated one of the tests. It decides nothing.
"""

from __future__ import annotations

from typing import Protocol

from .actions import Action, Finish, Remark
from .events import Event, Overslept, SpawnFailed, TimePassed
from .fleet import Fleet
from .plan import plan
from .policy import PULSE_INTERVAL

__all__ = ["Kernel", "carry_out", "turn"]

_ROUNDS = 16
"""Carrying out a plan makes facts, which may call for another; more rounds than this are a bug, not a plan."""


class Kernel(Protocol):
    """What the machine needs of the world."""

    def now(self) -> float:
        """Monotonic seconds."""

    def wait(self, until: float | None) -> list[Event]:
        """Wait for something to happen, at most until ``until``; all that has happened, orders before messages."""

    def do(self, action: Action) -> list[Event]:
        """Carry out one order; what came of it."""

    def relay(self, remark: Remark) -> None:
        """Say what the ledger has to say."""


def turn(fleet: Fleet, kernel: Kernel) -> Finish | None:
    """Run one turn; ``Finish`` when it was the last."""
    deadline = fleet.next_deadline()
    events = kernel.wait(deadline)
    late = 0.0 if deadline is None else kernel.now() - deadline
    if late > PULSE_INTERVAL:
        events.insert(0, Overslept(late))
    for event in [*events, TimePassed()]:
        _observe(fleet, kernel, event)
    return carry_out(fleet, kernel)


def carry_out(fleet: Fleet, kernel: Kernel) -> Finish | None:
    """Plan and act until there is nothing left to do at this moment."""
    for _ in range(_ROUNDS):
        actions = plan(fleet, kernel.now())
        if not actions:
            return None
        for action in actions:
            if isinstance(action, Finish):
                return action
            results = kernel.do(action)
            for result in results:
                _observe(fleet, kernel, result)
            if any(isinstance(result, SpawnFailed) for result in results):
                break  # the rest of the plan assumed that it would work
    fleet.contradictions.append(f"a plan without end: {actions}")
    return None


def _observe(fleet: Fleet, kernel: Kernel, event: Event) -> None:
    fleet.observe(event, kernel.now())
    for remark in fleet.take_remarks():
        kernel.relay(remark)
