"""The event loop, by name, and how it ends.

``auto`` is uvloop where it is installed, ``uvloop`` insists on it, ``asyncio`` (also ``none``) is the standard loop, and
``module:callable`` names a function that makes a loop. When the main coroutine has returned, tasks, asynchronous
generators and the default executor get a limited time to end: a thread that hangs must not keep the worker.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from asgi_arbiter.config.errors import InvalidSetting, MissingExtra

__all__ = ["factory", "run"]

log = logging.getLogger("asgi_arbiter.worker")

_ENDING = 5.0
"""Seconds that left-over tasks, generators and threads get, each."""
_THREADS = "asyncio"
"""What the names of these threads begin with, as with asyncio's own."""

Result = TypeVar("Result")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def factory(name: str) -> LoopFactory:
    """The function that makes the loop called ``name``.

    Raises:
        MissingExtra: uvloop was asked for and is not installed.
        AppImportError: ``module:callable`` cannot be imported.
        InvalidSetting: ``name`` is none of the possible forms.
    """
    if name in ("auto", "uvloop"):
        try:
            import uvloop
        except ImportError:
            if name == "auto":
                return asyncio.new_event_loop
            raise MissingExtra(
                "loop: uvloop is not installed; install it with: pip install uvloop (or use --loop asyncio)"
            ) from None
        make: LoopFactory = uvloop.new_event_loop
        return make
    if name in ("asyncio", "none"):
        return asyncio.new_event_loop
    if ":" in name:
        return _imported(name)
    raise InvalidSetting(f'loop: "{name}" is none of auto, uvloop, asyncio, module:callable')


def _imported(name: str) -> LoopFactory:
    from asgi_arbiter.config.importer import import_object

    found = import_object(name)
    if not callable(found):
        raise InvalidSetting(f'loop: "{name}" is not callable')

    def make() -> asyncio.AbstractEventLoop:
        loop = found()
        if isinstance(loop, type):  # uvicorn's convention: a function that returns the factory
            loop = loop()
        if not isinstance(loop, asyncio.AbstractEventLoop):
            raise InvalidSetting(f'loop: "{name}" returned {type(loop).__name__}, which is no event loop')
        return loop

    return make


def run(main: Callable[[], Coroutine[Any, Any, Result]], name: str) -> Result:
    """Make the loop, run ``main()`` to its end, end what is left, close the loop."""
    loop = factory(name)()
    # Our own, since ``loop.shutdown_default_executor`` has no usable time limit in Python 3.11.
    executor = ThreadPoolExecutor(thread_name_prefix=_THREADS)
    try:
        asyncio.set_event_loop(loop)
        loop.set_default_executor(executor)
        return loop.run_until_complete(main())
    finally:
        try:
            loop.run_until_complete(_end_all(loop, executor))
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _end_all(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=_ENDING)
        if stuck:
            log.warning("%d tasks ignore their cancellation", len(stuck), extra={"event": "tasks_stuck"})
    try:
        await asyncio.wait_for(loop.shutdown_asyncgens(), _ENDING)
    except TimeoutError:
        log.warning("asynchronous generators did not end within %g s", _ENDING, extra={"event": "generators_stuck"})
    await _end_executor(loop, executor)


async def _end_executor(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    """Wait for the threads of ``asyncio.to_thread``, but not for ever, and without a thread of our own: there may be no
    room for one."""
    executor.shutdown(wait=False, cancel_futures=True)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(_THREADS)]
    deadline = loop.time() + _ENDING
    while any(thread.is_alive() for thread in threads):
        if loop.time() >= deadline:
            log.warning(
                "threads of the default executor did not end within %g s", _ENDING, extra={"event": "threads_stuck"}
            )
            return
        await asyncio.sleep(0.005)
