"""What was going on in a worker, as text for the log: its tasks with their stacks, and the requests under way.

Stacks of threads are the business of ``faulthandler``, which needs no interpreter in good health; tasks are known to
Python alone, so this runs when Python still runs: in a signal handler that interrupts a blocked event loop, for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

__all__ = ["tasks_and_requests"]

_MOST = 50
"""Tasks and requests that are listed; the others are counted."""
_DEPTH = 20


def tasks_and_requests(loop: asyncio.AbstractEventLoop, requests: Iterable[str]) -> str:
    """Several lines: each request of ``requests``, each unfinished task of ``loop`` with its stack."""
    under_way = list(requests)
    tasks = sorted((task for task in asyncio.all_tasks(loop) if not task.done()), key=lambda task: task.get_name())
    lines = [f"{len(under_way)} requests under way", *(f"  {request}" for request in _some(under_way))]
    lines.append(f"{len(tasks)} tasks")
    for task in tasks[:_MOST]:
        lines.append(f"  {task.get_name()}")
        lines += [f"    {frame}" for frame in _stack(task.get_coro())]
    if len(tasks) > _MOST:
        lines.append(f"  and {len(tasks) - _MOST} more")
    return "\n".join(lines)


def _some(items: list[str]) -> list[str]:
    return items if len(items) <= _MOST else [*items[:_MOST], f"and {len(items) - _MOST} more"]


def _stack(awaitable: Any) -> Iterator[str]:
    """From the task's own coroutine inwards to what it waits for. ``Task.get_stack`` shows the outermost frame only."""
    for _ in range(_DEPTH):
        frame = _frame(awaitable)
        if frame is None:
            if awaitable is not None:
                yield f"waits for {awaitable!r}"
            return
        code = frame.f_code
        yield f'File "{code.co_filename}", line {frame.f_lineno}, in {code.co_qualname}'
        awaitable = _inner(awaitable)


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
