"""How a connection ends, and how long a client may make us wait."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import pytest

from asgi_arbiter.protocols.errors import Refusal
from tests.http_support import PARSERS, Client, body, echo, hello, request, run, start


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Bodies that come slowly

HEAD = request("/", "POST", "Content-Length: 1000000")
CODED = request("/", "POST", "Transfer-Encoding: chunked")


def upload(parser: str, app: Any, head: bytes, piece: bytes, seconds: int, **settings: Any) -> list[int]:
    """The statuses that a client hears that sends a piece of body each second."""

    async def story() -> list[int]:
        client = Client(app, parser, **{"body_timeout": 10, "body_min_rate": 100, **settings})
        await client.say(head)
        for _ in range(seconds):
            await client.say(piece)
            await client.pass_time(1)
        client.freeze()
        return [answer.status for answer in client.answers()]

    return run(story())  # type: ignore[no-any-return]


@pytest.mark.parametrize(("head", "drop", "stream"), [
    (HEAD, b"x", b"x" * 200),
    (CODED, b"1\r\nx\r\n", b"c8\r\n" + b"x" * 200 + b"\r\n"),
])  # fmt: skip
def test_a_body_that_drips_is_a_408_and_one_that_flows_is_not(
    parser: str, head: bytes, drop: bytes, stream: bytes
) -> None:
    assert upload(parser, echo, head, drop, 10) == []
    assert upload(parser, echo, head, drop, 12) == [408]
    assert upload(parser, echo, head, stream, 100) == []


def test_there_is_no_least_rate_without_either_setting(parser: str) -> None:
    assert upload(parser, echo, HEAD, b"x", 100, body_min_rate=0) == []
    assert upload(parser, echo, HEAD, b"x", 100, body_timeout=0) == []


def test_each_body_has_a_time_of_its_own(parser: str) -> None:
    """Seven slow seconds, seven times: no body comes into a whole window."""

    async def story() -> list[int]:
        client = Client(echo, parser, body_timeout=10, body_min_rate=100)
        for _ in range(7):
            await client.say(request("/", "POST", "Content-Length: 7"))
            for _ in range(7):
                await client.pass_time(1)
                await client.say(b"x")
        return [answer.status for answer in client.answers()]

    assert run(story()) == [200] * 7


def test_a_client_that_nobody_listens_to_owes_nothing(parser: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await client_may_answer.wait()
        await hello(scope, receive, send)

    async def story() -> list[int]:
        nonlocal client_may_answer
        client_may_answer = asyncio.Event()
        client = Client(app, parser, body_timeout=10, body_min_rate=100)
        await client.say(HEAD + b"x")
        await client.pass_time(50)
        client_may_answer.set()
        await client.quiet()
        return [answer.status for answer in client.answers()]

    client_may_answer: Any = None
    assert run(story()) == [200]


def test_a_body_that_nobody_wants_any_more_has_three_seconds_however_it_drips(parser: str) -> None:
    async def story() -> Client:
        client = Client(hello, parser)
        await client.say(request("/", "POST", "Content-Length: 1000"))
        for _ in range(5):
            await client.say(b"x")
            await client.pass_time(1)
        assert client.transport.has_sent_eof
        await client.pass_time(4)
        return client

    client = run(story())
    assert [answer.status for answer in client.answers()] == [200]
    assert client.transport.lost


def test_over_tls_the_end_is_told_before_the_connection_is_cut(parser: str) -> None:
    """There is no half-close; ``close`` says ``close_notify`` where ``abort`` would say nothing."""

    async def story() -> None:
        client = Client(hello, parser, extra={"sslcontext": object()})
        transport = client.transport
        transport.lose = lambda error=None: None  # the client does not answer to the end
        await client.say(b"BAD\r\n\r\n")
        assert [answer.status for answer in client.answers()] == [400]
        await client.pass_time(2)
        assert not transport.closing
        await client.pass_time(2)
        assert transport.closing
        assert not transport.aborted
        await client.say(b"more")
        await client.pass_time(4)
        assert transport.aborted

    run(story())


# Responses that are taken slowly


class Socket:
    """One whose client has acknowledged so many bytes."""

    family = socket.AF_INET
    acknowledged = 0
    resets = False

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        return bytes(size - 8) + self.acknowledged.to_bytes(8, sys.byteorder)

    def setsockopt(self, level: int, name: int, value: bytes) -> None:
        assert name == socket.SO_LINGER
        self.resets = True


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
@pytest.mark.parametrize(("rate", "least", "cut"), [(1, 100, True), (99, 100, True), (150, 100, False), (1, 0, False)])
def test_who_takes_too_little_is_cut(rate: int, least: int, cut: bool) -> None:
    async def story() -> bool:
        sock = Socket()
        client = Client(hello, write_timeout=10, write_min_rate=least, extra={"socket": sock})
        client.connection.pause_writing()
        for _ in range(30):
            sock.acknowledged += rate
            await client.pass_time(1)
        return client.transport.aborted

    assert run(story()) is cut


# Refusals


@pytest.mark.parametrize(("method", "size"), [("GET", 20), ("HEAD", 0)])
def test_a_refusal_is_logged_with_its_request_and_its_bytes(parser: str, method: str, size: int) -> None:
    async def story() -> None:
        records: list[Any] = []
        client = Client(hello, parser, access_log=records.append, limit_concurrency=1)
        client.context.in_flight = 1
        await client.say(request("/a?b", method))
        (answer,) = client.answers(method)
        assert (answer.status, len(answer.body)) == (503, size)
        (record,) = records
        assert (record.method, record.target, record.status) == (method, b"/a?b", 503)
        assert record.bytes_sent == size

    run(story())


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET /" + b"a" * 20_000, b"\0"])
def test_what_is_no_request_is_logged_without_one(parser: str, data: bytes) -> None:
    async def story() -> None:
        records: list[Any] = []
        client = Client(hello, parser, access_log=records.append)
        await client.say(data)
        (answer,), (record,) = client.answers(), records
        assert (record.method, record.target, record.bytes_sent) == ("-", b"-", len(answer.body))

    run(story())


def test_a_slow_head_is_logged_with_its_request(parser: str) -> None:
    async def story() -> None:
        records: list[Any] = []
        client = Client(hello, parser, access_log=records.append)
        await client.say(b"GET /slow HTTP/1.1\r\nHost:")
        await client.pass_time(12)
        assert [(record.status, record.target) for record in records] == [(408, b"/slow")]

    run(story())


async def begins_and_waits(scope: Any, receive: Any, send: Any) -> None:
    """Half an answer, then the rest of the request."""
    await send(start())
    await send(body(b"begun", True))
    await receive()
    await receive()


def test_a_response_that_a_malformed_body_cuts_off_is_logged(parser: str) -> None:
    async def story() -> None:
        records: list[Any] = []
        client = Client(begins_and_waits, parser, access_log=records.append)
        await client.say(CODED, b"1\r\nx\r\n", b"nonsense\r\n")
        assert client.transport.aborted
        assert [(record.status, record.bytes_sent) for record in records] == [(200, 5)]

    run(story())


# Clients that send an end of file


def after_end_of_file(parser: str, *pieces: bytes) -> Client:
    """What is left of a connection whose client half-closed while its first request waited."""
    gate: Any = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await gate.wait()
        await (echo if scope["method"] == "POST" else hello)(scope, receive, send)

    async def story() -> Client:
        nonlocal gate
        gate = asyncio.Event()
        client = Client(app, parser)
        await client.say(request("/wait"), *pieces)
        await client.half_close()
        gate.set()
        for _ in range(10):
            await client.quiet()
        return client

    client = run(story())
    assert client.transport.lost, "nothing more can come"
    return client  # type: ignore[no-any-return]


def test_every_request_that_came_whole_before_the_end_is_answered(parser: str) -> None:
    post = request("/", "POST", body=b"abc")
    client = after_end_of_file(parser, request() * 50 + post)
    assert [answer.body for answer in client.answers()] == [b"hello"] * 51 + [b"abc"]


@pytest.mark.parametrize("rest", [b"GET / HT", request("/", "POST", "Content-Length: 9") + b"abc", CODED + b"1\r\n"])
def test_what_can_never_be_whole_is_not_waited_for(parser: str, rest: bytes) -> None:
    client = after_end_of_file(parser, request() + rest)
    assert [answer.body for answer in client.answers()] == [b"hello"] * 2


# Bodies that turn out to be wrong


def test_a_malformed_body_after_its_answer_ends_the_connection_gently(parser: str) -> None:
    async def story() -> None:
        records: list[Any] = []
        client = Client(hello, parser, access_log=records.append)
        await client.say(CODED, b"nonsense\r\n")
        assert [answer.status for answer in client.answers()] == [200]
        assert client.transport.has_sent_eof
        assert not client.transport.aborted
        assert len(records) == 1

    run(story())


def test_a_malformed_body_resets_a_response_that_would_end_with_the_connection() -> None:
    """HTTP/1.0: an orderly end would make half an answer look whole."""

    async def story() -> None:
        sock = Socket()
        client = Client(begins_and_waits, extra={"socket": sock})
        data = request("/", "POST", "Content-Length: 5", version="HTTP/1.0")
        await client.say(data)
        client.connection._refuse(Refusal(400))
        assert sock.resets
        assert client.transport.aborted

    run(story())
