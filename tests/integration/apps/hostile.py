"""What a hostile client would like to find: large answers, and an application that does not read."""

from __future__ import annotations

import asyncio
from typing import Any

PIECE = bytes(65536)
TOTAL = 200 << 20


async def socket(scope: Any, receive: Any, send: Any) -> None:
    """A WebSocket that is not read for a while, or that is read for ever."""
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/ignore":
        await asyncio.sleep(3)
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await socket(scope, receive, send)
        return
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/flood":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % TOTAL)]})
        for left in range(TOTAL - len(PIECE), -1, -len(PIECE)):
            await send({"type": "http.response.body", "body": PIECE, "more_body": left > 0})
        return
    if scope["path"] == "/file":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": scope["query_string"].decode()})
        return
    if scope["path"] == "/ignore":
        await asyncio.sleep(4)
    if scope["path"] == "/read":
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
    if scope["path"] == "/hoard":
        bytearray(b"x") * (40 << 20)
    body = b"x" * 1000 if scope["path"] == "/thousand" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
