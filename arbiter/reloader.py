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
_DEFAULT_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")
"""uvicorn's."""
_SKIPPED = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".tox", ".venv", "venv", ".mypy_cache"})
"""Directories in which nothing is the developer's own: an installation into ``.venv`` is no change of the application."""
_QUIET = 50
"""Milliseconds without a further change after which watchfiles tells of those before: an editor saves many at once."""
_LONGEST_LINE = 50
_ARBITERS = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2),
)
"""Signals for the arbiter alone, which terminals and service managers send to the whole group. It kills the watcher."""


class Filter:
    """Which paths count: globs against the end of the path, and directories.

    As with uvicorn ``*.py`` counts unless it is excluded, and a default exclusion is lifted by naming the same pattern
    as an inclusion. Beyond that an inclusion which itself begins with a dot (``.env``, ``.env.*``) is meant, although
    dot files are excluded by default, and in an included directory every file counts.
    """

    def __init__(self, config: Config) -> None:
        self._roots = directories(config)
        self._included = [Path(p).resolve() for p in config.reload_includes if Path(p).is_dir()]
        self._excluded = [Path(p).resolve() for p in config.reload_excludes if Path(p).is_dir()]
        includes = [p for p in config.reload_includes if not Path(p).is_dir()]
        self._includes = [*(p for p in _DEFAULT_INCLUDES if p not in config.reload_excludes), *includes]
        self._outright = [p for p in includes if Path(p).name.startswith((".", "~"))]
        self._unwanted = [p for p in _DEFAULT_EXCLUDES if p not in config.reload_includes]
        self._excludes = [p for p in config.reload_excludes if not Path(p).is_dir()]

    def __call__(self, path: Path) -> bool:
        """Whether a change of ``path`` is a reason to reload."""
        if _matches(path, self._excludes) or _is_in(path, self._excluded) or self._is_skipped(path):
            return False
        if _matches(path, self._outright):
            return True
        if _matches(path, self._unwanted):
            return False
        return _matches(path, self._includes) or _is_in(path, self._included)

    def _is_skipped(self, path: Path) -> bool:
        """Only what lies below a watched directory: the project itself may live in a folder of such a name."""
        for root in self._roots:
            if root in path.parents:
                return not _SKIPPED.isdisjoint(path.relative_to(root).parts[:-1])
        return not _SKIPPED.isdisjoint(path.parts[:-1])


def _matches(path: Path, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(path.name, pattern) or path.match(pattern) for pattern in patterns)


def _is_in(path: Path, folders: list[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


def directories(config: Config) -> list[Path]:
    """What is watched: ``reload_dirs``, else the current directory, and the directories among ``reload_includes``;
    none twice."""
    named = [path.resolve() for text in config.reload_dirs if (path := Path(text)).is_dir()] or [Path.cwd().resolve()]
    added = [path.resolve() for text in config.reload_includes if (path := Path(text)).is_dir()]
    found = dict.fromkeys((*named, *added))
    return [path for path in found if not any(other in path.parents for other in found)]


def scan(roots: list[Path], wanted: Filter) -> dict[str, tuple[int, int]]:
    """The files that count, with modification time and size."""
    found: dict[str, tuple[int, int]] = {}
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in _SKIPPED]
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
        for number in _ARBITERS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
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
    before = scan(roots, wanted)
    try:
        from watchfiles import watch
    except ImportError:
        yield from _poll(roots, wanted, delay, arbiter_pid, before)
        return
    early: dict[str, tuple[int, int]] | None = before
    seen = watch(
        *roots,
        watch_filter=lambda _change, path: wanted(Path(path)),
        step=_QUIET,
        debounce=max(_QUIET, int(delay * 1000)),
        rust_timeout=1000,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    for batch in seen:
        if os.getppid() != arbiter_pid:
            return
        paths = {path for _, path in batch}
        if early is not None:  # the kernel is asked only now: what was saved meanwhile must not be lost
            paths.update(changes(early, scan(roots, wanted)))
            early = None
        if paths:
            yield sorted(paths)


def _poll(
    roots: list[Path], wanted: Filter, delay: float, arbiter_pid: int, before: dict[str, tuple[int, int]]
) -> Iterator[list[str]]:
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
