"""``--reload``: a child process that watches files and writes the paths that changed into a pipe.

A process of its own, so that the arbiter keeps neither threads nor ticks for it. With ``watchfiles`` the kernel tells
of changes; without, the times of all files are compared every ``reload_delay``. The child ends with the arbiter.
"""

from __future__ import annotations

import fnmatch
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["Filter", "Watcher", "changes", "directories", "scan"]

_DEFAULT_INCLUDES = ("*.py",)
_DEFAULT_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*", "__pycache__")
"""uvicorn's defaults, and the one directory that a reload itself writes to."""
_POLLED_SKIPS = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".tox", ".venv", "venv", ".mypy_cache"})
_LONGEST_LINE = 50


class Filter:
    """Which paths count. Patterns as uvicorn has them: globs against the name or the path, or directories."""

    def __init__(self, config: Config) -> None:
        includes = [pattern for pattern in config.reload_includes if not Path(pattern).is_dir()]
        self._includes = (*_DEFAULT_INCLUDES, *includes)
        if "*.py" in config.reload_excludes:
            self._includes = tuple(includes)
        self._excludes = (*_DEFAULT_EXCLUDES, *(p for p in config.reload_excludes if not Path(p).is_dir()))
        self._excluded = [Path(p).resolve() for p in config.reload_excludes if Path(p).is_dir()]

    def __call__(self, path: Path) -> bool:
        """Whether a change of ``path`` is a reason to reload."""
        if not any(fnmatch.fnmatch(path.name, p) or path.match(p) for p in self._includes):
            return False
        if any(directory in path.parents for directory in self._excluded):
            return False
        return not any(fnmatch.fnmatch(path.name, p) or path.match(p) for p in self._excludes)


def directories(config: Config) -> list[Path]:
    """What is watched: ``reload_dirs`` and the directories among ``reload_includes``, else the current one; none twice."""
    named = [Path(text) for text in (*config.reload_dirs, *config.reload_includes)]
    found = [path.resolve() for path in named if path.is_dir()] or [Path.cwd()]
    return [path for path in dict.fromkeys(found) if not any(other in path.parents for other in found)]


def scan(roots: list[Path], wanted: Filter) -> dict[str, tuple[int, int]]:
    """The files that count, with modification time and size."""
    found: dict[str, tuple[int, int]] = {}
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in _POLLED_SKIPS]
            for name in names:
                path = Path(folder, name)
                if not wanted(path):
                    continue
                try:
                    status = path.stat()
                except OSError:
                    continue  # removed between the listing and the look
                found[str(path)] = (status.st_mtime_ns, status.st_size)
    return found


def changes(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """Files that are new, other or gone."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


class Watcher:
    """The pipe and its two ends: ``run`` in the child, ``read`` in the arbiter."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._buffer = b""
        self.pid = 0
        self.is_closed = False

    def close_writer(self) -> None:
        """The arbiter's copy of the child's end, after the fork."""
        os.close(self._writer)

    def read(self) -> list[str]:
        """The paths that changed since the last time; sets ``is_closed`` when the child is gone."""
        paths: list[str] = []
        try:
            chunk = os.read(self.reader, 65536)
        except BlockingIOError:
            return paths
        if not chunk:
            self.is_closed = True
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            paths += json.loads(line)
        return list(dict.fromkeys(paths))

    def run(self, arbiter_pid: int) -> int:
        """The child: watch until the arbiter is gone."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _set_title()
        roots, wanted = directories(self._config), Filter(self._config)
        for paths in _watch(roots, wanted, self._config.reload_delay, arbiter_pid):
            shown = [_relative(path) for path in paths[:_LONGEST_LINE]]
            try:
                os.write(self._writer, json.dumps(shown).encode() + b"\n")
            except OSError:
                break
        return 0


def _watch(roots: list[Path], wanted: Filter, delay: float, arbiter_pid: int) -> Iterator[list[str]]:
    try:
        from watchfiles import watch
    except ImportError:
        yield from _poll(roots, wanted, delay, arbiter_pid)
        return
    seen = watch(
        *roots,
        watch_filter=lambda _change, path: wanted(Path(path)),
        step=max(10, int(delay * 500)),
        debounce=max(50, int(delay * 1000)),
        rust_timeout=1000,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    for batch in seen:
        if os.getppid() != arbiter_pid:
            return
        if batch:
            yield sorted(path for _, path in batch)


def _poll(roots: list[Path], wanted: Filter, delay: float, arbiter_pid: int) -> Iterator[list[str]]:
    before = scan(roots, wanted)
    while os.getppid() == arbiter_pid:
        time.sleep(max(delay, 0.05))
        after = scan(roots, wanted)
        changed = changes(before, after)
        before = after
        if changed:
            yield changed


def _relative(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _set_title() -> None:
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle("asgi-arbiter: file watcher")
