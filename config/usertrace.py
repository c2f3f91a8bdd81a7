"""Tracebacks for users: their frames, without ours and those of the import system."""

from __future__ import annotations

import importlib
import os
import traceback
from types import TracebackType

__all__ = ["has_user_frames", "summary", "user_traceback"]

_HERE = os.path.dirname(__file__) + os.sep


def user_traceback(problem: BaseException) -> str:
    """The traceback as Python prints it, without the frames of this package and of the import system."""
    shown = traceback.TracebackException.from_exception(problem)
    _strip(shown, set())
    if not shown.stack and shown.__cause__ is None and (shown.__context__ is None or shown.__suppress_context__):
        return "".join(shown.format_exception_only()).rstrip("\n")
    return "".join(shown.format()).rstrip("\n")


def _strip(shown: traceback.TracebackException, seen: set[int]) -> None:
    if id(shown) in seen:
        return
    seen.add(id(shown))
    shown.stack[:] = [frame for frame in shown.stack if not _is_machinery(frame.filename)]
    for other in (shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or ())):
        if other is not None:
            _strip(other, seen)


def has_user_frames(problem: BaseException) -> bool:
    """Whether any code of the user's was running when it was raised."""
    step: TracebackType | None = problem.__traceback__
    while step is not None:
        if not _is_machinery(step.tb_frame.f_code.co_filename):
            return True
        step = step.tb_next
    return False


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _HERE)) or filename == importlib.__file__


def summary(problem: BaseException) -> str:
    """The exception in one line."""
    lines = traceback.format_exception_only(type(problem), problem)
    if isinstance(problem, SyntaxError):
        return f"{type(problem).__name__}: {problem.msg} ({problem.filename}, line {problem.lineno})"
    return " ".join(lines[0].split())
