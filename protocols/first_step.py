"""Starting an application call without a trip through the event loop.

Most applications answer a request without ever waiting, and then a scheduled Task costs more than everything else in
the request. So the first step runs at once, in the data callback of the transport:

* Python 3.12 and later: ``Task(..., eager_start=True)`` does precisely this.
* Python 3.11: the same by hand. A Task object is made without being initialised as a task (only as a future), entered
  as the loop's current task, and the coroutine takes its first step in a context of its own. If it finishes, there is
  nothing more to do. If it suspends, *the same object* is initialised as a real Task that continues the coroutine, so
  that whatever remembered ``asyncio.current_task()`` during the first step (``asyncio.timeout``, task groups, anyio's
  cancel scopes) holds the true task.

``start`` must be called from a loop callback, never from inside another task's step.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["start"]

_Task = asyncio.Task
_NAME = "request"


def _start_eagerly(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    context: contextvars.Context | None,
) -> asyncio.Task[Any] | None:
    """Run ``coroutine`` until it first waits. None if it finished; its exception is raised; else the Task that goes on.

    ``context`` is the one to run in; None means a copy of the current one."""
    task: asyncio.Task[Any] = _Task(coroutine, loop=loop, eager_start=True, context=context)  # type: ignore[call-arg,unused-ignore]
    if task.done():
        task.result()
        return None
    return task


class _HandStartedTask(asyncio.Task[Any]):
    """A Task that may not have been initialised as one yet (Python 3.11)."""

    __slots__ = ("coroutine",)

    coroutine: Coroutine[Any, Any, Any]

    def get_coro(self) -> Any:
        """The application's coroutine, not what drives it."""
        return self.coroutine

    _coro = property(get_coro)  # what repr() and get_stack() read

    def get_name(self) -> str:
        """A name, which the base class does not have before it is initialised."""
        return super().get_name() or _NAME


def _start_by_hand(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    context: contextvars.Context | None,
) -> asyncio.Task[Any] | None:
    """As ``_start_eagerly``, for Python 3.11."""
    if context is None:
        context = contextvars.copy_context()
    task = _new_task(_HandStartedTask)
    _init_future(task, loop=loop)  # callbacks, get_loop() and done() work already in the first step
    task.coroutine = coroutine
    _enter_task(loop, task)
    try:
        waiting = context.run(coroutine.send, None)
    except StopIteration:
        return None
    finally:
        _leave_task(loop, task)
    _hand_over(loop, task, waiting, context)
    return task


def _hand_over(
    loop: asyncio.AbstractEventLoop, task: _HandStartedTask, waiting: Any, context: contextvars.Context
) -> None:
    """Make ``task`` a real one that waits for what the coroutine yielded, keeping what was done to it so far."""
    callbacks = task._callbacks or ()
    cancellations = task.cancelling()
    must_cancel = task._must_cancel  # type: ignore[attr-defined]
    message = task._cancel_message  # type: ignore[attr-defined]
    continuation = _continue(task.coroutine, waiting)
    next(continuation)
    _init_task(task, continuation, loop=loop, context=context, name=task.get_name())
    for callback, its_context in callbacks:
        task.add_done_callback(callback, context=its_context)
    if must_cancel:
        for _ in range(cancellations):
            task.cancel(message)


@types.coroutine
def _continue(coroutine: Coroutine[Any, Any, Any], waiting: Any) -> Generator[Any, Any, Any]:
    """Drive a coroutine that has taken its first step, as if there had been no pause.

    The first ``next`` only primes the generator: a cancellation before the Task's own first step must find us inside
    the ``try``, not before it, or the application would never hear of it."""
    yielded: Any = None
    primed = False
    while True:
        try:
            yield yielded
        except BaseException as error:  # noqa: BLE001 - passed on to the coroutine, as a Task does
            if not primed and isinstance(error, asyncio.CancelledError) and _cancel(waiting, error):
                # What a Task does: cancel what is waited for, and let the cancellation come back from there.
                primed, yielded = True, waiting
                continue
            try:
                primed, yielded = True, coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            continue
        if not primed and waiting is not None:
            primed, yielded = True, waiting
            continue
        return (yield from coroutine)


def _cancel(waiting: Any, error: asyncio.CancelledError) -> bool:
    """Cancel with the message of the cancellation, by which anyio knows its own."""
    cancel = getattr(waiting, "cancel", None)
    return cancel is not None and bool(cancel(*error.args[:1]))


if sys.version_info >= (3, 12):
    start = _start_eagerly
else:
    from asyncio.tasks import _enter_task, _leave_task

    _new_task = _Task.__new__
    _init_task = _Task.__init__
    _init_future = asyncio.Future.__init__
    start = _start_by_hand
