"""What the kernel knows about processes: their family, their CPU clock, their memory. Linux only."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Cores", "choose_cores", "cpu_seconds", "describe", "family", "leaves", "on_cores", "pss_kib", "rss_kib"]


BYSTANDERS = (b"resource_tracker", b"asgi-arbiter: mold")
"""Marks in the command lines of processes that serve nothing: multiprocessing's tracker, the mold of ``--preload``."""


class Cores(NamedTuple):
    """Which cores the server and the load may use."""

    server: frozenset[int]
    load: frozenset[int]
    shared: frozenset[int]
    """For servers with several workers: every core, for server and load alike."""


def choose_cores(available: set[int] | frozenset[int]) -> Cores:
    """The server on the first core and the load on the second; with one core there is nothing to choose."""
    ordered = sorted(available)
    load = ordered[1] if len(ordered) > 1 else ordered[0]
    return Cores(frozenset(ordered[:1]), frozenset({load}), frozenset(ordered))


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Processes started inside inherit these cores from their first instruction on, and so do their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of one process, in nanosecond steps (``clock_getcpuclockid(3)``).

    Raises OSError when the process is gone.
    """
    return time.clock_gettime((~pid << 3) | 2)


def family(root: int) -> list[int]:
    """The process and all its living descendants, the root first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue  # it ended while we were looking
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state != "Z":
            children.setdefault(int(parent), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def leaves(root: int) -> list[int]:
    """The workers: the processes of the family without children, but for those that only wait (``BYSTANDERS``)."""
    pids = family(root)
    parents = {pid for pid in pids if len(family(pid)) > 1}
    return [pid for pid in pids if pid not in parents and not _is_bystander(pid)] or [root]


def _is_bystander(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return any(mark in command for mark in BYSTANDERS)


def rss_kib(pid: int) -> int:
    """Resident memory. Shared pages count in full, so figures of forked processes must not be added up."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def pss_kib(pid: int) -> int:
    """Proportional memory: a page shared by n processes counts as 1/n of a page in each, so these do add up."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise OSError(f"no Pss in /proc/{pid}/smaps_rollup")


def describe() -> dict[str, str | int]:
    """The machine, for the head of a report."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_average": " ".join(f"{value:.1f}" for value in os.getloadavg()),
    }
