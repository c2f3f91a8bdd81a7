"""What is told about a worker that is about to be ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from asgi_arbiter.worker.evidence import tasks_and_requests


async def numbers() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 1


async def innermost() -> None:
    async for _ in numbers():
        pass


async def outermost() -> None:
    await innermost()


def told(*requests: str, tasks: int = 1) -> str:
    async def main() -> str:
        waiting = [asyncio.create_task(outermost(), name=f"waits {n}") for n in range(tasks)]
        await asyncio.sleep(0)
        text = tasks_and_requests(asyncio.get_running_loop(), requests)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        return text

    return asyncio.run(main())


def test_each_request_under_way_has_its_line() -> None:
    lines = told("127.0.0.1:1, GET /one", "127.0.0.1:2, GET /two").splitlines()
    assert lines[:3] == ["2 requests under way", "  127.0.0.1:1, GET /one", "  127.0.0.1:2, GET /two"]


def test_the_stack_of_a_task_goes_down_to_what_it_waits_for() -> None:
    text = told()
    places = [text.index(f"in {name}") for name in ("outermost", "innermost")]
    assert places == sorted(places)
    assert text.index("waits 0") < places[0]


def test_finished_tasks_are_not_listed() -> None:
    async def main() -> str:
        done = asyncio.create_task(asyncio.sleep(0), name="is over")
        await done
        return tasks_and_requests(asyncio.get_running_loop(), [])

    assert "is over" not in asyncio.run(main())


def test_a_crowd_is_counted_and_not_listed() -> None:
    text = told(*[f"request {n}" for n in range(60)], tasks=55)
    assert text.count("\n  request ") == 50
    assert "and 10 more" in text
    assert "and 6 more" in text  # the main task is one of 56
