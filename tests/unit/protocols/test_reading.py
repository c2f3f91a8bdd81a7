"""Reading requests, over both parsers: bodies, expectations, order, backpressure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_arbiter.protocols.reading import INLINE_REQUESTS
from tests.http_support import (
    PARSERS,
    Client,
    Recorder,
    echo,
    hello,
    request,
    run,
    talk,
)


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Bodies


@pytest.mark.parametrize("size", [0, 1, 5, 70_000, 300_000])
def test_a_body_of_any_size_arrives_whole(parser: str, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    data = request("/", "POST", body=body)
    pieces = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    (answer,) = talk(parser, echo, *pieces).answers()
    assert answer.body == body


def test_a_chunked_body_arrives_whole_however_it_is_cut(parser: str) -> None:
    data = request("/", "POST", "Transfer-Encoding: chunked")
    data += b"5;name=value\r\nhello\r\n00006\r\n world\r\n0\r\nTrailer: dropped\r\n\r\n" + request("/next")
    for size in (1, 2, 3, 7, len(data)):
        recorder = Recorder()
        client = talk(parser, recorder, *[data[start : start + size] for start in range(0, len(data), size)])
        assert recorder.bodies == [b"hello world", b""]
        assert recorder.scopes[0]["headers"] == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
        assert [answer.status for answer in client.answers()] == [200, 200]


def test_a_small_body_is_there_before_the_application_first_asks(parser: str) -> None:
    client = talk(parser, echo, request("/", "POST", body=b"hello"))
    assert client.answers()[0].body == b"hello"
    assert client.context.tasks == set()


def test_an_application_that_started_before_the_body_gets_it_in_pieces(parser: str) -> None:
    pieces: list[tuple[bytes, bool]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            pieces.append((message["body"], message["more_body"]))
            if not message["more_body"]:
                break
        await hello(scope, receive, send)

    head, tail = request("/", "POST", "Content-Length: 6"), b"abcdef"
    client = talk(parser, app, head, tail[:2], tail[2:4], tail[4:])
    assert pieces == [(b"ab", True), (b"cd", True), (b"ef", False)]
    assert client.answers()[0].status == 200


def test_a_body_that_nobody_wants_is_read_up_to_a_limit_and_the_connection_kept(parser: str) -> None:
    client = talk(parser, hello, request("/", "POST", "Content-Length: 1000"), b"x" * 1000 + request())
    assert [answer.status for answer in client.answers()] == [200, 200]
    assert not client.is_finished


def test_a_large_body_that_nobody_wants_ends_the_connection(parser: str) -> None:
    client = talk(parser, hello, request("/", "POST", "Content-Length: 1000000"))
    (answer,) = client.answers()
    assert answer.get(b"connection") == b"close"
    assert client.transport.has_sent_eof
    assert not client.transport.closing


def test_a_chunked_body_that_nobody_wants_is_read_up_to_a_limit(parser: str) -> None:
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    client = talk(parser, hello, request("/", "POST", "Transfer-Encoding: chunked"), *[chunk] * 20)
    assert [answer.status for answer in client.answers()] == [200]
    assert client.is_finished


def test_a_body_above_the_limit_is_refused_before_it_is_read(parser: str) -> None:
    client = talk(parser, echo, request("/", "POST", "Content-Length: 11"), limit_request_body=10)
    (answer,) = client.answers()
    assert (answer.status, answer.get(b"connection")) == (413, b"close")
    assert client.is_finished


def test_a_chunked_body_above_the_limit_is_refused_when_it_gets_there(parser: str) -> None:
    data = request("/", "POST", "Transfer-Encoding: chunked")
    (good,) = talk(parser, echo, data + b"a\r\n0123456789\r\n0\r\n\r\n", limit_request_body=10).answers()
    assert good.status == 200
    client = talk(parser, echo, data, b"a\r\n0123456789\r\n", b"1\r\nx\r\n", limit_request_body=10)
    (answer,) = client.answers()
    assert answer.status == 413
    assert client.is_finished


# Expect: 100-continue


def test_100_continue_is_sent_when_the_application_first_asks(parser: str) -> None:
    client = talk(parser, echo, request("/", "POST", "Expect: 100-continue", "Content-Length: 2"))
    assert client.heard == b"HTTP/1.1 100 Continue\r\n\r\n"
    client = talk(parser, echo, request("/", "POST", "Expect: 100-continue", "Content-Length: 2"), b"ok")
    assert [answer.status for answer in client.answers()] == [100, 200]
    assert not client.is_finished


def test_an_answer_without_reading_sends_no_100_and_closes(parser: str) -> None:
    client = talk(parser, hello, request("/", "POST", "Expect: 100-continue", "Content-Length: 2"))
    (answer,) = client.answers()
    assert (answer.status, answer.get(b"connection")) == (200, b"close")
    assert client.is_finished


def test_a_body_that_came_with_the_head_needs_no_100(parser: str) -> None:
    client = talk(parser, echo, request("/", "POST", "Expect: 100-continue", body=b"ok"))
    assert [answer.status for answer in client.answers()] == [200]
    assert not client.is_finished


def test_http_1_0_gets_no_100(parser: str) -> None:
    head = request("/", "POST", "Expect: 100-continue", "Content-Length: 2", version="HTTP/1.0")
    assert talk(parser, echo, head).heard == b""


def test_other_expectations_are_refused(parser: str) -> None:
    assert talk(parser, hello, request("/", "GET", "Expect: a-miracle")).answers()[0].status == 417


# Pipelining and order


def test_pipelined_requests_are_answered_in_order(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    paths = ["/slow", "/a", "/slow", "/b", "/c"]
    client = talk(parser, app, b"".join(request(path) for path in paths))
    assert [answer.body.decode() for answer in client.answers()] == paths


def test_pipelined_requests_with_bodies_are_answered_in_order(parser: str) -> None:
    data = b"".join(request("/", "POST", body=b"%d" % number) for number in range(40))
    client = talk(parser, echo, data)
    assert [answer.body for answer in client.answers()] == [b"%d" % number for number in range(40)]


def test_answers_to_requests_that_came_together_leave_together(parser: str) -> None:
    client = talk(parser, hello, request() * 5 + request("/", "GET", "Connection: close"))
    assert len(client.answers()) == 6
    assert client.transport.writes == 1


def test_what_was_answered_leaves_before_an_application_makes_the_next_one_wait(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.Event().wait()
        await hello(scope, receive, send)

    client = talk(parser, app, request() * 2 + request("/slow") + request())
    assert len(client.answers()) == 2


def test_a_large_answer_keeps_its_place_among_small_ones(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * int(scope["path"][1:])})

    client = talk(parser, app, b"".join(request(f"/{size}") for size in (1, 50_000, 2, 60_000)))
    assert [len(answer.body) for answer in client.answers()] == [1, 50_000, 2, 60_000]


def test_the_second_request_waits_for_the_first_answer(parser: str) -> None:
    running: list[str] = []

    async def story() -> None:
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            running.append(scope["path"])
            await release.wait()
            await hello(scope, receive, send)

        client = Client(app, parser)
        await client.say(request("/1") + request("/2"))
        assert running == ["/1"]
        release.set()
        await client.quiet()
        assert running == ["/1", "/2"]
        assert len(client.answers()) == 2

    run(story())


def test_a_pipelining_client_gets_a_bounded_share_of_each_turn(parser: str) -> None:
    async def story() -> None:
        client = Client(hello, parser)
        await client.call(client.connection.data_received, request() * (3 * INLINE_REQUESTS))
        assert len(client.answers()) == INLINE_REQUESTS
        await client.quiet()
        assert len(client.answers()) == 3 * INLINE_REQUESTS

    run(story())


def test_ten_thousand_pipelined_requests_are_bounded_in_memory_and_answered(parser: str) -> None:
    async def story() -> None:
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await hello(scope, receive, send)

        client = Client(app, parser)
        data = request() * 10_000
        sent = 0
        while sent < len(data) and not client.transport.is_reading_paused:
            await client.call(client.connection.data_received, data[sent : sent + 16384])
            sent += 16384
        assert sent < 100_000
        assert client.transport.is_reading_paused
        release.set()
        while client.context.completed < sent // len(request()):
            await asyncio.sleep(0)
        assert not client.transport.is_reading_paused

    run(story())


def test_a_client_that_does_not_read_its_answers_is_not_answered_further(parser: str) -> None:
    async def story() -> None:
        client = Client(hello, parser)
        client.connection.pause_writing()
        await client.say(request() * 3)
        assert client.answers() == []
        client.connection.resume_writing()
        await client.quiet()
        assert len(client.answers()) == 3

    run(story())


# Backpressure of bodies


def test_an_unreceived_body_stops_the_reading_until_it_is_taken(parser: str) -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            await echo(scope, receive, send)

        client = Client(app, parser)
        await client.say(request("/", "POST", "Content-Length: 200000"), b"x" * 60_000)
        assert not client.transport.is_reading_paused
        await client.say(b"x" * 60_000)
        assert client.transport.is_reading_paused
        go.set()
        await client.quiet()
        assert not client.transport.is_reading_paused
        await client.say(b"x" * 80_000)
        assert len(client.answers()[0].body) == 200_000

    run(story())


def test_send_waits_for_a_slow_reader(parser: str) -> None:
    async def story() -> None:
        sent: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(3):
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                sent.append(number)
                if not number:
                    client.connection.pause_writing()
            await send({"type": "http.response.body"})

        client = Client(app, parser)
        await client.say(request())
        assert sent == [0]
        client.connection.resume_writing()
        await client.quiet()
        assert sent == [0, 1, 2]
        assert client.answers()[0].body == b"xxx"

    run(story())
