"""A server inside a program: the program's own work and the server share one event loop, and see each other's data.

    python examples/embedded.py

The port is a free one, which the program learns when the server has started. Ctrl-C stops both. A program without an
event loop runs the server in a thread instead: ``threading.Thread(target=server.run).start()``, then
``server.block_until_started()``, and at the end ``server.should_exit = True``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import asgi_arbiter

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

rounds = 0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell how far the program's work has come."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    body = b"%d rounds\n" % rounds
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def work() -> None:
    """What the program is for."""
    global rounds
    while True:
        rounds += 1
        await asyncio.sleep(0.05)


async def main() -> None:
    """Serve and work until told to stop."""
    server = asgi_arbiter.Server(asgi_arbiter.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    await server.wait_started()
    print(f"open {server.addresses[0]} to see how the work goes; Ctrl-C stops it", flush=True)
    working = asyncio.create_task(work())
    await serving
    working.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # raised again when the server has stopped
        asyncio.run(main())
