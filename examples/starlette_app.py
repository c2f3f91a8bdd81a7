"""A Starlette application that uses most of what a server has to do well.

pip install starlette python-multipart
asgi-arbiter --app-dir examples -w 4 starlette_app:app
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

HERE = Path(__file__).parent
NOTES = Path(os.environ.get("NOTES", tempfile.gettempdir() + "/notes.txt"))
BLOCK = bytes(range(256)) * 256  # 64 KiB


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    """What is yielded becomes ``request.state`` of every request in this worker."""
    yield {"greeting": "hello from the lifespan"}


async def index(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello from Starlette")


async def echo(request: Request) -> JSONResponse:
    return JSONResponse(await request.json())


async def form(request: Request) -> JSONResponse:
    async with request.form() as fields:
        return JSONResponse({"name": fields["name"], "colours": fields.getlist("colour")})


async def upload(request: Request) -> JSONResponse:
    """Hash an uploaded file block by block; large files are on disk by then, not in memory."""
    digest, size = hashlib.sha256(), 0
    async with request.form() as fields:
        file = fields["file"]
        while block := await file.read(1 << 20):
            digest.update(block)
            size += len(block)
        return JSONResponse({"name": file.filename, "size": size, "sha256": digest.hexdigest()})


async def download(request: Request) -> StreamingResponse:
    """A body whose length nobody knows when it begins."""

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(16 * int(request.query_params.get("megabytes", "1"))):
            yield BLOCK

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def events(request: Request) -> StreamingResponse:
    """Server-sent events, until the client goes away."""

    async def ticks() -> AsyncIterator[str]:
        number = 0
        while True:
            yield f"id: {number}\ndata: tick {number}\n\n"
            number += 1
            await asyncio.sleep(0.05)

    return StreamingResponse(ticks(), media_type="text/event-stream")


async def note(request: Request) -> JSONResponse:
    """Answer at once, do the work afterwards."""
    text = (await request.json())["text"]
    return JSONResponse({"accepted": text}, status_code=202, background=BackgroundTask(write_note, text))


def write_note(text: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(text + "\n")


async def state(request: Request) -> JSONResponse:
    return JSONResponse({"greeting": request.state.greeting, "worker": os.getpid()})


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", index),
        Route("/json", echo, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/events", events),
        Route("/notes", note, methods=["POST"]),
        Route("/state", state),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ],
)
