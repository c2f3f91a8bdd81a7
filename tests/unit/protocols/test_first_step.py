"""The eager first step: what an application may rely on in it, and after it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from asgi_arbiter.protocols.first_step import start

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


def begin(make: Callable[[], Coroutine[Any, Any, Any]], *, turns: int = 30) -> dict[str, Any]:
    """Start a coroutine from a loop callback; tell whether it finished at once, and how it ended."""
    outcome: dict[str, Any] = {}

    def callback(loop: asyncio.AbstractEventLoop) -> None:
        try:
            task = start(loop, make(), None)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            outcome["error"] = error
            return
        outcome["task"] = task
        assert asyncio.current_task(loop) is None

    async def story() -> None:
        asyncio.get_running_loop().call_soon(callback, asyncio.get_running_loop())
        await asyncio.sleep(0)
        task = outcome.get("task")
        if task is not None:
            async with asyncio.timeout(10):
                await asyncio.wait({task})
            outcome["error"] = asyncio.CancelledError() if task.cancelled() else task.exception()

    asyncio.run(story())
    return outcome


def test_a_coroutine_that_never_waits_is_finished_when_start_returns() -> None:
    async def app() -> None:
        pass

    assert begin(app) == {"task": None}


def test_an_error_in_the_first_step_is_raised() -> None:
    async def app() -> None:
        raise LookupError

    assert isinstance(begin(app)["error"], LookupError)


def test_an_error_after_a_suspension_is_the_tasks() -> None:
    async def app() -> None:
        await asyncio.sleep(0)
        raise LookupError

    assert isinstance(begin(app)["error"], LookupError)


def test_the_current_task_is_the_same_before_and_after_a_suspension() -> None:
    tasks: list[Any] = []

    async def app() -> None:
        for _ in range(3):
            tasks.append(asyncio.current_task())
            assert repr(tasks[0])
            assert tasks[0].get_name()
            assert tasks[0].get_loop() is asyncio.get_running_loop()
            assert tasks[0].get_coro().cr_code.co_name == "app"
            assert not tasks[0].done()
            await asyncio.sleep(0)

    task = begin(app)["task"]
    assert tasks == [task, task, task]


def test_the_coroutine_runs_in_one_context_of_its_own() -> None:
    async def app() -> None:
        variable.set("inside")
        await asyncio.sleep(0)
        assert variable.get() == "inside"

    assert begin(app)["error"] is None
    assert variable.get() == "outside"


def test_a_context_can_be_given() -> None:
    context = contextvars.Context()

    async def app() -> None:
        assert variable.get() == "outside"
        variable.set("given")

    async def story() -> None:
        variable.set("around")
        loop = asyncio.get_running_loop()
        loop.call_soon(start, loop, app(), context)
        await asyncio.sleep(0)

    asyncio.run(story())
    assert context[variable] == "given"


def test_a_bare_yield_takes_up_again() -> None:
    seen: list[int] = []

    async def app() -> None:
        for number in range(4):
            seen.append(number)
            await asyncio.sleep(0)

    assert begin(app)["error"] is None
    assert seen == [0, 1, 2, 3]


def test_a_timeout_entered_in_the_first_step_fires() -> None:
    async def app() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)

    assert begin(app)["error"] is None


def test_a_timeout_that_does_not_fire_leaves_no_trace() -> None:
    async def app() -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    assert begin(app)["error"] is None


def test_wait_for_works_in_the_first_step() -> None:
    async def app() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(60), 0.001)
        assert await asyncio.wait_for(asyncio.sleep(0, "result"), 60) == "result"

    assert begin(app)["error"] is None


def test_a_task_group_opened_in_the_first_step_joins_its_tasks() -> None:
    done: list[int] = []

    async def job(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    async def app() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(job(1))
            group.create_task(job(2))
        assert done == [1, 2]

    assert begin(app)["error"] is None


def test_a_task_group_cancels_its_parent_when_a_child_fails() -> None:
    async def fail() -> None:
        raise LookupError

    async def app() -> None:
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    assert begin(app)["error"] is None


def test_anyios_task_group_and_cancel_scopes_work() -> None:
    seen: list[str] = []

    async def app() -> None:
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep(60)
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            await anyio.sleep(0)
            group.cancel_scope.cancel()
        with pytest.raises(TimeoutError), anyio.fail_after(0.001):
            await anyio.sleep(60)
        seen.append(str(anyio.get_current_task().name))
        await anyio.to_thread.run_sync(seen.append, "thread")

    assert begin(app)["error"] is None
    assert seen[-1] == "thread"


def test_a_cancel_scope_whose_deadline_has_passed_already_ends_its_block() -> None:
    async def app() -> None:
        with anyio.move_on_after(0) as scope:
            await anyio.sleep(60)
        assert scope.cancelled_caught
        with anyio.move_on_after(-1) as scope:
            await asyncio.Event().wait()
        assert scope.cancelled_caught

    assert begin(app)["error"] is None


def test_a_cancel_scope_that_is_cancelled_in_the_first_step_ends_its_block() -> None:
    async def app() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(60)
        assert scope.cancelled_caught
        await anyio.sleep(0)

    assert begin(app)["error"] is None


def test_a_cancellation_right_after_the_first_step_reaches_the_application() -> None:
    seen: list[str] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()

        async def app() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as error:
                seen.extend(error.args)
                raise

        def callback() -> None:
            task = start(loop, app(), None)
            assert task is not None
            task.cancel("by anyio")

        loop.call_soon(callback)
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(story())
    assert seen == ["by anyio"], "the message is what anyio knows its own cancellations by"


def test_a_cancellation_right_after_the_first_step_reaches_what_the_application_waits_for() -> None:
    seen: list[str] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()

        async def inner() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("inner")
                raise

        async def app() -> None:
            job = asyncio.create_task(inner())
            await asyncio.sleep(0)
            try:
                await job
            except asyncio.CancelledError:
                seen.append("outer")
                raise

        def callback() -> None:
            task = start(loop, app(), None)
            assert task is not None
            loop.call_later(0.005, task.cancel)

        loop.call_soon(callback)
        await asyncio.sleep(0.02)

    asyncio.run(story())
    assert seen == ["inner", "outer"]


def test_a_cancellation_may_be_swallowed_and_the_application_goes_on() -> None:
    async def story() -> list[str]:
        seen: list[str] = []
        loop = asyncio.get_running_loop()

        async def app() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("swallowed")
            await asyncio.sleep(0)
            seen.append("went on")

        def callback() -> None:
            task = start(loop, app(), None)
            assert task is not None
            task.cancel()

        loop.call_soon(callback)
        for _ in range(10):
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(story()) == ["swallowed", "went on"]


def test_an_application_that_cancels_itself_in_the_first_step_is_cancelled_at_its_next_wait() -> None:
    seen: list[str] = []

    async def app() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("by itself")
        seen.append("still here")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            seen.extend(error.args)
            raise

    outcome = begin(app)
    assert outcome["task"].cancelled()
    assert seen == ["still here", "by itself"]


def test_a_done_callback_that_was_added_in_the_first_step_is_called() -> None:
    seen: list[Any] = []

    async def app() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(seen.append)
        await asyncio.sleep(0)

    task = begin(app)["task"]
    assert seen == [task]


def test_the_task_is_known_to_all_tasks_while_it_waits() -> None:
    async def app() -> None:
        await asyncio.sleep(0)
        assert asyncio.current_task() in asyncio.all_tasks()

    assert begin(app)["error"] is None
