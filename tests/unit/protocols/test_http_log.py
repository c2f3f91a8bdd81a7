"""The access records of HTTP requests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http_support import (
    PARSERS,
    Client,
    echo,
    hello,
    request,
    run,
    talk,
)


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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
