"""Carrying out a drain: does what the machine in ``drain`` orders, on real connections and tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from .drain import Drain, DrainOrder, DrainReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_arbiter.protocols.base import Connection, ConnectionContext

    from .acceptor import Acceptor

__all__ = ["leave"]

log = logging.getLogger("asgi_arbiter.worker")

_POLL = 0.02
"""Seconds between two looks at what is left."""
_FRESH = 3
"""Looks for which an idle connection is left alone: the request of one that was just opened is on its way, and without a
linger it would be met by a closed door."""


async def leave(
    drain: Drain, context: ConnectionContext, acceptor: Acceptor, describe: Callable[[], str] = str
) -> DrainReport:
    """Return when nothing is left of ``context``, or when the time is over. The acceptor has stopped already.

    ``describe`` tells what is under way, for the log, where the time did not suffice."""
    told: set[Connection] = set()
    cancelled = cut = looks = 0
    while True:
        for connection in context.connections - told:  # also those that were accepted last
            if looks >= _FRESH or not connection.is_idle():
                told.add(connection)
                connection.drain(drain.reason)
        now = time.monotonic()
        order = drain.step(now, len(context.connections) + len(context.tasks) + acceptor.pending)
        if order is DrainOrder.FINISH:
            break
        if order is DrainOrder.CANCEL:
            cancelled = _cancel(context, describe())
        if order is DrainOrder.CUT:
            cut = _cut(context, acceptor)
        looks += order is not DrainOrder.TURN
        await asyncio.sleep(0 if order is DrainOrder.TURN else _POLL)
    return DrainReport(drain.reason, now - drain.began_at, cancelled, cut, context.completed)


def _cancel(context: ConnectionContext, evidence: str) -> int:
    for connection in context.connections:
        log.warning("cancelled at the end of the drain: %s", connection.describe(), extra={"event": "drain_cancelled"})
    if evidence:
        log.warning("what is cancelled:\n%s", evidence, extra={"event": "drain_evidence"})
    tasks = tuple(context.tasks)
    for task in tasks:
        task.cancel()
    return len(tasks)


def _cut(context: ConnectionContext, acceptor: Acceptor) -> int:
    connections = tuple(context.connections)
    for connection in connections:
        connection.abort()
    acceptor.abort()
    return len(connections)
