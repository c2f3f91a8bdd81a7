"""The pid file: created whole, removed only if it is still ours.

Rules: it is written under a temporary name in the same directory and renamed, so that a reader never sees half a
number. An existing file stops us only if the process that it names lives *and* is an arbiter: after a reboot a number
means another program. Nothing happens to it on a reload.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from asgi_arbiter.config.errors import InvalidSetting

__all__ = ["APPRENTICE", "Pidfile", "is_arbiter"]

APPRENTICE = ".2"
"""Behind the name, while the arbiter is a successor that does not lead yet (gunicorn's and nginx's way)."""


_HEAD = 5
"""Words of a command line in which the interpreter, its options and the program stand."""


def is_arbiter(pid: int) -> bool:
    """Whether ``pid`` is a living process that looks like one of us."""
    import psutil

    try:
        words = psutil.Process(pid).cmdline()
    except psutil.AccessDenied:
        return True  # it lives and is not ours to judge; better refuse than run twice
    except psutil.Error:
        return False
    return _names_us(words)


def _names_us(words: list[str]) -> bool:
    """Whether a command line is an arbiter's: its title, the console script, or the module. That we are mentioned is not
    enough: an editor with ``asgi-arbiter.toml`` and a program in ``/srv/asgi-arbiter`` are somebody else.

    >>> _names_us(["asgi-arbiter: arbiter [main:app]"]), _names_us(["python", "-m", "asgi_arbiter", "main:app"])
    (True, True)
    >>> _names_us(["asgi-arbiter: worker 1 gen 1 [main:app]"]), _names_us(["vi", "asgi-arbiter.toml"])
    (False, False)
    """
    head = words[:_HEAD]
    return (
        any(word.startswith("asgi-arbiter: arbiter ") for word in words[:1])
        or any(Path(word).name == "asgi-arbiter" for word in head if not word.startswith("-"))
        or any(pair == ("-m", "asgi_arbiter") for pair in pairwise(head))
    )


class Pidfile:
    """One pid file. ``is_taken`` says whether a foreign pid in it still counts."""

    def __init__(self, path: str, pid: int, is_taken: Callable[[int], bool] = is_arbiter) -> None:
        self._path = Path(path).absolute()
        self._pid = pid
        self._is_taken = is_taken

    def create(self) -> None:
        """Write our pid.

        Raises:
            InvalidSetting: another arbiter is running with this file, or the file cannot be written.
        """
        other = self._read()
        if other not in (0, self._pid) and self._is_taken(other):
            raise InvalidSetting(f"pidfile: {self._path} belongs to a running arbiter, pid {other}")
        temporary = self._path.with_name(f"{self._path.name}.{self._pid}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{self._pid}\n")
            temporary.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise InvalidSetting(f"pidfile: cannot write {self._path}: {error.strerror}") from None

    def promote(self) -> None:
        """A successor leads: from ``NAME.2`` to ``NAME``, over the predecessor's, so that the file always names an
        arbiter that lives.

        Raises:
            OSError: it cannot be renamed.
        """
        target = self._path.with_name(self._path.name.removesuffix(APPRENTICE))
        self._path.replace(target)
        self._path = target

    def remove(self) -> None:
        """Remove it if our pid still stands in it."""
        if self._read() == self._pid:
            try:
                self._path.unlink()
            except OSError:
                pass  # its directory is gone or read-only by now; the next start knows a stale file

    def _read(self) -> int:
        try:
            text = self._path.read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return 0
        return int(text) if text.isascii() and text.isdigit() else 0
