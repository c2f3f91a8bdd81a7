"""Whether the kernel killed somebody of our cgroup for want of memory, as far as it tells."""

from __future__ import annotations

from pathlib import Path

__all__ = ["OomCounter"]

_ROOT = Path("/sys/fs/cgroup")


class OomCounter:
    """Compares the kernel's count of out-of-memory kills with the last look at it."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file if file is not None else _find()
        self._seen = self._read()

    def has_risen(self) -> bool:
        """Whether there was a kill since the last look; ``False`` where the kernel does not tell."""
        before, self._seen = self._seen, self._read()
        return self._seen > before

    def _read(self) -> int:
        if self._file is None:
            return 0
        try:
            words = self._file.read_text().split()
        except OSError:
            return 0
        count = words[words.index("oom_kill") + 1] if "oom_kill" in words[:-1] else "0"
        return int(count) if count.isdigit() else 0


def _find() -> Path | None:
    """cgroup v2 has ``memory.events``, v1 ``memory.oom_control``; inside a container ours is the root."""
    try:
        rows = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    candidates = []
    for row in rows:
        if len(row) == 3 and row[0] == "0":
            candidates += [_ROOT / row[2].lstrip("/") / "memory.events", _ROOT / "memory.events"]
        elif len(row) == 3 and "memory" in row[1].split(","):
            candidates += [
                _ROOT / "memory" / row[2].lstrip("/") / "memory.oom_control",
                _ROOT / "memory/memory.oom_control",
            ]
    return next((path for path in candidates if path.is_file()), None)
