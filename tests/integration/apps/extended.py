"""An application for the ASGI extensions: each path sends in another way what lies in the file named by the query."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import FileResponse

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

sent: list[str] = []


async def app(scope: Scope, receive: Any, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}

    async def noted(message: dict[str, Any]) -> None:
        sent.append(message["type"])
        await send(message)

    await ROUTES[scope["path"]](scope, receive, noted, query)


def start(*headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers), **more}


async def offers(scope: Scope, receive: Any, send: Send, query: dict[str, str]) -> None:
    """The extensions of the scope, and which messages were sent before."""
    body = json.dumps([scope["extensions"], sent]).encode()
    await send(start())
    await send({"type": "http.response.body", "body": body})


async def path(scope: Scope, receive: Any, send: Send, query: dict[str, str]) -> None:
    headers = [(b"content-length", query["length"].encode())] if "length" in query else []
    await send(start(*headers))
    await send({"type": "http.response.pathsend", "path": query["path"]})


async def starlette(scope: Scope, receive: Any, send: Send, query: dict[str, str]) -> None:
    await FileResponse(query["path"])(scope, receive, send)


async def descriptor(scope: Scope, receive: Any, send: Send, query: dict[str, str]) -> None:
    """``before``, then a part of the file, then ``after``."""
    message: dict[str, Any] = {name: int(query[name]) for name in ("offset", "count") if name in query}
    await send(start())
    await send({"type": "http.response.body", "body": b"before", "more_body": True})
    with open(query["path"], "rb") as file:  # noqa: PTH123
        file.read(int(query.get("skip", "0")))
        await send({"type": "http.response.zerocopysend", "file": file, "more_body": True, **message})
        rest = file.read(5)
    await send({"type": "http.response.body", "body": b"after" + rest})


async def pipe(scope: Scope, receive: Any, send: Send, query: dict[str, str]) -> None:
    """What a child process writes."""
    import subprocess

    with subprocess.Popen(["cat", query["path"]], stdout=subprocess.PIPE) as child:
        await send(start())
        await send({"type": "http.response.zerocopysend", "file": child.stdout})


async def hints(scope: Scope, receive: Any, send: Send, query: dict[str, str]) -> None:
    """An early hint before the start, one after it, and trailers."""
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await send(start((b"trailer", b"x-sum"), trailers=True))
    await send({"type": "http.response.early_hint", "links": [b"</b.css>; rel=preload"]})
    await send({"type": "http.response.body", "body": b"hello"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"42")]})


async def debug(scope: Scope, receive: Any, send: Send, query: dict[str, str]) -> None:
    if "http.response.debug" in scope["extensions"]:
        await send({"type": "http.response.debug", "info": {"template": "index.html"}})
    await send(start())
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})


ROUTES: dict[str, Any] = {
    "/debug": debug,
    "/descriptor": descriptor,
    "/hints": hints,
    "/offers": offers,
    "/path": path,
    "/pipe": pipe,
    "/starlette": starlette,
}
