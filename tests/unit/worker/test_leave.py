"""Carrying out a drain on connections that are only said to be there."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.base import ConnectionContext
from asgi_arbiter.worker.drain import Drain
from asgi_arbiter.worker.leave import leave


class Fake:
    """A connection that notes what it is told, and may leave when told."""

    def __init__(self, context: Any, *, leaves: bool = False, idle: bool = False) -> None:
        self.context, self.leaves, self.idle = context, leaves, idle
        self.said: list[str] = []
        context.connections.add(self)

    def drain(self, reason: str) -> None:
        self.said.append(reason)
        if self.leaves:
            self.context.connections.discard(self)

    def abort(self) -> None:
        self.said.append("abort")
        self.context.connections.discard(self)

    def is_idle(self) -> bool:
        return self.idle

    def describe(self) -> str:
        return "GET /slow of 10.0.0.1"


class FakeAcceptor:
    def __init__(self) -> None:
        self.pending = 0

    def abort(self) -> None:
        self.pending = 0


def begun(timeout: float) -> tuple[Any, Drain, Any]:
    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("called")

    drain = Drain()
    drain.begin(time.monotonic(), "reload", timeout)
    return ConnectionContext(nobody, Config(), asyncio.get_running_loop()), drain, FakeAcceptor()


def test_everybody_is_told_once_also_who_comes_last() -> None:
    async def main() -> None:
        context, drain, acceptor = begun(5.0)
        first = Fake(context)
        acceptor.pending = 1
        task = asyncio.create_task(leave(drain, context, acceptor))
        await asyncio.sleep(0)
        last = Fake(context, leaves=True)
        acceptor.pending = 0
        await asyncio.sleep(0.05)
        assert not task.done()
        context.connections.discard(first)
        report = await task
        assert first.said == last.said == ["reload"]
        assert report.is_clean

    asyncio.run(main())


def test_an_idle_connection_may_still_begin_a_request_before_it_is_told() -> None:
    async def main() -> None:
        context, drain, acceptor = begun(5.0)
        idle, busy = Fake(context, leaves=True, idle=True), Fake(context, leaves=True)
        task = asyncio.create_task(leave(drain, context, acceptor))
        await asyncio.sleep(0)
        assert busy.said == ["reload"] and idle.said == []
        report = await task
        assert idle.said == ["reload"] and report.is_clean

    asyncio.run(main())


def test_what_is_not_set_up_yet_is_waited_for() -> None:
    async def main() -> None:
        context, drain, acceptor = begun(5.0)
        acceptor.pending = 1
        task = asyncio.create_task(leave(drain, context, acceptor))
        await asyncio.sleep(0.05)
        assert not task.done()
        acceptor.pending = 0
        await task

    asyncio.run(main())


def test_at_the_deadline_tasks_are_cancelled_and_the_log_says_whose(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "asgi_arbiter.worker")

    async def main() -> None:
        context, drain, acceptor = begun(0.0)
        connection = Fake(context)

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                context.connections.discard(connection)

        task = asyncio.create_task(work())
        context.tasks.add(task)
        task.add_done_callback(context.tasks.discard)
        report = await leave(drain, context, acceptor, describe=lambda: "1 task")
        assert (report.cancelled, report.cut) == (1, 0)
        assert task.cancelled()

    asyncio.run(main())
    assert caplog.messages == [
        "cancelled at the end of the drain: GET /slow of 10.0.0.1",
        "what is cancelled:\n1 task",
    ]


def test_who_stays_after_the_cancellation_is_cut() -> None:
    async def main() -> None:
        context, drain, acceptor = begun(0.0)
        drain.abort()
        connection = Fake(context)
        acceptor.pending = 1
        report = await leave(drain, context, acceptor)
        assert connection.said == ["reload", "abort"]
        assert report.cut == 1
        assert acceptor.pending == 0

    asyncio.run(main())
