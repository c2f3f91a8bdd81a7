"""A chat in the browser over WebSocket, without a framework.

    asgi-arbiter --app-dir examples websocket:app

Then open http://127.0.0.1:8000 in two windows. It shows what a WebSocket application has to think of:

* one task reads and one writes, so that a client that reads slowly delays nobody; one that falls 100 messages behind
  is closed with code 1013 ("try again later");
* a client that cannot name itself is refused with an HTTP response of the application's own, before the handshake;
* when the worker leaves (``kill -HUP`` of the arbiter, Ctrl-C), each client is closed with 1012 or 1001; the page
  connects again by itself and gets a new worker;
* **with several workers each worker has rooms of its own**: processes share nothing, so two people meet only if the
  kernel gave them to the same worker (the page shows its process id). One worker is enough for a chat; for more, let
  the workers talk through something outside, such as Redis or PostgreSQL's LISTEN and NOTIFY.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PAGE = Path(__file__).with_suffix(".html").read_bytes()
WAITING = 100
LONGEST_NAME = 20
LONGEST_TEXT = 2000


class Guest:
    """One open WebSocket in a room."""

    def __init__(self, name: str, send: Send) -> None:
        self.name = name
        self.send = send
        self.outbox: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self.is_too_slow = False

    def tell(self, text: str) -> None:
        """Puts a message in the outbox; never waits."""
        try:
            self.outbox.put_nowait(text)
        except asyncio.QueueFull:
            self.is_too_slow = True

    async def write(self) -> None:
        """Sends what is in the outbox; ``send`` waits while the client's socket is full."""
        while not self.is_too_slow:
            await self.send({"type": "websocket.send", "text": await self.outbox.get()})
        await self.send({"type": "websocket.close", "code": 1013, "reason": "you read too slowly"})


class Room:
    """The guests of one name, in this worker."""

    def __init__(self) -> None:
        self.guests: set[Guest] = set()

    def tell(self, kind: str, **values: Any) -> None:
        """Tells everyone."""
        text = json.dumps({"kind": kind, "guests": sorted(guest.name for guest in self.guests), **values})
        for guest in self.guests:
            guest.tell(text)

    async def host(self, guest: Guest, receive: Receive) -> None:
        """From a guest's entrance to its leaving, however that comes about."""
        self.guests.add(guest)
        self.tell("joined", name=guest.name, worker=os.getpid())
        writer = asyncio.create_task(guest.write())
        try:
            while (message := await receive())["type"] == "websocket.receive":
                text = (message.get("text") or "")[:LONGEST_TEXT]
                if text:
                    self.tell("said", name=guest.name, text=text)
        finally:
            self.guests.discard(guest)
            self.tell("left", name=guest.name)
            writer.cancel()
            await asyncio.wait([writer])
            if not writer.cancelled():
                writer.exception()  # the client went while something was being sent: nothing to report


rooms: dict[str, Room] = {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The page, and the WebSocket that it opens."""
    if scope["type"] == "websocket":
        await chat(scope, receive, send)
    elif scope["type"] == "http":
        await page(scope, send)
    else:
        raise NotImplementedError(scope["type"])


async def page(scope: Scope, send: Send) -> None:
    """Answers ``/`` with the page and everything else with 404."""
    found = scope["path"] == "/"
    body = PAGE if found else b"There is only one page here: /\n"
    kind = b"text/html; charset=utf-8" if found else b"text/plain"
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def chat(scope: Scope, receive: Receive, send: Send) -> None:
    """One WebSocket, ``/chat?room=...&name=...``."""
    await receive()  # websocket.connect
    query = parse_qs(scope["query_string"].decode("latin-1"))
    name = query.get("name", [""])[0].strip()[:LONGEST_NAME]
    if not name:
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "websocket.http.response.start", "status": 400, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"Who are you? Say ?name=...\n"})
        return
    await send({"type": "websocket.accept"})
    room_name = query.get("room", ["lobby"])[0]
    room = rooms.setdefault(room_name, Room())
    await room.host(Guest(name, send), receive)
    if not room.guests:
        rooms.pop(room_name, None)
