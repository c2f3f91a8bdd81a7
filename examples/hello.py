"""The smallest ASGI application: no framework, one answer.

    asgi-arbiter --app-dir examples hello:app

Then open http://127.0.0.1:8000, or ``curl http://127.0.0.1:8000``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BODY = b"Hello, world!\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every HTTP request alike; any other kind of scope (lifespan, websocket) is refused by raising."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})
