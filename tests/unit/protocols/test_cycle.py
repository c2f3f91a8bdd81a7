"""The conversation: messages out of turn, the client's leaving, errors of the application; over both parsers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.http_support import (
    PARSERS,
    START,
    Client,
    body,
    hello,
    request,
    respond,
    run,
    start,
    talk,
)


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Out of turn


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([body(b"x")], "WAITING"),
        ([START, START], "STARTED"),
        ([START, body(b"x", True), START], "STREAMING"),
        ([START, body(b"x"), body(b"y")], "COMPLETE"),
        ([START, body(b"x"), START], "COMPLETE"),
        ([{"type": "http.response.push"}], "http.response.push"),
        ([{"type": "websocket.send"}], "websocket.send"),
        ([{"type": "http.response.trailers"}], "WAITING"),
        ([start(100)], "status"),
        ([start(101)], "status"),
        ([start(1000)], "status"),
        ([{"type": "http.response.start", "status": "200"}], "status"),
        ([START, body("text")], "str"),
        ([START, body(None)], "NoneType"),
    ],
)
def test_a_message_out_of_turn_or_shape_raises_and_names_the_fault(
    messages: list[Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, raised = respond(*messages)
    assert len(raised) == 1
    assert isinstance(raised[0], RuntimeError)
    assert words in str(raised[0])


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


# Heads that are remembered


def test_a_head_that_was_sent_before_is_still_judged_with_its_body() -> None:
    answered: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-length", b"5")))
        await send(body(b"hello" if not answered else b"too long"))
        answered.append(1)

    answers = talk("h11", app, request(), request()).answers()
    assert [answer.status for answer in answers] == [200, 500]


def test_headers_are_encoded_as_they_are_when_they_are_sent() -> None:
    headers = [[b"x-number", b"1"]]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        headers[0][1] = b"2"
        await send(body(b""))

    answers = talk("h11", app, request(), request()).answers()
    assert [answer.get(b"x-number") for answer in answers] == [b"1", b"2"]


def test_headers_may_come_from_a_generator_each_time() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = ((name, b"1") for name in (b"x-a", b"x-b"))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send(body(b""))

    answers = talk("h11", app, request(), request()).answers()
    assert [(answer.get(b"x-a"), answer.get(b"x-b")) for answer in answers] == [(b"1", b"1")] * 2


def test_a_remembered_head_that_the_framing_changed_comes_out_whole_the_next_time() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(204, (b"content-length", b"0"), (b"x-a", b"1")))
        await send(body(b""))

    client = talk("h11", app, request(), request())
    one, two = client.answers()
    assert one.headers == two.headers
    assert one.get(b"x-a") == b"1"


def test_a_bad_value_is_refused_every_time() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"x-a", b"1\r\nx-b: 2")))
        await send(body(b""))

    answers = talk("h11", app, request(), request()).answers()
    assert [answer.status for answer in answers] == [500, 500]


def test_receive_asked_by_several_gives_each_piece_to_one_of_them(parser: str) -> None:
    """And the end of the body once: then there is only the disconnect to wait for."""
    got: list[Any] = []

    async def story() -> None:
        gate = asyncio.Event()

        async def answer(send: Any) -> None:
            await gate.wait()
            await hello(None, None, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def one() -> None:
                message = await receive()
                got.append((message["type"], message.get("body")))

            await asyncio.gather(one(), one(), one(), answer(send))

        client = Client(app, parser)
        await client.say(request("/", "POST", "Content-Length: 6"), b"abc", b"def")
        assert got == [("http.request", b"abc"), ("http.request", b"def")]
        gate.set()
        await client.quiet()
        assert got[2:] == [("http.disconnect", None)]

    run(story())
