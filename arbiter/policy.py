"""Pure numbers: how long, how often, how many. No state, no clock, no randomness.

``Rules`` is what the machine needs to know of the settings. Everything is seconds or counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_arbiter.config.records import Record

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = [
    "BOOT_TRIES",
    "ECHO_INTERVAL",
    "FORK_PATIENCE",
    "PROBATION",
    "PULSE_INTERVAL",
    "TESTIMONY_PATIENCE",
    "TESTIMONY_PAUSE",
    "Rules",
    "board_slots",
    "boot_backoff",
    "crash_spacing",
    "fork_backoff",
    "look_interval",
]

PULSE_INTERVAL = 1.0
"""A worker's loop beats once a second; being later than this is what counts as oversleeping."""

BOOT_TRIES = 3
"""So many workers of the first generation may die unexplained before any served; then the arbiter gives up."""

ECHO_INTERVAL = 0.1
"""A stop signal that comes again this soon is the same one, forwarded by a wrapper (``uv run``, ``npm``, ``tini -g``)
which got it from the terminal as we did. It must not turn a graceful stop into an immediate one."""

PROBATION = 1.0
"""Seconds after READY in which the death of a worker is held against its new generation, however short the settle time
is: that decides when the roll begins, not what a death just after the start means."""

FORK_PATIENCE = 10.0
"""Seconds in which a mold must have forked a worker; it has nothing else to do."""

TESTIMONY_PATIENCE = 1.0
"""Seconds that a worker which is to die has to tell what it is doing."""

TESTIMONY_PAUSE = 0.2
"""A report is complete when nothing more of it has come for so many seconds."""

_LONGEST_BACKOFF = 15.0


class Rules(Record):
    """The settings that supervision depends on, under the names that they have in ``Config``."""

    workers: int = 1
    timeout: float = 30.0
    boot_timeout: float = 120.0
    graceful_timeout: float = 30.0
    quick_timeout: float = 5.0
    kill_timeout: float = 5.0
    abort_timeout: float = 2.0
    drain_delay: float = 0.0
    settle_time: float = 1.0
    reload_surge: int = 1
    recycle_surge: int = 1
    max_restarts: int = 10
    restart_window: float = 60.0
    reload: bool = False
    """Development: wait for the next change instead of giving up or trying again."""
    daemon: bool = False
    preload_app: bool = False
    """Workers are forked by a mold of their generation."""
    molds_rear: bool = False
    """Workers are children of their mold, which stays until the last of them has left."""

    @classmethod
    def from_config(cls, config: Config, *, molds_rear: bool = False) -> Rules:
        """Pick the rules from the settings. ``molds_rear`` is the kernel's word. A watched service settles at once: its developer is waiting."""
        return cls(
            workers=config.workers,
            timeout=config.timeout,
            boot_timeout=config.boot_timeout,
            graceful_timeout=config.graceful_timeout,
            quick_timeout=config.quick_timeout,
            kill_timeout=config.kill_timeout,
            abort_timeout=config.abort_timeout,
            drain_delay=config.drain_delay,
            settle_time=0.0 if config.reload else config.settle_time,
            reload_surge=max(1, config.reload_surge),
            recycle_surge=max(1, config.recycle_surge),
            max_restarts=config.max_restarts,
            restart_window=config.restart_window,
            reload=config.reload,
            daemon=config.daemon,
            preload_app=config.preload_app,
            molds_rear=molds_rear,
        )

    @property
    def drain_budget(self) -> float:
        """From SIGTERM to SIGKILL: the worker drains, cancels what is left, and runs its lifespan shutdown."""
        return self.graceful_timeout + self.kill_timeout

    @property
    def quick_budget(self) -> float:
        """From SIGQUIT to SIGKILL."""
        return min(self.quick_timeout, self.graceful_timeout) + self.kill_timeout

    @property
    def stuck_budget(self) -> float:
        """How long a stuck worker may wait for its replacement before it is aborted all the same."""
        return min(self.timeout, 10.0)

    @property
    def upgrade_budget(self) -> float:
        """How long a successor may take until its workers serve; 0 is without a limit. Two boots, since one of its
        workers may need a second try, and the settle time."""
        return 2.0 * self.boot_timeout + self.settle_time + self.kill_timeout if self.boot_timeout > 0 else 0.0


def boot_backoff(streak: int) -> float:
    """How long to wait after ``streak`` workers in a row died before they were ready."""
    return 0.0 if streak <= 0 else min(0.25 * 2.0 ** min(streak - 1, 10), _LONGEST_BACKOFF)


def crash_spacing(crashes: int, rules: Rules) -> float:
    """How long to wait after the latest of ``crashes`` within the restart window: nothing within the limit; beyond it
    restarts are spread evenly, so that the limit is kept without ever giving up."""
    if rules.max_restarts <= 0 or crashes <= rules.max_restarts:
        return 0.0
    return rules.restart_window / rules.max_restarts


def fork_backoff(failures: int) -> float:
    """How long to wait after ``failures`` refused forks in a row."""
    return min(0.5 * 2.0 ** min(failures - 1, 10), _LONGEST_BACKOFF)


def look_interval(timeout: float) -> float:
    """How often to read the pulses: often enough to notice that we ourselves were paused, seldom enough to be idle."""
    return min(max(timeout / 10.0, PULSE_INTERVAL), 5.0)


def board_slots(workers: int) -> int:
    """Slots on the pulse board: draining workers keep theirs, and several reloads may follow each other closely."""
    return max(64, 8 * workers)
