"""When a worker should be replaced: after so many requests, so much time, with so much memory. Pure predicates.

Jitter is drawn once per worker, so that workers which began together do not leave together. A limit only *asks* for a
successor; the worker serves until it is told to leave.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from asgi_arbiter.config.records import Record

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["Limits", "memory_in_use", "resident_memory"]


class Limits(Record):
    """The limits of one worker with their jitter added. 0 is no limit."""

    requests: int = 0
    lifetime: float = 0.0
    memory: int = 0
    minimum_lifetime: float = 0.0

    @classmethod
    def draw(cls, config: Config, random: Callable[[], float]) -> Limits:
        """The limits of ``config`` for one worker; ``random`` gives numbers in [0, 1)."""
        return cls(
            requests=config.max_requests and config.max_requests + round(config.max_requests_jitter * random()),
            lifetime=config.max_worker_lifetime
            and config.max_worker_lifetime + config.max_worker_lifetime_jitter * random(),
            memory=config.max_worker_memory
            and config.max_worker_memory + round(config.max_worker_memory_jitter * random()),
            minimum_lifetime=config.min_worker_lifetime,
        )

    def exceeded(self, *, served: int, age: float, memory: int) -> str:
        """``"max_requests"``, ``"lifetime"``, ``"memory"``, or empty. ``age`` is seconds since the worker serves,
        ``memory`` bytes; a worker younger than the minimum lifetime exceeds nothing."""
        if age < self.minimum_lifetime:
            return ""
        if self.requests and served >= self.requests:
            return "max_requests"
        if self.lifetime and age >= self.lifetime:
            return "lifetime"
        if self.memory and memory > self.memory:
            return "memory"
        return ""


def memory_in_use(limit: int, *, shares: bool) -> int:
    """Bytes that count against ``limit``. Where workers share memory (``--preload``), each has its part of it (PSS);
    that is costly to ask and never more than what is resident, so it is asked only beyond the limit."""
    resident = resident_memory()
    if shares and resident > limit:
        return proportional_memory() or resident
    return resident


def proportional_memory(rollup: str = "/proc/self/smaps_rollup") -> int:
    """Bytes of this process in memory, what it shares divided by those who share it (PSS); 0 if that cannot be known."""
    try:
        with open(rollup, "rb") as lines:  # noqa: PTH123 -- as below
            for line in lines:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def resident_memory() -> int:
    """Bytes of this process in memory (RSS); 0 if that cannot be known."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 -- once a second: the cheap way
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _resident_memory_elsewhere()


def _resident_memory_elsewhere() -> int:
    try:
        import psutil
    except ImportError:
        return 0
    try:
        return int(psutil.Process().memory_info().rss)
    except psutil.Error:
        return 0
