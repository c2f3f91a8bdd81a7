"""``Server`` without a network: its life, its orders, its overrides. (With one: ``tests/integration/test_embedded.py``.)"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_arbiter.arbiter.public_config import Config
from asgi_arbiter.arbiter.public_server import Server
from asgi_arbiter.config import AppImportError, BindError, LifespanFailed
from tests.logging_support import untouched

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    with untouched():
        yield


class App:
    """An application whose lifespan does as it is told."""

    def __init__(self, *, fails: bool = False, start: asyncio.Event | None = None, hangs: bool = False) -> None:
        self.said: list[str] = []
        self.fails, self.start, self.hangs = fails, start, hangs

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if self.start is not None:
            await self.start.wait()
        if self.fails:
            raise RuntimeError("the database is down")
        self.said.append("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self.hangs:
            await asyncio.Event().wait()
        self.said.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


def server_of(app: Any, kind: type[Server] = Server, **keywords: Any) -> Server:
    return kind(Config(app, log_config=None, **keywords))


async def served(server: Server) -> None:
    """One whole life: start, be told to leave, leave."""
    serving = asyncio.create_task(server.serve(sockets=[]))
    await server.wait_started(PATIENCE)
    server.should_exit = True
    await asyncio.wait_for(serving, PATIENCE)


def test_a_life_runs_from_startup_to_shutdown() -> None:
    app = App()
    server = server_of(app)
    assert (server.started, server.should_exit, server.force_exit, server.addresses) == (False, False, False, ())
    assert server.port is None
    assert server.snapshot is None
    asyncio.run(served(server))
    assert server.started
    assert app.said == ["startup", "shutdown"]
    assert server.snapshot is not None


def test_a_server_may_serve_again() -> None:
    app = App()
    server = server_of(app)
    asyncio.run(served(server))
    server.should_exit = False
    asyncio.run(served(server))
    assert app.said == ["startup", "shutdown"] * 2


def test_a_running_server_cannot_be_started_twice() -> None:
    async def main() -> None:
        server = server_of(App())
        serving = asyncio.create_task(server.serve(sockets=[]))
        await server.wait_started(PATIENCE)
        with pytest.raises(RuntimeError, match="running already"):
            await server.startup(sockets=[])
        server.should_exit = True
        await serving

    asyncio.run(main())


def test_told_to_leave_before_its_start_it_never_starts() -> None:
    app = App()
    server = server_of(app)
    server.should_exit = True
    asyncio.run(server.serve(sockets=[]))
    assert not server.started
    with pytest.raises(RuntimeError, match="told to leave before"):
        server.block_until_started(0)


def test_told_to_leave_during_its_start_it_gives_the_start_up() -> None:
    async def main() -> Server:
        server = server_of(App(start=asyncio.Event()))
        serving = asyncio.create_task(server.serve(sockets=[]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE)
        return server

    assert not asyncio.run(main()).started


def test_a_failed_start_is_an_error_of_serve_and_of_whoever_waits() -> None:
    async def main() -> None:
        server = server_of(App(fails=True))
        waiting = asyncio.create_task(server.wait_started(PATIENCE))
        with pytest.raises(LifespanFailed, match="the database is down"):
            await server.serve(sockets=[])
        with pytest.raises(LifespanFailed):
            await waiting
        with pytest.raises(LifespanFailed):
            server.block_until_started(0)

    asyncio.run(main())


def test_an_application_that_cannot_be_imported_is_an_error_of_serve() -> None:
    with pytest.raises(AppImportError):
        asyncio.run(server_of("there_is_no_such_module:app").serve(sockets=[]))


def test_a_socket_that_is_closed_is_refused() -> None:
    import socket

    closed = socket.socket()
    closed.close()
    with pytest.raises(BindError, match="a socket that is closed"):
        asyncio.run(server_of(App()).serve(sockets=[closed]))


def test_run_ends_the_program_with_3_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        server_of(App(fails=True)).run(sockets=[])
    assert caught.value.code == 3
    assert "cannot start: the application's startup failed: it raised RuntimeError: the database is down" in caplog.text
    assert 'raise RuntimeError("the database is down")' in caplog.text  # the user's traceback


def test_run_is_refused_inside_a_loop() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"await Server\(\.\.\.\)\.serve\(\)"):
            server_of(App()).run()

    asyncio.run(main())


def test_waiting_has_an_end() -> None:
    server = server_of(App())
    with pytest.raises(TimeoutError):
        server.block_until_started(0)
    with pytest.raises(TimeoutError):
        asyncio.run(server.wait_started(0))


def test_a_server_runs_in_a_thread_and_obeys_from_another() -> None:
    app = App()
    server = server_of(app)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    thread = threading.Thread(target=server.run, kwargs={"sockets": []})
    thread.start()
    server.block_until_started(PATIENCE)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    server.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert app.said == ["startup", "shutdown"]


def test_cancelling_serve_leaves_in_order() -> None:
    async def main() -> list[str]:
        app = App()
        server = server_of(app)
        serving = asyncio.create_task(server.serve(sockets=[]))
        await server.wait_started(PATIENCE)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return app.said

    assert asyncio.run(main()) == ["startup", "shutdown"]


def test_force_exit_does_not_wait_for_a_lifespan_that_hangs() -> None:
    async def main() -> None:
        server = server_of(App(hangs=True), lifespan_shutdown_timeout=60)
        serving = asyncio.create_task(server.serve(sockets=[]))
        await server.wait_started(PATIENCE)
        server.should_exit = True
        await asyncio.sleep(0)
        server.force_exit = True
        await asyncio.wait_for(serving, PATIENCE)

    asyncio.run(main())


def test_force_exit_alone_is_no_order_to_leave() -> None:
    async def main() -> Server:
        server = server_of(App())
        server.force_exit = True
        await served(server)
        return server

    assert asyncio.run(main()).started


# Signals


def test_signals_end_it_and_are_raised_again() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:

        async def main() -> Server:
            server = server_of(App())
            serving = asyncio.create_task(server.serve(sockets=[]))
            await server.wait_started(PATIENCE)
            signal.raise_signal(signal.SIGTERM)
            assert got == []
            await asyncio.wait_for(serving, PATIENCE)
            return server

        server = asyncio.run(main())
        assert server.should_exit
        assert not server.force_exit
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_is_a_keyboard_interrupt_after_the_end() -> None:
    app = App()

    class Interrupted(Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        server_of(app, Interrupted).run(sockets=[])
    assert app.said == ["startup", "shutdown"]


def test_a_second_ctrl_c_forces() -> None:
    server = server_of(App())
    server.handle_exit(signal.SIGINT, None)
    assert (server.should_exit, server.force_exit) == (True, False)
    server.handle_exit(signal.SIGTERM, None)
    assert not server.force_exit
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit
    assert server.take_caught() == [signal.SIGINT, signal.SIGTERM, signal.SIGINT]


# Habits: subclasses


def test_no_handlers_are_installed_where_a_subclass_or_a_program_says_so() -> None:
    class Quiet(Server):
        def install_signal_handlers(self) -> None:
            pass

    async def main(server: Server) -> None:
        seen = []
        serving = asyncio.create_task(server.serve(sockets=[]))
        await server.wait_started(PATIENCE)
        seen.append(signal.getsignal(signal.SIGTERM))
        server.should_exit = True
        await serving
        assert seen == [before]

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(main(server_of(App(), Quiet)))
    patched = server_of(App())
    patched.install_signal_handlers = lambda: None  # type: ignore[method-assign]
    asyncio.run(main(patched))


def test_startup_main_loop_and_shutdown_can_be_overridden() -> None:
    said: list[str] = []

    class Mine(Server):
        async def startup(self, sockets: Any = None) -> None:
            said.append("before startup")
            await super().startup(sockets=sockets)
            said.append(f"after startup {self.started}")

        async def main_loop(self) -> None:
            said.append("main loop")

        async def shutdown(self, sockets: Any = None) -> None:
            said.append("before shutdown")
            await super().shutdown(sockets=sockets)
            said.append("after shutdown")

    app = App()
    asyncio.run(server_of(app, Mine).serve(sockets=[]))
    assert said == ["before startup", "after startup True", "main loop", "before shutdown", "after shutdown"]
    assert app.said == ["startup", "shutdown"]


def test_on_tick_is_asked_where_a_subclass_has_one() -> None:
    class Ticking(Server):
        ticks = 0

        async def on_tick(self, counter: int) -> bool:
            self.ticks += 1
            return await super().on_tick(counter) or counter == 2

    server = server_of(App(), Ticking)
    asyncio.run(server.serve(sockets=[]))
    assert isinstance(server, Ticking)
    assert server.ticks == 3


def test_handle_exit_can_be_overridden() -> None:
    class Counting(Server):
        heard = 0

        def handle_exit(self, sig: int, frame: Any) -> None:
            self.heard += 1
            self.should_exit = True  # without super(): the signal is not raised again

    async def main(server: Server) -> None:
        serving = asyncio.create_task(server.serve(sockets=[]))
        await server.wait_started(PATIENCE)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(serving, PATIENCE)

    server = server_of(App(), Counting)
    asyncio.run(main(server))
    assert isinstance(server, Counting)
    assert server.heard == 1


def test_the_three_parts_can_be_called_by_hand() -> None:
    async def main() -> list[str]:
        app = App()
        server = server_of(app)
        server.config.load()
        await server.startup(sockets=[])
        server.should_exit = True
        await server.main_loop()
        await server.shutdown(sockets=[])
        return app.said

    assert asyncio.run(main()) == ["startup", "shutdown"]


def test_an_override_that_fails_leaves_nothing_running() -> None:
    class Failing(Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            raise ZeroDivisionError

    app = App()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(server_of(app, Failing).serve(sockets=[]))
    assert app.said == ["startup", "shutdown"]


# What the program is told


def test_callback_notify_is_called_at_once_and_its_failure_does_not_end_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> int:
        calls = 0
        enough = asyncio.Event()

        async def notify() -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                enough.set()
            raise ValueError("nobody listens")

        server = server_of(App(), callback_notify=notify, timeout_notify=0.01)
        serving = asyncio.create_task(server.serve(sockets=[]))
        await asyncio.wait_for(enough.wait(), PATIENCE)
        server.should_exit = True
        await serving
        return calls

    assert asyncio.run(main()) >= 3
    assert "callback_notify failed" in caplog.text


def test_what_has_no_effect_in_one_process_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asyncio.run(served(server_of(App(), workers=4, threads=3)))
    assert "Server serves in this one process: workers=4 has no effect here; use run()" in caplog.messages
    assert any(message.startswith("Config(), threads: has no effect") for message in caplog.messages)
