"""The server core, embedded, with a protocol of lines, on both loops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_arbiter.config.errors import BindError, LifespanFailed
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker import Server
from asgi_arbiter.worker.phases import ServerPhase
from asgi_arbiter.worker.pulse import PulseBoard

pytestmark = pytest.mark.usefixtures("line_protocol")


def config(**settings: Any) -> Config:
    return Config(access_log=False, **settings)


def test_it_serves_until_told_and_reports_a_clean_end(run: Any, bind: Any, serve: Any, echo: Any) -> None:
    async def main() -> None:
        server = Server(echo, config())
        async with serve(server, bind()) as client:
            assert server.phase is ServerPhase.SERVING
            assert await client.ask(b"hello\n") == b"hello\n"
            report = await client.end("reload")
        assert server.phase is ServerPhase.CLOSED
        assert (report.reason, report.served, report.is_clean) == ("reload", 1, True)

    run(main)


def test_it_binds_what_the_settings_say_and_removes_the_socket_file_afterwards(
    run: Any, socket_dir: Any, echo: Any
) -> None:
    path = socket_dir / "own"

    async def main() -> None:
        server = Server(echo, config(bind=(f"unix:{path}",)))
        existed: list[bool] = []

        def on_ready() -> None:
            existed.append(path.exists())
            server.begin_drain()

        await server.serve(on_ready=on_ready)
        assert existed == [True]
        assert not path.exists()

    run(main)


def test_an_address_that_cannot_be_opened_closes_those_opened_before(run: Any, socket_dir: Any, echo: Any) -> None:
    (socket_dir / "file").write_text("precious")

    async def main() -> None:
        server = Server(echo, config(bind=(f"unix:{socket_dir}/first", f"unix:{socket_dir}/file")))
        with pytest.raises(BindError, match="regular file"):
            await server.serve()

    run(main)
    assert [path.name for path in socket_dir.iterdir()] == ["file"]
    assert (socket_dir / "file").read_text() == "precious"


def test_a_request_under_way_is_finished_before_the_server_ends(run: Any, bind: Any, serve: Any) -> None:
    async def main() -> None:
        began, finish = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            began.set()
            await finish.wait()
            await send({"type": "http.response.body", "body": b"done"})

        server = Server(app, config(lifespan="off"))
        async with serve(server, bind()) as client:
            answer = asyncio.create_task(client.ask())
            await began.wait()
            server.begin_drain("recycle")
            await asyncio.sleep(0.01)
            assert not client.task.done()
            assert server.snapshot().in_flight == 1
            finish.set()
            assert await answer == b"done"
            assert (await client.task).is_clean

    run(main)


def test_an_idle_connection_is_told_the_reason_and_does_not_hold_the_end_up(
    run: Any, bind: Any, serve: Any, echo: Any
) -> None:
    async def main() -> None:
        server = Server(echo, config())
        async with serve(server, bind()) as client:
            reader, writer = await client.connect()
            writer.write(b"hello\n")
            await reader.readline()
            (connection,) = server._context.connections  # type: ignore[union-attr]
            await client.end("reload")
            assert connection.drained == "reload"  # type: ignore[attr-defined]
            assert await reader.read() == b""
            writer.close()

    run(main)


def test_at_the_deadline_tasks_are_cancelled_and_stubborn_connections_cut(run: Any, bind: Any, serve: Any) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            began.set()
            await asyncio.get_running_loop().create_future()

        server = Server(app, config(lifespan="off", graceful_timeout=0.01))
        async with serve(server, bind()) as client:
            _, writer = await client.connect()
            writer.write(b"hello\n")
            await began.wait()
            report = await client.end()
            assert report.cancelled == 1
            writer.close()

    run(main)


def test_abort_ends_at_once_and_still_runs_the_lifespan_shutdown(run: Any, bind: Any, serve: Any) -> None:
    said: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            said.append((await receive())["type"])
            await send({"type": "lifespan.startup.complete"})
            said.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        while True:  # ignores its cancellation
            try:
                await asyncio.sleep(0.001)
                if said[-1] == "lifespan.shutdown":
                    return
            except asyncio.CancelledError:
                pass

    async def main() -> None:
        server = Server(app, config())
        async with serve(server, bind()) as client:
            _, writer = await client.connect()
            writer.write(b"hello\n")
            while not server.snapshot().in_flight:
                await asyncio.sleep(0.001)
            server.abort()
            report = await client.task
            assert report.cut == 1
            writer.close()

    run(main)
    assert said == ["lifespan.startup", "lifespan.shutdown"]


def test_beginning_to_drain_twice_is_harmless_and_keeps_the_first_reason(
    run: Any, bind: Any, serve: Any, echo: Any
) -> None:
    async def main() -> None:
        server = Server(echo, config())
        async with serve(server, bind()) as client:
            server.begin_drain("reload")
            server.begin_drain("shutdown")
            report = await client.end()
            server.begin_drain("shutdown")
            assert report.reason == "reload"

    run(main)


def test_told_to_leave_during_the_startup_it_never_serves(run: Any, bind: Any) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
            await asyncio.sleep(60)
        finally:
            ended.append("cleaned up")

    async def main() -> None:
        server = Server(app, config())
        listener = bind()
        asyncio.get_running_loop().call_soon(server.begin_drain, "shutdown")
        ready: list[bool] = []
        report = await server.serve([listener], on_ready=lambda: ready.append(True))
        assert ready == []
        assert report.reason == "shutdown"
        assert server.phase is ServerPhase.CLOSED
        listener.close()

    run(main)
    assert ended == ["cleaned up"]


def test_a_failed_startup_is_raised_and_nothing_was_accepted(run: Any, bind: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def main() -> None:
        server = Server(app, config())
        listener = bind()
        with pytest.raises(LifespanFailed, match="no database"):
            await server.serve([listener])
        assert server.phase is ServerPhase.FAILED
        listener.close()

    run(main)


def test_the_state_of_the_lifespan_reaches_the_requests(run: Any, bind: Any, serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["word"] = b"state"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await send({"type": "http.response.body", "body": scope["state"]["word"]})

    async def main() -> None:
        async with serve(Server(app, config()), bind()) as client:
            assert await client.ask() == b"state"

    run(main)


def test_reaching_max_requests_asks_for_retirement_once_and_serves_on(
    run: Any, bind: Any, serve: Any, echo: Any
) -> None:
    async def main() -> None:
        reasons: list[str] = []
        server = Server(echo, config(max_requests=2), retire=reasons.append)
        async with serve(server, bind()) as client:
            for _ in range(4):
                assert await client.ask() == b"hello\n"
            assert reasons == ["max_requests"]
            assert server.phase is ServerPhase.SERVING

    run(main)


def test_without_an_arbiter_reaching_a_limit_is_the_end(run: Any, bind: Any, serve: Any, echo: Any) -> None:
    async def main() -> None:
        async with serve(Server(echo, config(max_requests=1)), bind()) as client:
            assert await client.ask() == b"hello\n"
            assert (await client.task).reason == "max_requests"

    run(main)


def test_it_beats_with_its_phase_and_its_numbers(run: Any, bind: Any, serve: Any, echo: Any) -> None:
    async def main() -> None:
        beats: list[Any] = []
        server = Server(echo, config(), beat=beats.append)
        async with serve(server, bind()) as client:
            await client.ask()
            await client.end()
        assert [beat.phase for beat in beats] == [ServerPhase.SERVING, ServerPhase.DRAINING, ServerPhase.CLOSING]
        assert beats[-1].served == 1

    run(main)


def test_among_rivals_it_serves_and_tells_its_connections(run: Any, bind: Any, serve: Any, echo: Any) -> None:
    async def main() -> None:
        board = PulseBoard(2)
        server = Server(echo, config(workers=2), rivals=(board, 1))
        async with serve(server, bind()) as client:
            _, writer = await client.connect()
            writer.write(b"hello\n")
            while not board.connections(1):
                await asyncio.sleep(0.001)
            assert board.connections(1) == 1
            writer.close()
        board.close()

    run(main)


@pytest.mark.parametrize("rivals", [False, True])
def test_the_last_to_leave_serves_what_is_in_the_accept_queue(run: Any, bind: Any, echo: Any, rivals: bool) -> None:
    async def main() -> None:
        board = PulseBoard(2)
        server = Server(echo, config(), rivals=(board, 0) if rivals else None)
        listener = bind()
        path = listener.socket.getsockname()
        writers: list[asyncio.StreamWriter] = []
        readers: list[asyncio.StreamReader] = []

        async def connect_and_leave() -> None:
            for _ in range(20):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(b"hello\n")
                writers.append(writer)
                readers.append(reader)
            server.begin_drain("shutdown")

        told = asyncio.create_task(connect_and_leave())
        report = await server.serve([listener])
        await told
        assert [await reader.read() for reader in readers] == [b"hello\n"] * 20
        assert report.served == 20
        for writer in writers:
            writer.close()
        listener.close()
        board.close()

    run(main)


def test_a_server_is_used_once(run: Any, bind: Any, serve: Any, echo: Any) -> None:
    async def main() -> None:
        server = Server(echo, config())
        async with serve(server, bind()) as client:
            with pytest.raises(AssertionError, match="cannot go from SERVING to STARTING"):
                await server.serve([])
            assert await client.ask() == b"hello\n"

    run(main)
