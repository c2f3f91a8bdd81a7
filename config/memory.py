"""How much memory this process may have: the smallest of what the machine has and what its cgroups allow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .cgroups import membership, read, upwards

__all__ = ["available"]


def available(root: Path = Path("/")) -> int:
    """Bytes; 0 where that cannot be known. ``root`` is where ``/proc`` and ``/sys`` are."""
    return min([*_machine(root), *_limits(root)], default=0)


def _limits(root: Path) -> Iterator[int]:
    """A limit holds for all groups below; ``max`` (version 2) and a huge number (version 1) are none."""
    for controllers, group in membership(root):
        if not controllers:
            places = upwards(root / "sys/fs/cgroup", group)
            names = [directory / "memory.max" for directory in places]
        elif "memory" in controllers.split(","):
            places = upwards(root / "sys/fs/cgroup/memory", group)
            names = [directory / "memory.limit_in_bytes" for directory in places]
        else:
            continue
        yield from (int(text) for name in names if (text := read(name).strip()).isdigit())


def _machine(root: Path) -> Iterator[int]:
    for line in read(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            yield int(rest.split()[0]) * 1024
