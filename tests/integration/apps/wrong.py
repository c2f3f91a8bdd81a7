"""Applications that get something wrong, each in its own way, and some that tell what they were told."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger("asgi_arbiter.worker")
told: list[str] = []

HEADERS: dict[str, list[tuple[bytes, bytes]]] = {
    "/cr": [(b"x", b"a\rSet-Cookie: b")],
    "/lf": [(b"x", b"a\nSet-Cookie: b")],
    "/nul": [(b"x", b"a\0b")],
    "/name": [(b"x y", b"a")],
    "/empty-name": [(b"", b"a")],
    "/two-lengths": [(b"content-length", b"4"), (b"content-length", b"4")],
    "/length": [(b"content-length", b"+4")],
    "/split": [(b"x: y\r\nset-cookie", b"a")],
    "/hop-by-hop": [
        (b"Transfer-Encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"keep-alive", b"timeout=9"),
        (b"connection", b"upgrade"),
        (b"proxy-connection", b"close"),
    ],
    "/close": [(b"Connection", b"Close")],
    "/too-long": [(b"content-length", b"3")],
    "/too-short": [(b"content-length", b"5")],
}
LATE = {"/late-too-long": b"x" * 20, "/late-too-short": b"x"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = scope["path"]

    async def start(*headers: tuple[bytes, bytes], status: int = 200) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def body(data: bytes, more: bool = False) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})

    if path in HEADERS:
        await start(*HEADERS[path])
        await body(b"body")
    elif path == "/status":
        await start(status=1000)
    elif path.startswith("/status/"):
        await start((b"content-length", b"5"), status=int(path[8:]))
        await body(b"hello")
    elif path == "/raise":
        raise RuntimeError("on purpose")
    elif path == "/nothing":
        return
    elif path == "/only-start":
        await start()
    elif path.startswith("/late"):
        await start((b"content-length", b"10"))
        await body(b"12345", True)
        if path == "/late-raise":
            raise RuntimeError("on purpose")
        if path in LATE:
            await body(LATE[path])
    elif path in ("/chunked-raise", "/stream"):
        await start()
        await body(b"one", True)
        if path == "/chunked-raise":
            raise RuntimeError("on purpose")
        await body(b"two")
    elif path == "/slow":
        await asyncio.sleep(0.3)
        await start()
        await body(b"slow")
    elif path == "/fields":
        while (await receive()).get("more_body"):
            pass
        await start()
        await body(b" ".join(name for name, _ in scope["headers"]))
    elif path == "/twice":
        first = (await receive())["type"]
        await start()
        await body(first.encode())
        told[:] = [(await receive())["type"], (await receive())["type"]]
    elif path == "/told":
        await start()
        await body(" ".join(told).encode())
    elif path == "/busy":
        await receive()
        await start()
        try:
            while True:
                await asyncio.sleep(0.02)
                await body(b"x", True)
        except OSError as error:
            kind = f"{type(error).__name__} {isinstance(error, OSError)}"
            log.info("the busy one was told: %s, then %s", kind, (await receive())["type"])
    else:
        await start()
        await body(b"good")
