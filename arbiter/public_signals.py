"""Signals of programs that embed the server: caught while any server runs, given back and raised again afterwards.

Rules:

* only the main thread can catch signals; servers in other threads leave them alone;
* several servers catch together: each hears every signal, whichever ends first, and the program's own handlers come
  back with the end of the last;
* what was caught is raised again then, the last signal first, so that the program ends as it would have without us.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Protocol

__all__ = ["CAUGHT", "Catcher", "catching", "install"]

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class Catcher(Protocol):
    """Who wants to hear."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal of ``CAUGHT`` came."""

    def take_caught(self) -> list[int]:
        """The signals to be raised again, in the order in which they came; the second call returns none."""


_catchers: list[Catcher] = []
_originals: dict[signal.Signals, Any] = {}
_caught: list[int] = []


@contextlib.contextmanager
def catching(catcher: Catcher) -> Iterator[None]:
    """Until the end of the block ``catcher`` may ``install``; then everything is as it was before. May be nested."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _catchers:
        _originals.update({number: signal.getsignal(number) for number in CAUGHT})
    _catchers.append(catcher)
    try:
        yield
    finally:
        _catchers.remove(catcher)
        if catcher not in _catchers:
            _caught.extend(number for number in catcher.take_caught() if number not in _caught)
        if not _catchers:
            _give_back()


def install() -> None:
    """Catch the signals from now on. Does nothing outside of ``catching`` or on another thread."""
    if threading.current_thread() is threading.main_thread() and _catchers:
        for number in CAUGHT:
            signal.signal(number, _tell)


def _tell(number: int, frame: FrameType | None) -> None:
    for catcher in dict.fromkeys(_catchers):
        catcher.handle_exit(number, frame)


def _give_back() -> None:
    for number, handler in _originals.items():
        if handler is not None and signal.getsignal(number) == _tell:  # None: installed by C code, out of our reach
            signal.signal(number, handler)
    caught = _caught[::-1]
    _caught.clear()
    if caught:
        _flush()
    for each in caught:
        signal.raise_signal(each)


def _flush() -> None:
    """The signal may end the process on the spot, without the interpreter's own cleaning."""
    from asgi_arbiter.config import logs

    logs.flush(0.2)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, or nobody reads it any more
