"""The application without a framework that every server runs. Each path is one workload or one honesty question.

Rules: no third-party import; the same work for every server; what a request costs here is paid by all alike.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

HELLO = b"Hello, world!\n"
LARGE = b"x" * 65536
CHUNK = b"y" * 65536
CHUNKS = 160
HELLO_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"14")],
}
HELLO_BODY = {"type": "http.response.body", "body": HELLO}
left = 0
"""How many clients were seen leaving by ``/leave``."""


async def answer(send: Any, body: bytes, content_type: bytes = b"text/plain") -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def suspend(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0)
    await send(HELLO_START)
    await send(HELLO_BODY)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, await read(receive), b"application/octet-stream")


async def sink(scope: Any, receive: Any, send: Any) -> None:
    received = 0
    while True:
        message = await receive()
        received += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    await answer(send, b"%d" % received)


async def large(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, LARGE, b"application/octet-stream")


async def stream(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % (CHUNKS * len(CHUNK)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": number < CHUNKS - 1})


async def pieces(scope: Any, receive: Any, send: Any) -> None:
    """Three pieces of unknown length with a pause between them: each must reach the client before the next is made."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for number in range(3):
        await send({"type": "http.response.body", "body": b"piece %d\n" % number, "more_body": True})
        await asyncio.sleep(0.2)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def headers(scope: Any, receive: Any, send: Any) -> None:
    seen = {
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "method": scope["method"],
        "path": scope["path"],
        "query_string": scope["query_string"].decode("latin-1"),
        "http_version": scope["http_version"],
        "client": scope["client"],
    }
    await answer(send, json.dumps(seen).encode(), b"application/json")


async def leave(scope: Any, receive: Any, send: Any) -> None:
    global left
    while (await receive())["type"] != "http.disconnect":
        pass
    left += 1


async def count_left(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"%d" % left)


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        data = message.get("bytes")
        if data is not None:
            await send({"type": "websocket.send", "bytes": data})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """The start-up writes one line into the journal, so that the benchmark knows when which worker was there."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    journal = os.environ.get("BENCHMARK_JOURNAL")
    if journal:
        with open(journal, "a") as file:  # noqa: PTH123 - one line, at once, no import of pathlib for it
            file.write(f"{os.getpid()} {time.monotonic()!r}\n")
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


ROUTES = {
    "/suspend": suspend,
    "/echo": echo,
    "/sink": sink,
    "/large": large,
    "/stream": stream,
    "/pieces": pieces,
    "/headers": headers,
    "/leave": leave,
    "/left": count_left,
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    kind = scope["type"]
    if kind == "http":
        path = scope["path"]
        if path == "/":  # first and without a call of its own: it is the server that is measured
            await send(HELLO_START)
            await send(HELLO_BODY)
        else:
            await ROUTES[path](scope, receive, send)
    elif kind == "websocket":
        await websocket(scope, receive, send)
    else:
        await lifespan(scope, receive, send)
