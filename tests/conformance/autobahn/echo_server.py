"""The server that the fuzzing client talks to: one port for each implementation, everything echoed."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from asgi_arbiter.protocols.websocket import WebsocketsProtocol
from asgi_arbiter.protocols.wsproto_websocket import WsprotoProtocol
from tests.ws_support import FrontServer


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends every message back."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def serve() -> None:
    """Prints ``name port`` for each implementation, then serves until its standard input ends."""
    async with (
        FrontServer(echo, WebsocketsProtocol) as websockets,
        FrontServer(echo, WsprotoProtocol) as wsproto,
    ):
        print(f"websockets {websockets.port}", flush=True)
        print(f"wsproto {wsproto.port}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    asyncio.run(serve())
