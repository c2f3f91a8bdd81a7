"""A Quart application that uses most of what a server has to do well.

pip install quart
asgi-arbiter --app-dir examples -w 4 quart_app:app
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from quart import Quart, Response, current_app, request

NOTES = Path(os.environ.get("NOTES", tempfile.gettempdir() + "/notes.txt"))
BLOCK = bytes(range(256)) * 256  # 64 KiB

app = Quart(__name__)  # files under static/ are served below /static
app.config["MAX_CONTENT_LENGTH"] = 64 << 20


@app.before_serving
async def open_up() -> None:
    """Runs in the lifespan startup of every worker."""
    app.extensions["greeting"] = "hello from the lifespan"


@app.get("/")
async def index() -> Response:
    return Response("Hello from Quart", mimetype="text/plain")


@app.post("/json")
async def echo() -> dict[str, Any]:
    return await request.get_json()


@app.post("/form")
async def form() -> dict[str, Any]:
    fields = await request.form
    return {"name": fields["name"], "colours": fields.getlist("colour")}


@app.post("/upload")
async def upload() -> dict[str, Any]:
    """Hash an uploaded file block by block; large files are on disk by then, not in memory."""
    digest, size, file = hashlib.sha256(), 0, (await request.files)["file"]
    while block := file.read(1 << 20):
        digest.update(block)
        size += len(block)
    return {"name": file.filename, "size": size, "sha256": digest.hexdigest()}


@app.get("/download")
async def download() -> tuple[AsyncIterator[bytes], dict[str, str]]:
    """A body whose length nobody knows when it begins."""
    megabytes = int(request.args.get("megabytes", "1"))

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(16 * megabytes):
            yield BLOCK

    return blocks(), {"Content-Type": "application/octet-stream"}


@app.get("/events")
async def events() -> Response:
    """Server-sent events, until the client goes away."""

    async def ticks() -> AsyncIterator[str]:
        number = 0
        while True:
            yield f"id: {number}\ndata: tick {number}\n\n"
            number += 1
            await asyncio.sleep(0.05)

    response = Response(ticks(), mimetype="text/event-stream")
    response.timeout = None  # Quart ends a response after a minute unless told otherwise
    return response


@app.post("/notes")
async def note() -> tuple[dict[str, str], int]:
    """Answer at once, do the work afterwards."""
    text = (await request.get_json())["text"]
    app.add_background_task(write_note, text)
    return {"accepted": text}, 202


def write_note(text: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(text + "\n")


@app.get("/state")
async def state() -> dict[str, Any]:
    return {"greeting": current_app.extensions["greeting"], "worker": os.getpid()}
