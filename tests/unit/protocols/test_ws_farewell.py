"""The end of a WebSocket and its deadlines; what the close frames say is in ``test_ws_connection``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_arbiter.protocols.errors import ClientDisconnected
from asgi_arbiter.protocols.ws_farewell import CLOSE_TIMEOUT
from tests.ws_support import Story, client_frame, story


async def talker(scope: Any, receive: Any, send: Any) -> None:
    """Sends until nobody listens any more."""
    await send({"type": "websocket.accept"})
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(1000)})
            await asyncio.sleep(0)
    except ClientDisconnected:
        pass


PINGLESS: dict[str, Any] = {"ws_ping_interval": 0.0, "write_timeout": 5.0}


@story
async def test_a_peer_that_takes_nothing_is_cut_after_the_write_timeout_and_the_memory_is_bounded_until_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "asgi_arbiter.worker")
    async with Story(talker, settings=PINGLESS) as it:
        it.connection.pause_writing()
        it.transport.buffered = 70_000
        await it.settle()
        it.transport.take()
        await it.settle()
        assert it.transport.take() == b""  # the application waits
        it.tick(1 + 5)
        assert not it.transport.is_closed
        it.tick(1)
        assert it.transport.is_aborted
        assert [record.event for record in caplog.records] == ["client_stalled"]  # type: ignore[attr-defined]
        it.connection.connection_lost(None)
        await it.settle()
        assert it.connection.session.close_code == 1006


@story
async def test_a_peer_that_takes_something_now_and_then_stays() -> None:
    async with Story(talker, settings=PINGLESS) as it:
        it.connection.pause_writing()
        for held in range(70_000, 60_000, -1000):
            it.transport.buffered = held
            it.tick(5)
        assert not it.transport.is_closed


@story
async def test_what_is_added_to_the_heap_is_no_sign_that_the_peer_takes_of_it() -> None:
    async with Story(talker, settings={"ws_ping_interval": 2.0, "ws_ping_timeout": 0.0, "write_timeout": 5.0}) as it:
        it.connection.pause_writing()
        for held in range(70_000, 75_000, 1000):
            it.transport.buffered = held
            it.tick(1)
        assert not it.transport.is_closed
        it.tick(2)
        assert it.transport.is_aborted


@story
async def test_the_write_timeout_begins_anew_with_each_blockade_and_0_is_for_ever() -> None:
    async with Story(talker, settings=PINGLESS) as it:
        for _ in range(5):
            it.connection.pause_writing()
            it.transport.buffered = 70_000
            it.tick(4)
            it.connection.resume_writing()
        assert not it.transport.is_closed
    async with Story(talker, settings={"ws_ping_interval": 0.0, "write_timeout": 0.0}) as it:
        it.connection.pause_writing()
        it.tick(10_000)
        assert not it.transport.is_closed


@story
async def test_a_peer_that_neither_reads_nor_is_read_is_cut_although_no_pong_can_come() -> None:
    async def echo_all(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    settings = {"ws_ping_interval": 1.0, "ws_ping_timeout": 1.0, "ws_max_queue": 1, "write_timeout": 9.0}
    async with Story(echo_all, settings=settings) as it:
        it.connection.pause_writing()
        it.transport.buffered = 70_000
        await it.hear(client_frame(1, b"a") * 8)
        assert it.transport.is_reading_paused
        it.tick(1 + 9)
        assert not it.transport.is_closed
        it.tick(1)
        assert it.transport.is_aborted


@story
async def test_with_the_settings_as_they_come_an_unanswered_ping_is_first() -> None:
    async with Story(talker) as it:
        it.connection.pause_writing()
        it.transport.buffered = 70_000
        it.tick(20 + 20)
        assert not it.transport.is_closed
        it.tick(1)
        assert it.transport.is_closed
        assert not it.transport.is_aborted
        assert b"\x03\xf3keepalive ping timeout" in it.transport.take()


@story
async def test_a_close_frame_behind_much_that_the_peer_still_takes_is_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async with Story(app, settings=PINGLESS) as it:
        it.connection.pause_writing()
        it.transport.buffered = 100_000
        for _ in range(3 * CLOSE_TIMEOUT):
            it.transport.buffered -= 1000
            it.tick(1)
        assert not it.transport.is_closed
        it.tick(2)
        assert it.transport.is_aborted
