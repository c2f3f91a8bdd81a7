"""The smallest application, in a worker that takes connections with the loop's native accept whatever its siblings do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgi_arbiter.worker import server
from asgi_arbiter.worker.acceptor import OwnAcceptor
from asgi_arbiter.worker.loop_acceptor import LoopAcceptor


def _native(setup: Any, factory: Any, rivals: Any, *, expected: bool = True) -> LoopAcceptor:
    return LoopAcceptor(setup, factory, OwnAcceptor(setup), most=2**31)


server.choose = _native


async def app(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
