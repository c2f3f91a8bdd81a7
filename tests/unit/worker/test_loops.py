"""The event loop by name, and an end that always comes."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from asgi_arbiter.config.errors import InvalidSetting, MissingExtra
from asgi_arbiter.worker import loops


async def kind() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_auto_is_uvloop_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    assert loops.run(kind, "auto") == loops.run(kind, "uvloop") == "uvloop"


@pytest.mark.parametrize("name", ["asyncio", "none"])
def test_asyncio_is_the_standard_loop(name: str) -> None:
    assert loops.run(kind, name) == "asyncio"


def test_without_uvloop_auto_falls_back_and_uvloop_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loops.run(kind, "auto") == "asyncio"
    with pytest.raises(MissingExtra, match="pip install uvloop"):
        loops.factory("uvloop")


@pytest.mark.parametrize("name", ["make", "make_class"])
def test_a_function_of_the_users_makes_the_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("user_loops")
    module.made = []

    class Own(asyncio.SelectorEventLoop):
        pass

    def make() -> asyncio.AbstractEventLoop:
        module.made.append(Own())
        return module.made[-1]  # type: ignore[no-any-return]

    module.make = make
    module.make_class = lambda: Own
    monkeypatch.setitem(sys.modules, "user_loops", module)

    async def main() -> bool:
        return isinstance(asyncio.get_running_loop(), Own)

    assert loops.run(main, f"user_loops:{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gevent", "none of auto, uvloop, asyncio, module:callable"),
        ("sys:path", "is not callable"),
        ("builtins:dict", "returned dict, which is no event loop"),
    ],
)
def test_what_makes_no_loop_is_one_line(name: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        loops.run(kind, name)


def test_the_result_is_returned_and_an_error_raised(loop_name: str) -> None:
    async def fail() -> None:
        raise KeyError("x")

    assert loops.run(kind, loop_name) == loop_name
    with pytest.raises(KeyError):
        loops.run(fail, loop_name)


def test_tasks_and_generators_left_over_get_to_clean_up(loop_name: str) -> None:
    said: list[str] = []

    async def task() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            said.append("task")

    async def generator() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            said.append("generator")

    kept: list[Any] = []

    async def main() -> None:
        kept.append(asyncio.create_task(task()))
        kept.append(generator())
        await anext(kept[1])
        await asyncio.sleep(0)

    loops.run(main, loop_name)
    assert said == ["task", "generator"]


def test_what_refuses_to_end_is_named_and_left_behind(
    loop_name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loops, "_ENDING", 0.02)
    release = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, release.wait)

    loops.run(main, loop_name)
    release.set()
    assert caplog.messages == ["threads of the default executor did not end within 0.02 s"]


def test_threads_that_end_are_waited_for(loop_name: str) -> None:
    ended = threading.Event()
    go = threading.Event()

    def work() -> None:
        go.wait(5)
        ended.set()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, work)
        asyncio.get_running_loop().call_later(0.02, go.set)
        go.set()

    loops.run(main, loop_name)
    assert ended.is_set()


def test_a_task_that_ignores_its_cancellation_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loops, "_ENDING", 0.02)
    ends = False

    async def stubborn() -> None:
        while not ends:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                pass

    kept: list[Any] = []
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(loops, "factory", lambda name: lambda: loop)
    monkeypatch.setattr(loop, "close", lambda: None)

    async def main() -> None:
        kept.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(0)

    loops.run(main, "any")
    assert caplog.messages == ["1 tasks ignore their cancellation"]
    ends = True
    loop.run_until_complete(kept[0])
    monkeypatch.undo()
    loop.close()
