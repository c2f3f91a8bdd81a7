"""The connection, over a transport in memory, with both libraries."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import pytest

from asgi_arbiter.protocols.errors import ClientDisconnected, MisusedByApplication
from asgi_arbiter.protocols.websocket import WebsocketsProtocol
from asgi_arbiter.protocols.ws_farewell import CLOSE_TIMEOUT, LINGER
from asgi_arbiter.protocols.ws_frames import close_payload
from asgi_arbiter.protocols.ws_session import Phase
from asgi_arbiter.protocols.wsproto_websocket import WsprotoProtocol
from tests.ws_support import ACCEPT, HANDSHAKE, Story, client_frame, echo, story

both = pytest.mark.parametrize("protocol", [WebsocketsProtocol, WsprotoProtocol])
DEFLATE = (*HANDSHAKE, (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"))


@both
@story
async def test_a_handshake_and_an_echo(protocol: Any) -> None:
    async with Story(protocol=protocol) as it:
        assert it.head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"sec-websocket-accept: " + ACCEPT in it.head
        assert b"date: now\r\n" in it.head
        assert b"server: asgi-arbiter\r\n" in it.head
        assert await it.hear(client_frame(1, "héllo".encode())) == b"\x81\x06h\xc3\xa9llo"
        assert await it.hear(client_frame(2, b"x" * 300)) == b"\x82\x7e\x01\x2c" + b"x" * 300
        assert await it.hear(client_frame(2, b"y" * 70000)) == b"\x82\x7f" + (70000).to_bytes(8, "big") + b"y" * 70000
        assert await it.hear(client_frame(1, b"a", fin=False) + client_frame(0, b"b")) == b"\x81\x02ab"
        assert (it.connection.session.messages_in, it.connection.session.messages_out) == (4, 4)


@story
async def test_the_settings_decide_the_headers_of_the_server() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "headers": [(b"Date", b"then")]})
        await receive()
        await receive()

    async with Story(app, settings={"server_header": False, "headers": ("x-frame: deny",)}) as it:
        assert b"server:" not in it.head
        assert b"x-frame: deny\r\n" in it.head
        assert it.head.lower().count(b"date:") == 1


@both
@story
async def test_a_compressed_echo(protocol: Any) -> None:
    async with Story(protocol=protocol, headers=DEFLATE) as it:
        assert b"client_max_window_bits=12" in it.head
        squeeze = zlib.compressobj(wbits=-12)
        expand = zlib.decompressobj(wbits=-12)
        for text in (b"hello " * 50, b"hello " * 60):
            sent = (squeeze.compress(text) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
            answer = await it.hear(client_frame(1, sent, rsv=4))
            assert answer[0] == 0xC1
            assert len(answer) < 60
            assert expand.decompress(answer[2:] + b"\x00\x00\xff\xff") == text
        assert await it.hear(client_frame(1, b"short")) == b"\x81\x05short"


@story
async def test_without_the_setting_nothing_is_compressed() -> None:
    async with Story(headers=DEFLATE, settings={"ws_per_message_deflate": False}) as it:
        assert b"extensions" not in it.head
        assert (await it.hear(client_frame(1, b"a", rsv=4)))[:1] == b"\x88"


@story
async def test_a_bad_handshake_is_answered_and_the_application_not_called() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async with Story(app, method="PUT") as it:
        assert it.head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        assert b"allow: GET\r\n" in it.head
        assert it.transport.is_closed


@story
async def test_the_scope_has_the_subprotocols_and_the_choice_is_answered() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["subprotocols"] == ["v1", "v2"]
        await send({"type": "websocket.accept", "subprotocol": "v2"})

    async with Story(app, headers=(*HANDSHAKE, (b"sec-websocket-protocol", b"v1, v2"))) as it:
        assert b"sec-websocket-protocol: v2\r\n" in it.head


@story
async def test_a_wrong_choice_of_subprotocol_is_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "subprotocol": "v3"})

    async with Story(app) as it:
        assert it.head.startswith(b"HTTP/1.1 500 ")
        assert it.transport.is_closed


@story
async def test_a_refusal_of_the_application_closes_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 402, "headers": [(b"x-a", b"b")]})
        await send({"type": "websocket.http.response.body", "body": b"pay"})

    async with Story(app) as it:
        assert it.head.startswith(b"HTTP/1.1 402 Payment Required\r\n")
        assert it.head.endswith(b"content-length: 3\r\n\r\npay")
        assert it.transport.is_closed


@story
async def test_frames_sent_before_the_accept_are_read_after_it() -> None:
    ready = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await ready.wait()
        await echo(scope, receive, send)

    async with Story(app) as it:
        assert await it.hear(client_frame(1, b"early")) == b""
        ready.set()
        await it.settle()
        assert it.transport.take().endswith(b"\r\n\r\n\x81\x05early")


@both
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (client_frame(1, b"\xff"), 1007),
        (client_frame(1, b"a", fin=False) + client_frame(0, b"\xff", fin=False), 1007),
        (client_frame(1, b"a", rsv=4), 1002),
        (client_frame(3, b"a"), 1002),
        (client_frame(9, b"a" * 126), 1002),
        (client_frame(8, b"\x03"), 1002),
        (client_frame(8, b"\x03\xe8\xff"), 1007),
        (client_frame(2, bytes(200)), 1009),
        (client_frame(2, bytes(90), fin=False) + client_frame(0, bytes(90)), 1009),
    ],
)
@story
async def test_a_broken_frame_ends_with_its_code_and_reads_on_until_the_peer_has_gone(
    protocol: Any, frame: bytes, code: int
) -> None:
    async with Story(protocol=protocol, settings={"ws_max_size": 128}) as it:
        answer = await it.hear(frame + client_frame(1, b"ignored"))
        assert (answer[0], int.from_bytes(answer[2:4], "big")) == (0x88, code)
        assert it.connection.session.close_code == code
        assert it.transport.has_eof
        assert not it.transport.is_closed
        assert await it.hear(b"\xff" * 100000) == b""
        it.tick(LINGER)
        assert it.transport.is_aborted


@story
async def test_what_came_before_a_broken_frame_is_still_answered() -> None:
    async with Story() as it:
        answer = await it.hear(client_frame(1, b"fine") + client_frame(3, b"not"))
        assert answer.startswith(b"\x81\x04fine\x88")


@story
async def test_the_close_frame_of_the_peer_is_answered_and_told() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        heard.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})

    async with Story(app) as it:
        assert await it.hear(client_frame(8, close_payload(4001, "so long"))) == b"\x88\x02\x0f\xa1"
        assert it.transport.is_closed
    assert heard == [{"type": "websocket.disconnect", "code": 4001, "reason": "so long"}]


@story
async def test_a_close_frame_without_a_code_is_1005() -> None:
    async with Story() as it:
        assert await it.hear(client_frame(8)) == b"\x88\x00"
        assert it.connection.session.close_code == 1005


@story
async def test_a_connection_that_is_cut_is_1006() -> None:
    async with Story() as it:
        it.connection.connection_lost(ConnectionResetError())
        await it.settle()
        assert it.connection.session.close_code == 1006


@story
async def test_the_close_of_the_application_waits_for_the_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000, "reason": "bye"})

    async with Story(app) as it:
        assert it.head.endswith(b"\x88\x05\x03\xe8bye")
        assert not it.transport.is_closed
        assert await it.hear(client_frame(1, b"crossed") + client_frame(8, close_payload(1000))) == b""
        assert it.transport.is_closed
        assert not it.transport.is_aborted


@story
async def test_a_peer_that_does_not_answer_a_close_is_cut_in_the_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async with Story(app) as it:
        it.tick(CLOSE_TIMEOUT)
        assert not it.transport.is_closed
        it.tick(1)
        assert it.transport.is_aborted


@story
async def test_pings_are_answered_and_to_a_deaf_peer_only_the_last() -> None:
    async with Story() as it:
        assert await it.hear(client_frame(9, b"one")) == b"\x8a\x03one"
        it.connection.pause_writing()
        assert await it.hear(client_frame(9, b"two") + client_frame(9, b"three")) == b""
        it.connection.resume_writing()
        assert it.transport.take() == b"\x8a\x05three"


@story
async def test_a_peer_that_answers_pings_stays() -> None:
    async with Story(settings={"ws_ping_interval": 3.0, "ws_ping_timeout": 2.0}) as it:
        for _ in range(5):
            it.tick(3)
            ping = it.transport.take()
            assert ping[:2] == b"\x89\x04"
            await it.hear(client_frame(10, b"unasked") + client_frame(10, ping[2:]))
        assert not it.transport.is_closed


@story
async def test_a_peer_that_does_not_answer_pings_is_left_with_1011_and_the_application_hears_1006() -> None:
    async with Story(settings={"ws_ping_interval": 3.0, "ws_ping_timeout": 2.0}) as it:
        it.tick(3)
        assert it.transport.take()[:1] == b"\x89"
        it.tick(2)
        assert not it.transport.is_closed
        it.tick(1)
        assert it.transport.take()[:4] == b"\x88\x18\x03\xf3"
        assert it.transport.is_closed
        assert it.connection.session.close_code == 1006
        it.tick(LINGER)
        assert it.transport.is_aborted


@story
async def test_a_peer_that_is_not_read_is_not_blamed_for_its_silence() -> None:
    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async with Story(deaf, settings={"ws_max_queue": 1, "ws_ping_interval": 1.0, "ws_ping_timeout": 1.0}) as it:
        await it.hear(client_frame(1, b"a"))
        it.tick(20)
        assert not it.transport.is_closed


@both
@story
async def test_a_flood_is_not_read_until_the_application_takes_it(protocol: Any) -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        for number in range(100):
            assert (await receive())["text"] == str(number)
        await send({"type": "websocket.send", "text": "all"})

    async with Story(slow, protocol, settings={"ws_max_queue": 8}) as it:
        await it.hear(b"".join(client_frame(1, str(number).encode()) for number in range(100)))
        assert it.transport.is_reading_paused
        assert it.connection.session.messages_in == 8
        gate.set()
        await it.settle()
        assert not it.transport.is_reading_paused
        assert it.transport.take().startswith(b"\x81\x03all")


@story
async def test_send_waits_for_the_socket_and_is_released_by_its_loss() -> None:
    trail: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        await receive()
        await send({"type": "websocket.send", "text": "one"})
        trail.append("one")
        it.connection.pause_writing()
        await send({"type": "websocket.send", "text": "two"})
        trail.append("two")
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "three"})
        trail.append("three")

    async with Story(app) as it:
        it.connection.pause_writing()
        await it.hear(client_frame(1, b"go"))
        assert trail == []
        it.connection.resume_writing()
        it.connection.pause_writing()
        await it.settle()
        assert trail == []  # blocked again before it woke
        it.connection.resume_writing()
        await it.settle()
        assert trail == ["one"]
        it.connection.connection_lost(None)
        await it.settle()
    assert trail == ["one", "two", "three"]


@pytest.mark.parametrize(("reason", "code"), [("shutdown", 1001), ("reload", 1012), ("recycle", 1012)])
@story
async def test_a_drain_says_why(reason: str, code: int) -> None:
    async with Story() as it:
        it.context.draining = reason
        it.connection.drain(reason)
        assert it.transport.take() == b"\x88\x02" + code.to_bytes(2, "big")
        await it.settle()
        assert it.context.tasks == set()
        assert await it.hear(client_frame(8, close_payload(code))) == b""
        assert it.transport.is_closed


@story
async def test_many_farewells_are_spread_over_half_of_the_grace() -> None:
    async with Story(settings={"graceful_timeout": 20.0}) as it:
        others: set[Any] = {object() for _ in range(100_000)}
        it.context.connections |= others
        it.context.draining = "reload"
        waits = set()
        for _ in range(20):
            it.connection._leave_at = 0
            it.connection.drain("reload")
            waits.add(it.connection._leave_at)
            if it.connection.session.phase is not Phase.OPEN:
                break
        assert max(waits) <= 10
        it.context.connections -= others
        it.tick(10)
        assert it.connection.session.close_code == 1012


@story
async def test_a_handshake_in_a_worker_that_leaves_is_accepted_and_closed() -> None:
    async with Story(draining="reload") as it:
        assert it.head.endswith(b"\r\n\r\n\x88\x02\x03\xf4")


@story
async def test_an_abort_says_farewell_to_a_peer_that_reads_and_cuts_one_that_does_not() -> None:
    async with Story() as it:
        it.context.draining = "reload"
        it.connection.abort()
        assert it.transport.take() == b"\x88\x02\x03\xf4"
        assert not it.transport.is_aborted
        await it.settle()
        assert it.context.tasks == set()
    async with Story() as it:
        it.transport.buffered = 1
        it.connection.abort()
        assert it.transport.is_aborted


@story
async def test_the_access_log_has_duration_code_and_counts() -> None:
    records: list[Any] = []
    async with Story(access_log=records.append) as it:
        await it.hear(client_frame(1, b"abc"))
        await it.hear(client_frame(8, close_payload(1000)))
    (record,) = records
    assert (record.kind, record.status, record.close_code) == ("websocket", 101, 1000)
    assert (record.messages_in, record.messages_out, record.bytes_sent) == (1, 1, 3)
    assert record.target == b"/chat?x=1"
    assert record.duration >= 0


@story
async def test_the_request_limit_counts_websockets() -> None:
    reached: list[bool] = []
    async with Story() as it:
        it.context.request_limit = 1
        it.context.on_request_limit = lambda: reached.append(True)
        assert it.context.in_flight == 1
        it.connection.connection_lost(None)
        await it.settle()
    assert reached == [True]


@story
async def test_a_connection_can_be_described_and_is_never_idle() -> None:
    async with Story() as it:
        assert it.connection.describe().startswith("WebSocket /chat of 192.0.2.1, open, 0.")
        assert not it.connection.is_idle()


@story
async def test_a_message_with_nothing_in_it_is_an_error_of_the_application() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        with pytest.raises(MisusedByApplication, match=r"websocket\.send"):
            await send({"type": "websocket.send"})
        await send({"type": "websocket.send", "bytes": bytearray(b"x"), "text": None})

    async with Story(app) as it:
        assert b"\x82\x01x" in it.head


@both
@pytest.mark.parametrize("takeover", [True, False])
@story
async def test_the_settings_decide_the_window_and_whether_it_is_kept(protocol: Any, takeover: bool) -> None:
    settings = {"ws_deflate_window_bits": 10, "ws_deflate_context_takeover": takeover}
    async with Story(protocol=protocol, headers=DEFLATE, settings=settings) as it:
        assert b"server_max_window_bits=10; client_max_window_bits=10" in it.head
        assert (b"_no_context_takeover" in it.head) is not takeover
        text = bytes(range(32, 127))
        sizes = []
        for _ in range(2):
            encoder = zlib.compressobj(wbits=-10)
            sent = (encoder.compress(text) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]
            answer = await it.hear(client_frame(1, sent, rsv=4))
            sizes.append(len(answer))
        assert (sizes[1] < sizes[0]) is takeover
