"""The stack of a suspended coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from asgi_arbiter.protocols.awaiting import awaiting


async def _inner(event: asyncio.Event) -> None:
    await event.wait()


async def _outer(event: asyncio.Event) -> None:
    await _inner(event)


def _suspended(make: Callable[[], Coroutine[Any, Any, None]], *, source: bool = False) -> list[str]:
    async def story() -> list[str]:
        task = asyncio.get_running_loop().create_task(make())
        await asyncio.sleep(0)
        lines = awaiting(task.get_coro(), source=source)
        task.cancel()
        await asyncio.wait({task})
        return lines

    return asyncio.run(story())


def test_the_frames_go_from_the_outermost_to_what_is_waited_for() -> None:
    lines = _suspended(lambda: _outer(asyncio.Event()))
    assert [line.rpartition(" in ")[2] for line in lines] == ["_outer", "_inner", "Event.wait"]


def test_the_code_is_shown_on_request() -> None:
    assert "  await _inner(event)" in _suspended(lambda: _outer(asyncio.Event()), source=True)


def test_frames_of_ours_are_left_out_where_others_remain() -> None:
    async def ours() -> None:
        await _inner(asyncio.Event())

    renamed = type(ours)(
        ours.__code__, {**globals(), "__name__": "asgi_arbiter.protocols.x"}, "ours", (), ours.__closure__
    )
    lines = _suspended(renamed)
    assert not any("ours" in line for line in lines)
    assert "_inner" in lines[0]


def test_frames_of_ours_are_shown_where_there_are_no_others() -> None:
    async def ours() -> None:
        await asyncio.get_running_loop().create_future()

    names = {**globals(), "__name__": "asgi_arbiter.worker.x"}
    lines = _suspended(type(ours)(ours.__code__, names, "ours", (), ours.__closure__))
    assert "ours" in lines[0]


def test_a_coroutine_that_runs_or_has_ended_waits_for_nothing() -> None:
    async def story() -> None:
        pass

    coroutine = story()
    coroutine.close()
    assert len(awaiting(coroutine)) == 1
    assert awaiting(None) == []
    assert awaiting(object())[0].startswith("waits for <object")


def test_a_chain_without_end_and_a_long_name_are_cut() -> None:
    frame = (lambda: (yield))().gi_frame
    endless = SimpleNamespace(gi_frame=frame)
    endless.gi_yieldfrom = endless
    assert len(awaiting(endless)) == 40
    assert len(awaiting("x" * 1000)[0]) < 250
