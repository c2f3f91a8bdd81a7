"""HTTP/1.1 through the real command, on both parsers and both loops, byte by byte where it matters."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.http_support import PARSERS

from .server_process import ServerProcess, eventually
from .wire import Wire

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
ENGINES = [(http, loop) for http in PARSERS for loop in ("uvloop", "asyncio") if http != "h1c" or loop == "uvloop"]
ANY_PORT = ("--bind", "127.0.0.1:0")


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    http, loop = request.param
    with ServerProcess("plain:app", "-w", "2", *ANY_PORT, "--http", http, "--loop", loop, quiet=False) as server:
        yield server


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    with server.wire() as wire:
        yield wire


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# Connections.


def test_a_connection_serves_many_requests(wire: Wire) -> None:
    workers = {wire.get().body for _ in range(50)}
    assert len(workers) == 1


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    bodies = [b"%d" % number * (number + 1) for number in range(30)]
    wire.send(b"".join(request("POST", "/echo", f"Content-Length: {len(body)}", body=body) for body in bodies))
    assert [wire.response().body for _ in bodies] == bodies


def test_a_slow_request_holds_back_the_ones_pipelined_behind_it(wire: Wire, tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    wire.send(request("GET", f"/slow?gate={gate}&begun={begun}") + request("GET", "/clock"))
    eventually(begun.exists, "the first request has begun")
    before = time.monotonic()
    gate.touch()
    wire.response()
    assert float(wire.response().body) >= before


def test_close_is_honoured_and_announced(wire: Wire) -> None:
    response = wire.get("/", "Connection: close")
    assert (response.status, response.header("connection")) == (200, "close")
    assert wire.closed()


def test_http_1_0_is_answered_and_closed(wire: Wire) -> None:
    response = wire.send(b"GET /clock HTTP/1.0\r\n\r\n").response()
    assert response.status == 200
    assert wire.closed()


def test_a_stream_to_an_http_1_0_client_is_not_chunked_and_ends_with_the_connection(wire: Wire) -> None:
    response = wire.send(b"GET /stream HTTP/1.0\r\n\r\n").response()
    assert response.header("transfer-encoding") is None
    assert response.body == b"firstsecond"


def test_half_a_connection_closed_by_the_client_still_gets_its_answer(wire: Wire) -> None:
    wire.send(request("POST", "/echo", "Content-Length: 4", body=b"late"))
    wire.socket.shutdown(1)
    assert wire.response().body == b"late"


# Bodies.


def test_a_chunked_body_arrives_whole_however_it_is_cut(wire: Wire) -> None:
    body = bytes(range(256)) * 3
    chunks = [body[at : at + 97] for at in range(0, len(body), 97)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    data = request("POST", "/echo", "Transfer-Encoding: chunked") + coded
    assert wire.send(data).response().body == body
    for at in range(0, len(data), 7):
        wire.send(data[at : at + 7])
    assert wire.response().body == body


def test_a_large_body_goes_in_and_comes_out(wire: Wire) -> None:
    body = os.urandom(3 << 20)
    assert wire.send(request("POST", "/echo", f"Content-Length: {len(body)}", body=body)).response().body == body


def test_a_stream_is_chunked_and_its_first_part_comes_before_its_second_is_made(wire: Wire, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wire.send(request("GET", f"/stream?gate={gate}"))
    assert wire.head().header("transfer-encoding") == "chunked"
    assert wire.chunk() == b"first"
    gate.touch()
    assert (wire.chunk(), wire.chunk()) == (b"second", b"")
    assert wire.get().status == 200


def test_an_answer_is_complete_while_the_application_works_on(wire: Wire, tmp_path: Path) -> None:
    gate, done = tmp_path / "gate", tmp_path / "done"
    wire.send(request("GET", f"/after?gate={gate}&done={done}"))
    assert wire.response().body == b"done"
    assert not done.exists()
    gate.touch()
    eventually(done.exists, "the application goes on after its answer")


@pytest.mark.parametrize("path", ["/", "/stream", "/nothing"])
def test_head_has_no_body_and_the_connection_goes_on(wire: Wire, path: str) -> None:
    head = wire.send(request("HEAD", path)).response("HEAD")
    full = wire.get(path)
    assert head.status == full.status
    if full.header("content-length") is not None:
        assert head.header("content-length") in (None, full.header("content-length"))
    assert wire.get("/clock").status == 200


def test_continue_is_said_when_the_application_wants_the_body(wire: Wire) -> None:
    wire.send(request("POST", "/echo", "Content-Length: 4", "Expect: 100-continue"))
    assert wire.head().status == 100
    assert wire.send(b"body").response().body == b"body"


def test_continue_is_not_said_when_the_application_does_not_want_the_body(wire: Wire) -> None:
    wire.send(request("POST", "/unread", "Content-Length: 4", "Expect: 100-continue"))
    assert wire.response().status == 403


def test_an_answer_before_the_end_of_the_body_does_not_disturb_the_next_request(server: ServerProcess) -> None:
    with server.wire() as wire:
        wire.send(request("POST", "/unread", "Content-Length: 100000"))
        response = wire.response()
        assert response.status == 403
        if response.header("connection") != "close":
            wire.send(b"x" * 100000)
            assert wire.get("/clock").status == 200


# Clients that leave.


def test_an_application_is_told_that_its_client_has_left(server: ServerProcess, wire: Wire, tmp_path: Path) -> None:
    begun, told = tmp_path / "begun", tmp_path / "told"
    wire.send(request("GET", f"/left?begun={begun}&told={told}"))
    eventually(begun.exists, "the application waits")
    wire.close()
    eventually(lambda: told.exists() and told.read_text() == "http.disconnect", "the application is told")
    # It leaves without an answer then, as it should: no error, and in the access log the status that nginx gives.
    line = server.wait_log(rf'"GET /left\?begun={begun}\S* HTTP/1\.1" (\d+)')
    assert line[1] == "499"
    assert "without sending a response: GET /left" not in server.log


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(server: ServerProcess) -> None:
    with server.wire() as wire:
        wire.send(request("POST", "/echo", "Content-Length: 100", body=b"not all"))
    assert server.get().status_code == 200


def test_garbage_is_answered_with_400_and_closed(server: ServerProcess, wire: Wire) -> None:
    response = wire.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n").response()
    assert (response.status, response.header("connection")) == (400, "close")
    assert wire.closed()
    assert server.get().status_code == 200


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", {400}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nName : value\r\n\r\n", {400}),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414, 431}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nLarge: " + b"x" * 20_000 + b"\r\n\r\n", {431}),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"N: v\r\n" * 200 + b"\r\n", {431}),
        (b"GET / HTTP/9.1\r\nHost: a\r\n\r\n", {400, 505}),
    ],
    ids=["no-host", "two-hosts", "two-framings", "two-lengths", "space", "long-line", "long-header", "many", "version"],
)
def test_what_may_not_be_is_refused_and_the_connection_closed(wire: Wire, head: bytes, statuses: set[int]) -> None:
    response = wire.send(head).response()
    assert response.status in statuses
    assert wire.closed()


# Headers and scope.


def test_every_answer_has_a_date_and_a_server(wire: Wire) -> None:
    response = wire.get()
    date = response.header("date")
    assert date and re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 60
    assert response.header("server") == "asgi-arbiter"


def test_an_applications_own_date_and_server_are_not_doubled(wire: Wire) -> None:
    response = wire.get("/doubled")
    assert (response.header("date"), response.header("server")) == ("then", "own")


def test_the_scope_is_what_asgi_says(wire: Wire) -> None:
    scope = json.loads(wire.get("/scope?a=%20b&c", "X-Odd: one", "X-Odd: two").body)
    assert scope["type"] == "http"
    assert scope["asgi"]["version"] == "3.0"
    assert scope["http_version"] == "1.1"
    assert (scope["method"], scope["path"], scope["scheme"], scope["root_path"]) == ("GET", "/scope", "http", "")
    assert scope["query_string"] in ("b'a=%20b&c'", "a=%20b&c")
    assert [value for name, value in scope["headers"] if name == "x-odd"] == ["one", "two"]


def test_a_path_is_decoded_and_kept_raw(wire: Wire) -> None:
    wire.send(request("GET", "/sc%6fpe"))
    scope = json.loads(wire.response().body)
    assert scope["path"] == "/scope"
    assert "/sc%6fpe" in scope["raw_path"]


def test_forwarding_headers_of_a_trusted_peer_are_believed(wire: Wire) -> None:
    forwarded = ("X-Forwarded-For: 203.0.113.9, 127.0.0.1", "X-Forwarded-Proto: https")
    scope = json.loads(wire.get("/scope", *forwarded).body)
    assert scope["client"][0] == "203.0.113.9"
    assert scope["scheme"] == "https"


def test_an_application_that_raises_is_a_500_and_the_server_goes_on(server: ServerProcess, wire: Wire) -> None:
    assert wire.get("/raising").status == 500
    assert server.get().status_code == 200


# Settings: one server with several of them for each parser.


@pytest.fixture(scope="module", params=PARSERS)
def tuned(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    options = [
        *("--http", request.param),
        *("--header", "X-Extra: yes", "--header", "Server: mine"),
        *("--no-date-header", "--no-server-header"),
        *("--root-path", "/below"),
        *("--forwarded-allow-ips", "192.0.2.1"),
        *("--limit-request-body", "1000"),
    ]
    with ServerProcess("plain:app", *ANY_PORT, *options) as server:
        yield server


def test_headers_of_the_settings_are_in_every_answer(tuned: ServerProcess) -> None:
    with tuned.wire() as wire:
        response = wire.get()
        assert response.header("x-extra") == "yes"
        assert response.header("server") == "mine"
        assert response.header("date") is None


def test_root_path_is_in_the_scope_and_in_front_of_the_path(tuned: ServerProcess) -> None:
    with tuned.wire() as wire:
        scope = json.loads(wire.get("/scope").body)
    assert (scope["root_path"], scope["path"]) == ("/below", "/below/scope")  # ASGI: "path" includes "root_path"


def test_forwarding_headers_of_an_untrusted_peer_are_ignored(tuned: ServerProcess) -> None:
    with tuned.wire() as wire:
        scope = json.loads(wire.get("/scope", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https").body)
        assert scope["client"] == list(wire.socket.getsockname())
        assert scope["scheme"] == "http"


def test_forwarding_headers_can_be_switched_off(serve: Serve) -> None:
    server = serve("plain:app", *ANY_PORT, "--no-proxy-headers")
    with server.wire() as wire:
        scope = json.loads(wire.get("/scope", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https").body)
        assert scope["client"] == list(wire.socket.getsockname())


@pytest.fixture(scope="module", params=PARSERS)
def impatient(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    options = ("--http", request.param, "--keep-alive", "1", "--header-timeout", "1")
    with ServerProcess("plain:app", *ANY_PORT, *options) as server:
        yield server


def test_an_idle_connection_is_closed_after_the_keep_alive_time(impatient: ServerProcess) -> None:
    with impatient.wire() as wire:
        begun = time.monotonic()
        wire.send(request("GET", "/") * 2)
        assert [wire.response().status for _ in range(2)] == [200, 200]
        assert wire.closed()
        assert time.monotonic() - begun > 0.5


def test_half_a_head_is_not_waited_for_for_ever(impatient: ServerProcess) -> None:
    with impatient.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost:")
        rest = wire.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408")


def test_a_connection_that_says_nothing_is_closed(impatient: ServerProcess) -> None:
    with impatient.wire() as wire:
        rest = wire.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408")


def test_a_body_over_the_limit_is_refused(tuned: ServerProcess) -> None:
    with tuned.wire() as wire:
        response = wire.send(request("POST", "/echo", "Content-Length: 1001", body=b"x" * 1001)).response()
        assert response.status == 413


@pytest.mark.parametrize("http", PARSERS)
def test_over_the_limit_of_concurrency_is_503_and_passes(serve: Serve, tmp_path: Path, http: str) -> None:
    server = serve("plain:app", *ANY_PORT, "--http", http, "--limit-concurrency", "3")
    gate = tmp_path / "gate"
    with contextlib.ExitStack() as held:
        wires = []
        for number in range(3):
            wire = held.enter_context(server.wire())
            begun = tmp_path / f"begun{number}"
            wire.send(request("GET", f"/slow?gate={gate}&begun={begun}"))
            eventually(begun.exists, "the request has begun")
            wires.append(wire)
        over = held.enter_context(server.wire()).get()
        assert over.status == 503
        gate.touch()
        assert [wire.response().status for wire in wires] == [200] * 3
    eventually(lambda: server.get().status_code == 200, "requests are served again")
