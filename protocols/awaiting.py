"""Where a suspended coroutine waits, as lines for the log.

``Task.get_stack`` and ``print_stack`` show the outermost frame of a suspended task only; this follows the chain of what
awaits what down to the end. Our own frames, which every request has, are left out wherever others remain.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["awaiting"]

_DEPTH = 40
_WIDTH = 200
_OURS = "asgi_arbiter."


def awaiting(awaitable: Any, *, source: bool = False) -> list[str]:
    """The frames from the coroutine itself inwards, then what the innermost waits for.

    With ``source`` each line of code is shown too, which may read files: not for signal handlers.
    """
    frames, end = _chain(awaitable)
    theirs = [frame for frame in frames if not _is_ours(frame)] or frames
    lines = [line for frame in theirs for line in _lines(frame, source)]
    if end is not None and type(end).__name__ != "FutureIter":  # which tells nothing
        text = repr(end)
        lines.append(f"waits for {text if len(text) <= _WIDTH else text[:_WIDTH] + '…'}")
    return lines


def _chain(awaitable: Any) -> tuple[list[FrameType], Any]:
    frames: list[FrameType] = []
    while len(frames) < _DEPTH:
        frame = _frame(awaitable)
        if frame is None:
            return frames, awaitable
        frames.append(frame)
        awaitable = _inner(awaitable)
    return frames, None


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_OURS)


def _lines(frame: FrameType, source: bool) -> Iterator[str]:
    code = frame.f_code
    yield f'File "{code.co_filename}", line {frame.f_lineno}, in {code.co_qualname}'
    if source and (line := linecache.getline(code.co_filename, frame.f_lineno).strip()):
        yield f"  {line}"


def _frame(awaitable: Any) -> FrameType | None:
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame = getattr(awaitable, name, None)
        if isinstance(frame, FrameType):
            return frame
    return None


def _inner(awaitable: Any) -> Any:
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if hasattr(awaitable, name):
            return getattr(awaitable, name)
    return None
