"""Known traps, one by one, on raw sockets over both parsers: whatever an application sends, the next byte on the wire is
where the client expects it; whatever a parser library lets through, is refused."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from tests.http_support import PARSERS

from .server_process import PATIENCE, ServerProcess
from .wire import Wire

pytestmark = pytest.mark.process

LOOPS = {"httptools": "uvloop", "h11": "asyncio", "h1c": "uvloop"}
ENGINES = [(http, LOOPS[http]) for http in PARSERS]


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    http, loop = request.param
    engine = ("--bind", "127.0.0.1:0", "--http", http, "--loop", loop)
    with ServerProcess("wrong:app", *engine, quiet=False) as server:
        yield server


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    with server.wire() as wire:
        yield wire


def ask(target: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: a", *fields, "", ""]).encode()


# Responses


@pytest.mark.parametrize("what", ["cr", "lf", "nul", "name", "empty-name", "status", "two-lengths", "length", "split"])
def test_what_would_split_or_spoil_a_response_is_a_500(wire: Wire, what: str) -> None:
    response = wire.send(ask(f"/{what}")).response()
    assert response.status == 500
    assert response.header("set-cookie") is None
    assert wire.send(ask("/good")).response().body == b"good"


@pytest.mark.parametrize("what", ["too-long", "too-short", "nothing", "only-start", "raise"])
def test_what_goes_wrong_before_the_first_byte_is_a_500(wire: Wire, what: str) -> None:
    assert wire.send(ask(f"/{what}")).response().status == 500
    assert wire.send(ask("/good")).response().body == b"good"


@pytest.mark.parametrize("what", ["late-too-long", "late-too-short", "late-raise", "late-return"])
def test_what_goes_wrong_later_ends_before_the_promised_length(wire: Wire, what: str) -> None:
    wire.send(ask("/good") + ask(f"/{what}") + ask("/good"))
    assert wire.response().body == b"good", "what came before is not lost"
    head, _, body = wire.rest().partition(b"\r\n\r\n")
    assert b"content-length: 10" in head
    assert len(body) < 10


def test_an_incomplete_chunked_response_has_no_last_chunk(wire: Wire) -> None:
    wire.send(ask("/good") + ask("/chunked-raise") + ask("/good"))
    assert wire.response().body == b"good"
    assert wire.rest().endswith(b"3\r\none\r\n")


def test_an_incomplete_response_to_http_1_0_ends_with_a_reset(server: ServerProcess, wire: Wire) -> None:
    wire.send(ask("/chunked-raise", version="1.0"))
    with pytest.raises(ConnectionResetError):
        while wire.socket.recv(1000):
            pass


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_follows_a_head_that_ends_its_response(wire: Wire, status: int, method: str) -> None:
    wire.send(ask(f"/status/{status}", method=method) + ask("/good"))
    head = wire.response(method)
    assert head.status == status
    assert head.header("transfer-encoding") is None
    assert wire.response().body == b"good"


def test_what_is_ours_cannot_be_sent_by_the_application(wire: Wire) -> None:
    response = wire.send(ask("/hop-by-hop")).response()
    assert response.body == b"body"
    names = [name for name, _ in response.headers]
    assert not {"transfer-encoding", "upgrade", "keep-alive", "proxy-connection", "connection"} & set(names)
    assert wire.send(ask("/good")).response().body == b"good"


def test_close_in_the_applications_headers_is_obeyed(wire: Wire) -> None:
    assert wire.send(ask("/close")).response().header("connection") == "close"
    assert wire.closed()


def test_http_1_0_gets_no_chunks_no_100_and_a_close(wire: Wire) -> None:
    wire.send(ask("/stream", "Expect: 100-continue", "Content-Length: 2", method="POST", version="1.0") + b"ab")
    response = wire.response()
    assert (response.status, response.header("transfer-encoding"), response.body) == (200, None, b"onetwo")
    assert wire.closed()


def test_a_refusal_waits_for_the_answers_that_are_due_before_it(wire: Wire) -> None:
    wire.send(ask("/slow") + ask("/good") + b"GET / HTTP/2.0\r\n\r\n")
    assert [wire.response().body for _ in range(2)] == [b"slow", b"good"]
    assert wire.response().status == 505
    assert wire.closed()


def test_a_refusal_is_readable_though_its_client_still_sends(wire: Wire) -> None:
    wire.send(ask("/good", "Content-Length: 5, 5", method="POST") + bytes(300_000))
    assert wire.response().status == 400
    assert wire.closed()


def test_one_bad_connection_harms_no_other(server: ServerProcess, wire: Wire) -> None:
    wire.send(ask("/slow"))
    for data in (b"\x00" * 50, ask("/late-raise"), ask("/raise"), ask("/too-long"), b"GET / HTTP/1.1\r\n"):
        with server.wire() as bad:
            bad.send(data)
            bad.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert wire.response().body == b"slow"


# Requests


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nx", 417),
    ],
)
def test_what_a_library_lets_through_is_refused(wire: Wire, data: bytes, status: int) -> None:
    wire.send(data)
    response = wire.response()
    assert (response.status, response.header("connection")) == (status, "close")
    assert wire.closed()


def test_trailers_never_appear_among_the_fields(wire: Wire) -> None:
    wire.send(
        ask("/fields", "Transfer-Encoding: chunked", method="POST")
        + b"1\r\nx\r\n0\r\nX-Evil: 1\r\n\r\n"
        + ask("/fields")
    )
    assert wire.response().body == b"host transfer-encoding"
    assert wire.response().body == b"host"


# Half-closed connections


def test_all_that_was_pipelined_before_the_end_of_file_is_answered(wire: Wire) -> None:
    wire.send(ask("/slow") + ask("/good") * 50 + ask("/good", "Content-Length: 3", method="POST") + b"abc")
    wire.socket.shutdown(socket.SHUT_WR)
    assert [wire.response().body for _ in range(52)] == [b"slow"] + [b"good"] * 51
    assert wire.closed()


@pytest.mark.parametrize("rest", [b"GET /good HT", ask("/fields", "Content-Length: 9", method="POST") + b"abc"])
def test_what_can_never_be_whole_is_not_waited_for(wire: Wire, rest: bytes) -> None:
    """Until this test's patience ends, which is shorter than ``body_timeout``."""
    wire.send(ask("/slow") + ask("/good") + rest)
    wire.socket.shutdown(socket.SHUT_WR)
    assert [wire.response().body for _ in range(2)] == [b"slow", b"good"]
    wire.rest()


def test_a_body_that_turns_out_malformed_after_its_answer_does_not_destroy_it(wire: Wire) -> None:
    wire.send(ask("/good", "Transfer-Encoding: chunked", method="POST"))
    assert select.select([wire.socket], [], [], PATIENCE)[0]
    wire.send(b"nonsense\r\n" + bytes(100_000))
    assert wire.response().body == b"good"
    assert wire.closed()


# http.disconnect


def test_disconnect_comes_when_the_response_is_complete_and_again(wire: Wire) -> None:
    assert wire.send(ask("/twice")).response().body == b"http.request"
    assert wire.send(ask("/told")).response().body == b"http.disconnect http.disconnect"


def test_send_raises_an_oserror_when_the_client_is_gone_though_nobody_asked(server: ServerProcess) -> None:
    with server.wire() as wire:
        wire.send(ask("/busy"))
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.wait_log("the busy one was told: ClientDisconnected True, then http.disconnect")
