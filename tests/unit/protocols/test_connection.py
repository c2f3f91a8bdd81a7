"""The HTTP connection, over both parsers: messages and their ends, order, time, refusals, leaving."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgi_arbiter.protocols.reading import INLINE_REQUESTS
from tests.http_support import PARSERS, Client, Recorder, echo, hello, read_body, request, run

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def talk(parser: str, app: Any, *pieces: bytes, ticks: int = 0, **settings: Any) -> Client:
    """Say ``pieces`` one after the other, and give the client with what it heard."""

    async def story() -> Client:
        client = Client(app, parser, **settings)
        await client.say(*pieces)
        await client.pass_time(ticks)
        client.freeze()
        return client

    return run(story())  # type: ignore[no-any-return]


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


# The client leaves


def test_the_application_is_told_that_its_client_is_gone_each_time_it_asks(parser: str) -> None:
    heard: list[str] = []

    async def story() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            heard.append((await receive())["type"])
            heard.append((await receive())["type"])
            heard.append((await receive())["type"])
            with pytest.raises(OSError, match="disconnected"):
                await send({"type": "http.response.start", "status": 200, "headers": []})
            heard.append("raised")

        client = Client(app, parser)
        await client.say(request())
        assert heard == ["http.request"]
        await client.leave()
        assert heard == ["http.request", "http.disconnect", "http.disconnect", "raised"]
        assert client.context.in_flight == 0
        assert client.context.connections == set()

    run(story())


def test_an_application_that_was_busy_when_the_client_left_is_told_afterwards(parser: str) -> None:
    async def story() -> None:
        heard: list[str] = []
        go = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            heard.append((await receive())["type"])

        client = Client(app, parser)
        await client.say(request("/", "POST", body=b"x"))
        await client.leave()
        go.set()
        await client.quiet()
        assert heard == ["http.disconnect"]

    run(story())


def test_after_the_response_receive_says_disconnect(parser: str) -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        await hello(scope, receive, send)
        heard.extend([(await receive())["type"], (await receive())["type"]])

    talk(parser, app, request())
    assert heard == ["http.request", "http.disconnect", "http.disconnect"]


def test_a_receive_that_waits_is_woken_by_the_end_of_the_response(parser: str) -> None:
    async def story() -> None:
        heard: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

            async def listen() -> None:
                heard.append((await receive())["type"])

            listener = asyncio.create_task(listen())
            await asyncio.sleep(0)
            assert heard == []
            await hello(scope, receive, send)
            await listener

        client = Client(app, parser)
        await client.say(request())
        assert heard == ["http.disconnect"]
        assert not client.transport.closing

    run(story())


def test_two_receives_at_once_are_both_told(parser: str) -> None:
    async def story() -> None:
        heard: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            first, second = asyncio.create_task(receive()), asyncio.create_task(receive())
            await asyncio.sleep(0)
            first.cancel()
            heard.append((await second)["type"])

        client = Client(app, parser)
        await client.say(request())
        await client.leave()
        assert heard == ["http.disconnect"]

    run(story())


def test_a_send_that_waits_is_woken_when_the_client_leaves(parser: str) -> None:
    async def story() -> None:
        raised: list[type[BaseException]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            client.connection.pause_writing()
            try:
                await send({"type": "http.response.body", "body": b"x"})
            except OSError as error:
                raised.append(type(error))

        client = Client(app, parser)
        await client.say(request())
        assert raised == []
        await client.leave()
        assert len(raised) == 1

    run(story())


def test_a_client_that_half_closes_still_gets_its_answers(parser: str) -> None:
    async def story() -> None:
        heard: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            heard.append((await receive())["type"])
            await hello(scope, receive, send)

        client = Client(app, parser)
        await client.say(request() + request())
        await client.half_close()
        assert heard == ["http.disconnect"] * 2
        assert [answer.status for answer in client.answers()] == [200, 200]
        assert client.transport.lost

    run(story())


@pytest.mark.parametrize("way", ["returns", "raises"])
def test_an_application_may_leave_without_an_answer_once_its_client_has_closed(
    parser: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    class ClientDisconnect(Exception):
        """As Starlette has it."""

    async def story() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            if way == "raises":
                raise ClientDisconnect

        client = Client(app, parser)
        await client.say(request())
        await client.half_close()
        assert client.answers() == []
        await client.quiet()
        assert client.transport.lost

    run(story())
    assert not caplog.records


def test_a_client_that_ends_in_the_middle_of_its_body_is_gone(parser: str) -> None:
    async def story() -> None:
        heard: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            heard.append((await receive())["type"])
            heard.append((await receive())["type"])

        client = Client(app, parser)
        await client.say(request("/", "POST", "Content-Length: 5"), b"ab")
        await client.half_close()
        assert heard == ["http.request", "http.disconnect"]

    run(story())


def test_an_application_is_cancelled_after_the_grace_period_if_there_is_one(parser: str) -> None:
    async def story() -> None:
        ended: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        client = Client(app, parser, disconnect_grace_period=0.001)
        await client.say(request())
        await client.leave()
        async with asyncio.timeout(5):
            while not ended:
                await asyncio.sleep(0.001)

    run(story())


# Errors of the application


def test_an_error_before_the_response_is_a_500_and_one_line_with_the_traceback(
    parser: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("the application's own")

    client = talk(parser, app, request(), request())
    assert [(answer.status, answer.body) for answer in client.answers()] == [(500, b"Internal Server Error")] * 2
    first, _second = caplog.records
    assert (first.name, first.levelno) == ("asgi_arbiter.worker", logging.ERROR)
    assert first.exc_info is not None
    traceback = first.exc_info[2]
    assert traceback is not None
    assert traceback.tb_frame.f_code.co_name == "app", "our own frames are left out"


def test_an_error_after_the_first_suspension_is_a_500_too(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        raise LookupError("the application's own")

    client = talk(parser, app, request())
    assert client.answers()[0].status == 500
    assert len(caplog.records) == 1
    assert client.context.tasks == set()


def test_an_error_after_the_start_but_before_the_body_is_still_a_500(
    parser: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        raise LookupError

    assert talk(parser, app, request()).answers()[0].status == 500


def test_an_error_within_the_body_cuts_the_connection(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise LookupError

    client = talk(parser, app, request())
    assert client.transport.aborted
    assert not client.heard.endswith(b"0\r\n\r\n")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([], 500),
        ([{"type": "http.response.start", "status": 200, "headers": []}], 500),
    ],
)
def test_an_application_that_returns_without_a_response_gives_a_500_and_one_line(
    parser: str, messages: list[Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    assert talk(parser, app, request()).answers()[0].status == status
    assert len(caplog.records) == 1


def test_an_application_that_returns_within_its_body_cuts_the_connection(
    parser: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})

    client = talk(parser, app, request())
    assert client.transport.aborted
    assert len(caplog.records) == 1


def test_an_error_after_the_response_is_logged_and_harms_nobody(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        raise LookupError

    client = talk(parser, app, request(), request())
    assert [answer.status for answer in client.answers()] == [200, 200]
    assert len(caplog.records) == 2


def test_a_background_job_after_the_response_does_not_hold_up_the_next_request(parser: str) -> None:
    async def story() -> None:
        done = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await hello(scope, receive, send)
            await done.wait()

        client = Client(app, parser)
        await client.say(request(), request())
        assert len(client.answers()) == 2
        assert client.context.in_flight == 2
        done.set()
        await client.quiet()
        assert (client.context.in_flight, client.context.tasks) == (0, set())

    run(story())


def test_an_application_that_is_no_coroutine_function_is_served(parser: str) -> None:
    class Awaitable:
        def __init__(self, scope: Any, receive: Any, send: Any) -> None:
            self.call = hello(scope, receive, send)

        def __await__(self) -> Any:
            return self.call.__await__()

    assert talk(parser, Awaitable, request()).answers()[0].status == 200  # type: ignore[arg-type]


def test_an_application_that_cannot_be_called_so_is_a_500(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    def app(scope: Any) -> None: ...

    assert talk(parser, app, request()).answers()[0].status == 500


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
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    client = talk(parser, app, request(), ticks=4, request_timeout=3.0)
    assert client.answers()[0].status == 504


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
        assert "GET /" in client.connection.describe()
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


# The access log


def test_the_access_log_has_one_record_for_each_response(parser: str) -> None:
    records: list[Any] = []
    client = talk(parser, echo, request("/a?b=c", "POST", body=b"four"), b"nonsense\r\n\r\n", access_log=records.append)
    assert len(client.answers()) == 2
    first, second = records
    assert (first.method, first.target, first.status, first.bytes_sent) == ("POST", b"/a?b=c", 200, 4)
    assert first.client == ("127.0.0.1", 50000)
    assert first.duration >= 0
    assert second.status == 400


def test_a_refused_request_with_a_body_leaves_nothing_behind_for_the_next_client(parser: str) -> None:
    """The parser is shared by the connections of a worker: the length of one must never swallow the head of another."""

    async def story() -> None:
        bad = Client(hello, parser)
        await bad.say(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        assert bad.answers()[0].status == 400
        other = Client(hello, parser, context=bad.context)
        await other.say(request("/", "GET", "X: y"), b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert [answer.status for answer in other.answers()] == [200, 400]
        third = Client(hello, parser, context=bad.context)
        await third.say(request("/", "GET", "X: y"))
        assert third.answers()[0].status == 200

    run(story())
