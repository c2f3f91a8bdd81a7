"""Where the files of this process's control groups are (cgroups(7)), for versions 1 and 2. Linux; elsewhere none exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["membership", "read", "upwards"]


def membership(root: Path) -> Iterator[tuple[str, str]]:
    """The lines of ``/proc/self/cgroup`` (cgroups(7)): controllers, empty for version 2, and the path of the group."""
    for line in read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        yield controllers, group


def upwards(mount: Path, group: str) -> Iterator[Path]:
    """The directory of the group and those above it, as a limit holds for all below. Inside a container the group's
    path may be that of the host, which does not exist there: then the mount itself is the container's own group."""
    directory = mount / group.lstrip("/")
    while directory != mount and mount in directory.parents:
        yield directory
        directory = directory.parent
    yield mount


def read(path: Path) -> str:
    """The text of a file; empty where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
