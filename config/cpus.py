"""How many CPUs this process may use: the smallest of what exists, affinity and the cgroup's quota.

A container on a 64-core host with a quota of two CPUs has ``os.cpu_count() == 64``; 64 workers there would share two
CPUs and 64 times the memory. Linux first; elsewhere there are no cgroups and the count of the system stands.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from .cgroups import membership, read, upwards

__all__ = ["available", "quota"]


def available(root: Path = Path("/")) -> int:
    """The number of workers that ``--workers auto`` means; at least 1. ``root`` is where ``/proc`` and ``/sys`` are."""
    count = _affinity()
    limit = quota(root)
    return max(1, count if limit is None else min(count, math.ceil(limit)))


def quota(root: Path = Path("/")) -> float | None:
    """CPUs that the cgroup of this process and those above it allow; ``None`` without a limit or without cgroups."""
    limits = [*_version_2(root), *_version_1(root)]
    return min(limits, default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        try:
            return len(os.sched_getaffinity(0))
        except OSError:  # a sandbox may forbid the question
            pass
    return os.cpu_count() or 1


def _version_2(root: Path) -> Iterator[float]:
    """Limits of the unified hierarchy: ``cpu.max`` is ``QUOTA PERIOD`` in microseconds, or ``max PERIOD``."""
    for controllers, group in membership(root):
        if controllers:
            continue
        for directory in upwards(root / "sys/fs/cgroup", group):
            words = read(directory / "cpu.max").split()
            if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0:
                yield int(words[0]) / int(words[1])


def _version_1(root: Path) -> Iterator[float]:
    """Limits of the ``cpu`` controller's own hierarchy; a quota of -1 is none."""
    for controllers, group in membership(root):
        if "cpu" not in controllers.split(","):
            continue
        for mount in ("cpu", "cpu,cpuacct", "cpuacct,cpu"):
            for directory in upwards(root / "sys/fs/cgroup" / mount, group):
                allowed = read(directory / "cpu.cfs_quota_us").strip()
                period = read(directory / "cpu.cfs_period_us").strip()
                if allowed.isdigit() and period.isdigit() and int(period) > 0 and int(allowed) > 0:
                    yield int(allowed) / int(period)
