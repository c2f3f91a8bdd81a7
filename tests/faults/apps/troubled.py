"""An application that gets into trouble when it is asked to. Files named in the environment or the query are switches.

``SWITCH.segfault``, ``.hang`` and ``.slow`` are looked for at the import; with the first it dies, with the second it hangs
as long as the file is there. In a query, ``begun`` names a file that is made before anything else is done.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

SWITCH = Path(os.environ.get("SWITCH", "/nonexistent"))

if SWITCH.with_suffix(".segfault").exists():
    os.kill(os.getpid(), signal.SIGSEGV)
while SWITCH.with_suffix(".hang").exists():
    time.sleep(0.01)
if SWITCH.with_suffix(".slow").exists():
    time.sleep(3.5)


def blocks_in_a_system_call(seconds: float) -> None:
    time.sleep(seconds)


def holds_the_interpreter() -> None:
    sum(itertools.repeat(1, 10**12))  # native code that lets no other thread run and hears no signal


async def waits_for_something_else() -> None:
    await asyncio.sleep(600)


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    query = dict(urllib.parse.parse_qsl(scope["query_string"].decode()))
    seconds = float(query.get("seconds", "0"))
    body = b"%d" % os.getpid()
    if "begun" in query:
        Path(query["begun"]).touch()
    match scope["path"]:
        case "/block":
            blocks_in_a_system_call(seconds)
        case "/native":
            holds_the_interpreter()
        case "/busy":
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.3)
                await asyncio.sleep(0)
        case "/gate":
            while not Path(query["gate"]).exists():
                await asyncio.sleep(0.01)
        case "/wait":
            await waits_for_something_else()
        case "/threads":
            for _ in range(int(query["count"])):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        case "/orphan":
            subprocess.run(["sh", "-c", "sleep 0.3 & exit 0"], check=True)
        case "/echo":
            parts = []
            while True:
                message = await receive()
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    break
            body = b"".join(parts)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
