"""Files as responses, over a transport without a socket: framing, and what is refused. Sendfile itself needs a real
one and is tested in ``tests/integration/test_extensions.py``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.protocols.sending_files import PIECE, SMALL
from tests.http_support import Client, body, request, run, start


def tell(*messages: dict[str, Any], data: bytes = request(), leave: bool = False) -> tuple[Client, list[BaseException]]:
    """An application that sends these messages, with time for the threads that read files."""
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in messages:
                await send(message)
                if leave:
                    clients[0].connection.pause_writing()
        except Exception as error:
            raised.append(error)
            raise

    clients: list[Client] = []

    async def story() -> Client:
        client = Client(app)
        clients.append(client)
        await client.say(data)
        if leave:
            await client.leave()
        async with asyncio.timeout(10):
            while client.context.in_flight:
                await asyncio.sleep(0.001)
        client.freeze()
        return client

    return run(story()), raised


def path_message(path: Any) -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": str(path)}


def part(file: Any, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": file, **more}


@pytest.fixture(params=[0, 10, SMALL, SMALL + 1, 3 * PIECE + 5])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(request.param))
    return path


def test_a_path_has_its_length_and_keeps_the_connection(file: Path) -> None:
    client, raised = tell(start(), path_message(file), data=request() + request())
    assert raised == []
    for answer in client.answers():
        assert answer.body == file.read_bytes()
        assert answer.get(b"content-length") == b"%d" % file.stat().st_size
    assert len(client.answers()) == 2


def test_a_declared_length_is_kept_and_a_wrong_one_is_a_500(file: Path) -> None:
    size = file.stat().st_size
    right, raised = tell(start(200, (b"content-length", b"%d" % size)), path_message(file))
    assert (right.answers()[0].body, raised) == (file.read_bytes(), [])
    for wrong in (size + 1, size - 1):
        if wrong >= 0:
            client, raised = tell(start(200, (b"content-length", b"%d" % wrong)), path_message(file))
            assert client.answers()[0].status == 500
            assert len(raised) == 1


@pytest.mark.parametrize(("status", "method"), [(200, "HEAD"), (204, "GET"), (304, "GET")])
def test_responses_without_a_body_have_none(file: Path, status: int, method: str) -> None:
    client, raised = tell(start(status), path_message(file), data=request("/", method) + request("/", method))
    assert raised == []
    answers = client.answers(method, method)
    assert [answer.status for answer in answers] == [status, status]
    if status == 204:
        assert answers[0].get(b"content-length") is None


def test_http_1_0_gets_the_bytes_alone(file: Path) -> None:
    with file.open("rb") as opened:
        client, raised = tell(start(), part(opened, more_body=True), body(b"!"), data=request(version="HTTP/1.0"))
        assert raised == []
        assert client.answers()[0].body == file.read_bytes() + b"!"


def test_parts_are_chunks_between_other_pieces(file: Path) -> None:
    with file.open("rb") as opened:
        messages = (
            start(),
            body(b"<", True),
            part(opened, more_body=True),
            part(opened, offset=0, count=3),
        )
        client, raised = tell(*messages)
        assert raised == []
        (answer,) = client.answers()
        assert answer.chunked
        assert answer.body == b"<" + file.read_bytes() + file.read_bytes()[:3]
        assert opened.read() == b"", "the file is left where its last byte was read"


def test_parts_count_against_the_declared_length(file: Path) -> None:
    size = file.stat().st_size
    head = start(200, (b"content-length", b"%d" % (size + 1)))
    with file.open("rb") as opened:
        client, raised = tell(head, body(b"<", True), part(opened))
        assert (client.answers()[0].body, raised) == (b"<" + file.read_bytes(), [])
    with file.open("rb") as opened:
        client, raised = tell(head, body(b"<", True), part(opened, more_body=True), body(b">"))
        assert len(raised) == 1
        assert client.transport.aborted


def test_a_pipe_is_chunked_and_stops_at_its_count() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"hello world")
    try:
        client, raised = tell(
            start(),
            part(ours, count=5, more_body=True),
            part(ours, count=1),
        )
        assert (client.answers()[0].body, raised) == (b"hello ", [])
        os.close(theirs)
        theirs = -1
        client, raised = tell(start(), part(ours))
        assert (client.answers()[0].body, raised) == (b"world", [])
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def test_a_device_is_read() -> None:
    with Path("/dev/zero").open("rb") as zero:
        client, raised = tell(start(), part(zero, count=1000))
        assert (client.answers()[0].body, raised) == (bytes(1000), [])


@pytest.mark.parametrize(
    "message",
    [
        path_message("relative"),
        path_message("/nowhere/at/all"),
        path_message("/"),
        {"type": "http.response.pathsend", "path": 5},
        part(0, offset=-1),
        part(0, count="5"),
        part(10**6),
    ],
)
def test_what_cannot_be_sent_is_a_500(message: dict[str, Any]) -> None:
    client, raised = tell(start(), message)
    assert [answer.status for answer in client.answers()] == [500]
    assert len(raised) == 1


def test_a_path_is_the_whole_body(file: Path) -> None:
    client, raised = tell(start(), body(b"first", True), path_message(file))
    assert len(raised) == 1
    assert client.transport.aborted


def test_a_client_that_has_left_is_an_oserror(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SMALL + 1))
    _, raised = tell(start(), path_message(path), leave=True)
    assert [isinstance(error, OSError) for error in raised] == [True]


def test_nothing_else_can_be_sent_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4 * PIECE))
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        sending = asyncio.ensure_future(send(path_message(path)))
        await asyncio.sleep(0)
        try:
            await send(body(b"in between"))
        except RuntimeError as error:
            raised.append(error)
        await sending

    async def story() -> bytes:
        client = Client(app)
        await client.say(request())
        async with asyncio.timeout(10):
            while client.context.in_flight:
                await asyncio.sleep(0.001)
        client.freeze()
        return client.answers()[0].body

    assert run(story()) == path.read_bytes()
    assert len(raised) == 1
