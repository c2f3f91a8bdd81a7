"""Does each server do the same work? Asked before anything is measured: a server that skips work is not fast.

Every question returns nothing when the server is honest and a complaint otherwise. A server with complaints is
measured all the same, but marked in every table.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator

from .server import Server
from .websocket_load import HANDSHAKE, client_frame, connect
from .workloads import BROWSER_HEADERS

__all__ = ["QUESTIONS", "examine"]


def headers(server: Server) -> str | None:
    """All headers arrive in the scope: lower-case names, untouched values, in their order."""
    sent = [
        ("Host", "benchmark"),
        *(tuple(line.split(": ", 1)) for line in BROWSER_HEADERS),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
    ]
    client = server.client()
    client.putrequest("GET", "/headers?a=b", skip_host=True, skip_accept_encoding=True)
    for name, value in sent:
        client.putheader(name, value)
    client.endheaders()
    seen = json.loads(client.getresponse().read())
    expected = [[name.lower(), value] for name, value in sent]
    if seen["headers"] != expected:
        return f"headers differ: {[pair for pair in expected if pair not in seen['headers']] or 'order or extras'}"
    if (seen["method"], seen["path"], seen["query_string"], seen["http_version"]) != ("GET", "/headers", "a=b", "1.1"):
        return f"the scope differs: {seen}"
    return None if seen["client"] else "no client address"


def date(server: Server) -> str | None:
    """A Date header, as RFC 9110, 6.6.1 asks of every server with a clock."""
    client = server.client()
    client.request("GET", "/")
    response = client.getresponse()
    response.read()
    return None if response.getheader("Date") else "no Date header"


def body(server: Server) -> str | None:
    """A body of 70 KB arrives whole and comes back whole."""
    return _echo(server, bytes(range(256)) * 280, chunked=False)


def chunked(server: Server) -> str | None:
    """A chunked body of several chunks arrives whole."""
    return _echo(server, bytes(range(256)) * 280, chunked=True)


def _echo(server: Server, content: bytes, *, chunked: bool) -> str | None:
    client = server.client()
    if chunked:
        parts = iter([content[:10], content[10:30000], content[30000:]])
        client.request("POST", "/echo", parts, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    else:
        client.request("POST", "/echo", content)
    came = client.getresponse().read()
    if hashlib.sha256(came).digest() != hashlib.sha256(content).digest():
        return f"sent {len(content)} bytes, {len(came)} came back"
    return None


def streaming(server: Server) -> str | None:
    """Three pieces with pauses arrive one by one, as one response."""
    client = server.client()
    client.request("GET", "/pieces")
    response = client.getresponse()
    arrivals = []
    for number in range(3):
        line = response.readline()
        arrivals.append(time.monotonic())
        if line != b"piece %d\n" % number:
            return f"piece {number} was {line!r}"
    if response.read():
        return "something follows the last piece"
    took = arrivals[-1] - arrivals[0]
    return None if took > 0.1 else f"the pieces came together, within {took:.3f} s"


def disconnect(server: Server) -> str | None:
    """The application sees within a second that its client left."""
    before = _seen_leaving(server)
    with server.connect() as connection:
        connection.sendall(b"GET /leave HTTP/1.1\r\nHost: benchmark\r\n\r\n")
        time.sleep(0.2)
    for _ in range(10):
        time.sleep(0.1)
        if _seen_leaving(server) > before:
            return None
    return "receive() did not say http.disconnect within 1 s"


def _seen_leaving(server: Server) -> int:
    client = server.client()
    client.request("GET", "/left")
    return int(client.getresponse().read())


def websocket(server: Server) -> str | None:
    """A WebSocket echoes a binary message."""
    connection = connect(server.port, HANDSHAKE, b"HTTP/1.1 101")
    with connection:
        connection.sendall(client_frame(b"honest"))
        answer = connection.recv(64)
    return None if answer == b"\x82\x06honest" else f"the echo was {answer!r}"


def idleness(server: Server) -> str | None:
    """Nothing to do costs nothing: at most 5 % of a core."""
    before = server.cpu()
    time.sleep(0.5)
    share = (server.cpu() - before) / 0.5
    return None if share < 0.05 else f"{share:.0%} of a core while idle"


QUESTIONS: tuple[Callable[[Server], str | None], ...] = (
    headers,
    date,
    body,
    chunked,
    streaming,
    disconnect,
    websocket,
    idleness,
)


def examine(server: Server) -> Iterator[tuple[str, str | None]]:
    """Name of each question and the complaint, ``None`` for a good answer. A complaint must come twice: on a busy
    machine the client, too, may be late."""
    for question in QUESTIONS:
        yield question.__name__, _ask(question, server) and _ask(question, server)


def _ask(question: Callable[[Server], str | None], server: Server) -> str | None:
    try:
        return question(server)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
