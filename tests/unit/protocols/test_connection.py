"""The HTTP connection, over both parsers: keep-alive, refusals, time, leaving, upgrades."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.http_support import (
    PARSERS,
    Client,
    Recorder,
    body,
    echo,
    hello,
    read_body,
    request,
    run,
    start,
    talk,
)


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Keep-alive and versions


def test_a_connection_is_kept_for_the_next_request(parser: str) -> None:
    client = talk(parser, hello, request(), request())
    first, second = client.answers()
    assert (first.status, first.body, first.get(b"connection")) == (200, b"hello", None)
    assert second == first
    assert not client.transport.closing
    assert client.connection.is_idle()
    assert (client.context.in_flight, client.context.completed) == (0, 2)


def test_the_response_has_date_server_and_length(parser: str) -> None:
    (answer,) = talk(parser, hello, request()).answers()
    assert answer.get(b"date") == b"Sun, 22 Nov 2026 07:00:00 GMT"
    assert answer.get(b"server") == b"asgi-arbiter"
    assert answer.get(b"content-length") == b"5"


def test_a_client_that_asks_for_the_end_gets_it(parser: str) -> None:
    client = talk(parser, hello, request("/", "GET", "Connection: close"), request())
    (answer,) = client.answers()
    assert answer.get(b"connection") == b"close"
    assert client.transport.lost
    assert not client.transport.has_sent_eof


def test_http_1_0_ends_with_its_response(parser: str) -> None:
    client = talk(parser, hello, request(version="HTTP/1.0"))
    (answer,) = client.answers()
    assert answer.version == b"HTTP/1.1"
    assert answer.get(b"connection") == b"close"
    assert client.transport.lost


def test_http_1_0_goes_on_when_asked_and_the_length_is_known(parser: str) -> None:
    head = request("/", "GET", "Connection: keep-alive", version="HTTP/1.0")
    client = talk(parser, hello, head, head)
    answers = client.answers()
    assert [answer.get(b"connection") for answer in answers] == [b"keep-alive"] * 2
    assert not client.transport.closing


def test_http_1_0_gets_no_chunks(parser: str) -> None:
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    client = talk(parser, stream, request("/", "GET", "Connection: keep-alive", version="HTTP/1.0"))
    (answer,) = client.answers()
    assert (answer.body, answer.chunked, answer.get(b"connection")) == (b"onetwo", False, b"close")
    assert client.is_finished


def test_a_keepalive_of_zero_closes_after_each_response(parser: str) -> None:
    client = talk(parser, hello, request(), keepalive=0.0)
    (answer,) = client.answers()
    assert answer.get(b"connection") == b"close"
    assert client.is_finished


# Refusals


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (request("/", "POST", "Transfer-Encoding: gzip, chunked"), 501),
        (request("/" + "x" * 200), 414),
        (request("/", "GET", "X: " + "x" * 200), 431),
        (request("/", "GET", *[f"X{number}: x" for number in range(9)]), 431),
        (request("/", "GET", *["X: " + "x" * 90] * 5), 431),
    ],
)
def test_a_refusal_has_its_status_and_ends_with_a_lingering_close(parser: str, data: bytes, status: int) -> None:
    async def story() -> None:
        client = Client(
            hello,
            parser,
            limit_request_line=100,
            limit_request_fields=8,
            limit_request_field_size=150,
            limit_request_head=400,
        )
        await client.say(data)
        (answer,) = client.answers()
        assert (answer.status, answer.get(b"connection")) == (status, b"close")
        assert answer.body.endswith(b".\n")
        assert client.transport.has_sent_eof
        assert not client.transport.closing
        await client.say(b"x" * 1000)
        await client.pass_time(4)
        assert client.transport.lost

    run(story())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /" + b"x" * 200, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 500, 431),
        (b"GET /\r\nHo", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ],
)
def test_an_incomplete_head_is_refused_as_soon_as_it_is_wrong(parser: str, data: bytes, status: int) -> None:
    client = talk(parser, hello, data, limit_request_line=100, limit_request_head=400)
    assert client.answers()[0].status == status


def test_a_malformed_chunk_is_refused_while_nothing_has_been_answered(parser: str) -> None:
    client = talk(parser, echo, request("/", "POST", "Transfer-Encoding: chunked"), b"zz\r\n")
    assert client.answers()[0].status == 400
    assert client.is_finished


def test_a_malformed_chunk_within_a_response_cuts_the_connection(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await read_body(receive)

    client = talk(parser, app, request("/", "POST", "Transfer-Encoding: chunked"), b"zz\r\n")
    assert client.transport.aborted


def test_a_refusal_waits_for_the_answers_before_it(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await hello(scope, receive, send)

    client = talk(parser, app, request() + b"GET / HTTP/3.0\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [200, 505]


def test_above_the_concurrency_limit_there_is_a_503_that_says_when_to_come_again(parser: str) -> None:
    async def story() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.Event().wait()

        first = Client(app, parser, limit_concurrency=1)
        await first.say(request())
        second = Client(app, parser, context=first.context)
        await second.say(request())
        (answer,) = second.answers()
        assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
        await first.leave()

    run(story())


def test_empty_lines_before_a_request_are_skipped(parser: str) -> None:
    assert [a.status for a in talk(parser, hello, b"\r\n\r\n" + request() + b"\r\n" + request()).answers()] == [200] * 2
    assert [a.status for a in talk(parser, hello, b"\r\n", b"\r", b"\n", request()).answers()] == [200]


# Time


@pytest.mark.parametrize(
    ("data", "ticks", "status"),
    [(b"", 11, None), (b"GET / HT", 11, 408), (request("/", "POST", "Content-Length: 3"), 61, 408)],
)
def test_a_client_that_is_too_slow_is_told_so_if_it_has_begun(
    parser: str, data: bytes, ticks: int, status: int | None
) -> None:
    early = talk(parser, echo, data, ticks=ticks - 1)
    assert not early.is_finished
    late = talk(parser, echo, data, ticks=ticks)
    assert late.is_finished
    assert [answer.status for answer in late.answers()] == ([status] if status else [])


def test_an_idle_connection_is_closed_without_a_word(parser: str) -> None:
    assert not talk(parser, hello, request(), ticks=5).is_finished
    client = talk(parser, hello, request(), ticks=6)
    assert client.transport.lost
    assert len(client.answers()) == 1


def test_a_busy_application_has_no_deadline(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    assert not talk(parser, app, request(), ticks=300).is_finished


def test_dribbling_does_not_move_the_header_deadline(parser: str) -> None:
    async def story() -> None:
        client = Client(hello, parser)
        for byte in request("/" + "x" * 40)[:12]:
            await client.say(bytes([byte]))
            await client.pass_time(1)
        assert client.answers()[0].status == 408

    run(story())


def test_a_request_that_takes_too_long_is_answered_with_504(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    async def waiting_for_the_database() -> None:
        await asyncio.Event().wait()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await waiting_for_the_database()

    client = talk(parser, app, request(), ticks=4, request_timeout=3.0)
    assert client.answers()[0].status == 504
    (record,) = caplog.records  # one record, with where it waited
    assert record.event == "request_timeout"
    assert "GET /" in record.getMessage()
    assert "waiting_for_the_database" in record.getMessage()
    assert "request_timeout (3 s)" in record.getMessage()


def test_a_response_that_takes_too_long_is_cut(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200))
        await send(body(b"first", True))
        await asyncio.Event().wait()

    client = talk(parser, app, request(), ticks=4, request_timeout=3.0)
    assert client.transport.aborted
    assert b"first" in client.transport.sent
    assert "in the middle of its response" in caplog.text


@pytest.mark.parametrize("begun", [False, True])
def test_an_application_that_catches_the_cancellation_does_not_win(
    parser: str, begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send(start(200))
            await send(body(b"first", True))
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    client = talk(parser, app, request(), ticks=5, request_timeout=3.0)
    assert "went on after its cancellation" in caplog.text
    if begun:
        assert client.transport.aborted
    else:
        assert client.answers()[0].status == 504


def test_without_a_limit_a_request_may_take_any_time(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    assert b" 504 " not in talk(parser, app, request(), ticks=100).transport.sent


def test_lingering_is_bounded_in_bytes(parser: str) -> None:
    client = talk(parser, hello, b"GET /\r\n\r\n", *[b"x" * 65536] * 20)
    assert client.transport.aborted


# Leaving


def test_a_draining_worker_says_close_and_idle_connections_linger(parser: str) -> None:
    async def story() -> None:
        client = Client(hello, parser)
        await client.say(request())
        client.context.draining = "shutdown"
        client.connection.drain("shutdown")
        assert not client.transport.closing
        await client.say(request())
        assert [answer.get(b"connection") for answer in client.answers()] == [None, b"close"]
        assert client.is_finished
        idle = Client(hello, parser, context=client.context)
        await idle.say(b"")
        idle.connection.drain("shutdown")
        await idle.pass_time(2)
        assert idle.transport.lost
        assert idle.heard == b""

    run(story())


def test_a_draining_worker_answers_every_request_that_has_arrived(parser: str) -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            await hello(scope, receive, send)

        client = Client(app, parser)
        await client.say(request() * 3)
        client.context.draining = "reload"
        client.connection.drain("reload")
        go.set()
        await client.quiet()
        assert [answer.get(b"connection") for answer in client.answers()] == [None, None, b"close"]

    run(story())


def test_abort_cuts_the_connection_and_cancels_the_application(parser: str) -> None:
    async def story() -> None:
        ended: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")

        client = Client(app, parser)
        await client.say(request())
        assert not client.connection.is_idle()
        assert "GET / HTTP/1.1" in client.connection.describe()
        client.context.ticked_at -= 30.0  # the loop is blocked: no tick comes, and the age grows all the same
        assert "for 30.0 s" in client.connection.describe()
        client.connection.abort()
        await client.quiet()
        assert ended == ["cancelled"]
        assert client.transport.aborted

    run(story())


def test_the_request_limit_is_reported_once(parser: str) -> None:
    async def story() -> None:
        told: list[int] = []
        client = Client(hello, parser)
        client.context.request_limit = 2
        client.context.on_request_limit = lambda: told.append(client.context.completed)
        await client.say(request() * 4)
        assert told == [2]

    run(story())


# Upgrades

UPGRADE = request(
    "/chat?a=b", "GET", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "X-Forwarded-Proto: https"
)


def test_a_websocket_upgrade_hands_the_transport_over_with_what_came_behind(parser: str) -> None:
    upgrades: list[Any] = []

    class Taker(asyncio.Protocol):
        def __init__(self, context: Any, upgrade: Any) -> None:
            upgrades.append(upgrade)
            self.data = b""

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.data += data

    client = talk(parser, hello, UPGRADE + b"leftover", b" and more", websocket_protocol=Taker)
    (upgrade,) = upgrades
    assert client.heard == b""
    assert client.context.connections == set()
    taker: Any = client.transport.get_protocol()
    assert isinstance(taker, Taker)
    assert (upgrade.leftover, taker.data) == (b"leftover", b"leftover and more")
    assert (upgrade.method, upgrade.target, upgrade.http_version) == ("GET", b"/chat?a=b", "1.1")
    scope = upgrade.scope
    assert (scope["type"], scope["scheme"], scope["path"], scope["query_string"]) == (
        "websocket",
        "wss",
        "/chat",
        b"a=b",
    )
    assert "method" not in scope
    assert scope["extensions"] == {"websocket.http.response": {}}


@pytest.mark.parametrize(
    "head",
    [
        request("/", "POST", "Connection: Upgrade", "Upgrade: websocket"),
        request("/", "GET", "Connection: Upgrade", "Upgrade: h2c"),
        request("/", "GET", "Upgrade: websocket"),
        request("/", "GET", "Connection: Upgrade, close", "Upgrade: websocket", version="HTTP/1.0"),
    ],
)
def test_other_upgrades_are_answered_as_requests(parser: str, head: bytes) -> None:
    def never(context: Any, upgrade: Any) -> Any:
        raise AssertionError

    (answer,) = talk(parser, hello, head, websocket_protocol=never).answers()
    assert answer.status == 200


def test_without_a_websocket_protocol_an_upgrade_is_answered_as_a_request(parser: str) -> None:
    client = talk(parser, hello, UPGRADE, request())
    assert [answer.status for answer in client.answers()] == [200, 200]


# Heads that come again


def test_what_an_application_does_to_its_headers_does_not_reach_the_next_request(parser: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(list(scope["headers"]))
        scope["headers"].append((b"x-a", b"mine"))
        await hello(scope, receive, send)

    talk(parser, app, request(), request())
    assert seen == [[(b"host", b"a")]] * 2


def test_an_upgrade_that_meant_nothing_in_a_post_is_one_in_a_get(parser: str) -> None:
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    upgrades: list[Any] = []

    def websocket(context: Any, upgrade: Any) -> asyncio.Protocol:
        upgrades.append(upgrade)
        return asyncio.Protocol()

    talk(parser, hello, request("/", "POST", *fields), request("/", "GET", *fields), websocket_protocol=websocket)
    assert [upgrade.method for upgrade in upgrades] == ["GET"]


def test_a_head_of_http_1_0_is_not_judged_by_one_of_http_1_1(parser: str) -> None:
    client = talk(parser, hello, request(), request(version="HTTP/1.0"))
    assert [answer.get(b"connection") for answer in client.answers()] == [None, b"close"]


def test_long_heads_and_too_many_of_them_are_not_remembered(parser: str) -> None:
    requests = [request("/", "GET", f"X-A: {number}") for number in range(1500)]
    client = talk(parser, hello, request("/", "GET", "X-A: " + "a" * 2000), *requests)
    assert len(client.answers()) == 1501
    assert len(client.connection.policy.heads._known) <= 256


def test_a_client_that_takes_nothing_is_cut_and_one_that_moves_is_not() -> None:
    async def story(moves: bool) -> bool:
        client = Client(hello, write_timeout=2)
        await client.say(request())
        client.connection.pause_writing()
        for left in range(9, 0, -1):
            client.transport.unflushed = left if moves else 5
            await client.pass_time(1)
        return client.transport.aborted

    assert run(story(moves=False))
    assert not run(story(moves=True))


def test_requests_that_wait_until_the_client_reads_are_not_its_fault() -> None:
    async def story() -> Client:
        client = Client(hello, keepalive=1)
        client.connection.pause_writing()
        await client.say(request(), request())
        await client.pass_time(10)
        client.connection.resume_writing()
        await client.quiet()
        return client

    assert [answer.status for answer in run(story()).answers()] == [200, 200]


def test_a_client_that_a_proxy_introduces_is_the_client_whose_headers_count() -> None:
    recorder = Recorder()

    async def story() -> None:
        client = Client(recorder)
        client.connection.introduce(("1.2.3.4", 5), ("6.7.8.9", 443))
        await client.say(request("/", "GET", "X-Forwarded-For: 9.9.9.9"))
        client.connection.introduce(("127.0.0.1", 5), None)
        await client.say(request("/", "GET", "X-Forwarded-For: 9.9.9.9"))

    run(story())
    assert [scope["client"] for scope in recorder.scopes] == [("1.2.3.4", 5), ("9.9.9.9", 0)]
    assert [scope["server"] for scope in recorder.scopes] == [("6.7.8.9", 443), None]


def test_answers_before_one_that_is_cut_off_are_not_lost() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-length", b"2")))
        await send(body(b"a", True))
        if scope["path"] == "/":
            await send(body(b"b"))

    client = talk("httptools", app, request() + request("/cut") + request())
    assert client.heard.endswith(b"\r\n\r\na")
    assert client.heard.count(b"\r\n\r\nab") == 1
    assert client.transport.closing


def test_a_reset_during_our_last_word_is_not_the_applications_error() -> None:
    async def story() -> tuple[bool, int]:
        client = Client(hello)

        def reset() -> None:
            raise OSError(107, "not connected")

        client.transport.write_eof = reset  # type: ignore[method-assign]
        await client.say(request("/", "POST", "Content-Length: 100000", "Expect: 100-continue"))
        return client.transport.aborted, client.answers()[0].status

    assert run(story()) == (True, 200)
