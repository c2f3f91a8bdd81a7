"""What a worker does before its first request and after its last one, without a framework.

    asgi-arbiter --app-dir examples -w 4 lifespan:app

Startup runs once in every worker; a worker gets no request before its startup is complete. What startup puts into
``scope["state"]`` is seen by every request as ``scope["state"]``. Shutdown runs when the worker has served its last
request, also when the service is stopped with Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch on the kind of the scope."""
    if scope["type"] == "lifespan":
        await live(scope, receive, send)
    elif scope["type"] == "http":
        await answer(scope, send)
    else:
        raise NotImplementedError(scope["type"])


async def live(scope: Scope, receive: Receive, send: Send) -> None:
    """The life of one worker, told by two messages."""
    await receive()  # lifespan.startup: open pools, load models, warm caches
    scope["state"]["born"] = time.monotonic()
    print(f"worker {os.getpid()} is open", flush=True)
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown: the last request is done
    print(f"worker {os.getpid()} is closed", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def answer(scope: Scope, send: Send) -> None:
    """Say who answers, and for how long this worker has been up."""
    age = time.monotonic() - scope["state"]["born"]
    body = json.dumps({"worker": os.getpid(), "age": round(age, 3)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
