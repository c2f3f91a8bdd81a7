"""What was going on in a worker, as text for the log: its tasks with their stacks, and the requests under way.

Stacks of threads are the business of ``faulthandler``, which needs no interpreter in good health; tasks are known to
Python alone, so this runs when Python still runs: in a signal handler that interrupts a blocked event loop, for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from asgi_arbiter.protocols.awaiting import awaiting

__all__ = ["tasks_and_requests"]

_MOST = 50
"""Tasks and requests that are listed; the others are counted."""


def tasks_and_requests(loop: asyncio.AbstractEventLoop, requests: Iterable[str]) -> str:
    """Several lines: each request of ``requests``, each unfinished task of ``loop`` with its stack."""
    under_way = list(requests)
    tasks = sorted((task for task in asyncio.all_tasks(loop) if not task.done()), key=lambda task: task.get_name())
    lines = [f"{_count(len(under_way), 'request')} under way", *(f"  {request}" for request in under_way[:_MOST])]
    lines += _rest(under_way)
    lines.append(_count(len(tasks), "task"))
    for task in tasks[:_MOST]:
        lines.append(f"  {task.get_name()}")
        lines += [f"    {line}" for line in awaiting(task.get_coro())]
    return "\n".join(lines + _rest(tasks))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rest(items: list[str] | list[asyncio.Task[object]]) -> list[str]:
    return [f"  and {len(items) - _MOST} more"] if len(items) > _MOST else []
