"""The text about tasks and requests."""

from __future__ import annotations

import asyncio

from asgi_arbiter.worker.evidence import tasks_and_requests


async def _waits_for_ever() -> None:
    await asyncio.Event().wait()


def _told(tasks: int, requests: list[str]) -> str:
    async def story() -> str:
        loop = asyncio.get_running_loop()
        waiting = [loop.create_task(_waits_for_ever(), name=f"job-{number}") for number in range(tasks)]
        done = loop.create_task(asyncio.sleep(0), name="finished")
        await done
        await asyncio.sleep(0)
        text = tasks_and_requests(loop, requests)
        for task in waiting:
            task.cancel()
        return text

    return asyncio.run(story())


def test_each_request_and_each_task_with_its_stack_is_told() -> None:
    text = _told(2, ["127.0.0.1:1, GET / HTTP/1.1, for 3.0 s"])
    lines = text.splitlines()
    assert lines[:2] == ["1 request under way", "  127.0.0.1:1, GET / HTTP/1.1, for 3.0 s"]
    assert lines[2] == "3 tasks"  # the one that asks is a task as well
    assert "  job-0" in lines
    assert "  job-1" in lines
    assert text.count("in _waits_for_ever") == 2
    assert "finished" not in text


def test_long_lists_are_cut_and_counted() -> None:
    text = _told(60, [f"request {number}" for number in range(70)])
    assert "70 requests under way" in text
    assert "  and 20 more" in text
    assert "61 tasks" in text
    assert "  and 11 more" in text
