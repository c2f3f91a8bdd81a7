"""A bare ASGI application for probing a server: every path does one thing, and says what it saw.

Gates are files named by the query string: the application waits until the file exists, so that a test decides
when something goes on, in whichever worker it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    handler = ROUTES.get(scope["path"].removeprefix(scope["root_path"]), missing)
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    await handler(scope, receive, send, query)


async def answer(send: Send, body: bytes, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    headers = [(b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def whole_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left in the middle of its body")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def gate(name: str) -> None:
    while not Path(name).exists():
        await asyncio.sleep(0.01)


async def index(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Who answers."""
    await answer(send, b"%d" % os.getpid())


async def missing(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    await answer(send, b"no such path", 404)


async def shown(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """The scope, as far as JSON can tell it."""
    kept = {name: value for name, value in scope.items() if name not in ("headers", "state", "extensions")}
    kept["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    await answer(send, json.dumps(kept, default=repr).encode())


async def environment(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """The environment that the application sees."""
    await answer(send, json.dumps(dict(os.environ)).encode())


async def echo(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """The body, sent back when it is complete."""
    await answer(send, await whole_body(receive))


async def unread(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """An answer that does not wait for the body."""
    await answer(send, b"not interested", 403)


async def slow(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Says in a file that it has begun, waits for the gate, then answers with its process id."""
    Path(query["begun"]).write_text(str(os.getpid()))
    await gate(query["gate"])
    await answer(send, b"%d" % os.getpid())


async def stream(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """One chunk at once, the second when the gate is open."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    if "gate" in query:
        await gate(query["gate"])
    await send({"type": "http.response.body", "body": b"second", "more_body": True})
    await send({"type": "http.response.body"})


async def after(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Answers completely, waits for the gate, then leaves a file: work behind the answer."""
    await answer(send, b"done")
    await gate(query["gate"])
    Path(query["done"]).touch()


async def left(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Waits for the client to go away and writes into a file what it was told."""
    await whole_body(receive)
    Path(query["begun"]).touch()
    message = await receive()
    Path(query["told"]).write_text(message["type"])


async def nap(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """An answer that takes a given time."""
    await asyncio.sleep(float(query["seconds"]))
    await answer(send, b"rested")


async def stuck(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Never answers."""
    Path(query["begun"]).touch()
    await asyncio.Event().wait()


async def raising(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    raise RuntimeError("the application failed on purpose")


async def doubled(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Sets its own Date and Server."""
    await answer(send, b"mine", headers=[(b"date", b"then"), (b"server", b"own")])


async def clock(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    await answer(send, repr(time.monotonic()).encode())


ROUTES = {
    "/": index,
    "/after": after,
    "/clock": clock,
    "/doubled": doubled,
    "/echo": echo,
    "/environment": environment,
    "/left": left,
    "/nap": nap,
    "/raising": raising,
    "/scope": shown,
    "/slow": slow,
    "/stream": stream,
    "/stuck": stuck,
    "/unread": unread,
}
