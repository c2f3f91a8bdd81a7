"""A FastAPI application that uses most of what a server has to do well.

pip install fastapi python-multipart
asgi-arbiter --app-dir examples -w 4 fastapi_app:app
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Form, Request, UploadFile
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

HERE = Path(__file__).parent
NOTES = Path(os.environ.get("NOTES", tempfile.gettempdir() + "/notes.txt"))
BLOCK = bytes(range(256)) * 256  # 64 KiB


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """What is yielded becomes ``request.state`` of every request in this worker."""
    yield {"greeting": "hello from the lifespan"}


app = FastAPI(lifespan=lifespan)
app.mount("/static", StaticFiles(directory=HERE / "static"))


class Note(BaseModel):
    text: str


@app.get("/", response_class=PlainTextResponse)
async def index() -> str:
    return "Hello from FastAPI"


@app.post("/json")
async def echo(document: dict[str, Any]) -> dict[str, Any]:
    return document


@app.post("/form")
async def form(name: Annotated[str, Form()], colour: Annotated[list[str], Form()]) -> dict[str, Any]:
    return {"name": name, "colours": colour}


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, Any]:
    """Hash an uploaded file block by block; large files are on disk by then, not in memory."""
    digest, size = hashlib.sha256(), 0
    while block := await file.read(1 << 20):
        digest.update(block)
        size += len(block)
    return {"name": file.filename, "size": size, "sha256": digest.hexdigest()}


@app.get("/download")
async def download(megabytes: int = 1) -> StreamingResponse:
    """A body whose length nobody knows when it begins."""

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(16 * megabytes):
            yield BLOCK

    return StreamingResponse(blocks(), media_type="application/octet-stream")


@app.get("/events")
async def events() -> StreamingResponse:
    """Server-sent events, until the client goes away."""

    async def ticks() -> AsyncIterator[str]:
        number = 0
        while True:
            yield f"id: {number}\ndata: tick {number}\n\n"
            number += 1
            await asyncio.sleep(0.05)

    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.post("/notes", status_code=202)
async def note(note: Note, background: BackgroundTasks) -> dict[str, str]:
    """Answer at once, do the work afterwards."""
    background.add_task(write_note, note.text)
    return {"accepted": note.text}


def write_note(text: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(text + "\n")


@app.get("/state")
async def state(request: Request) -> dict[str, Any]:
    return {"greeting": request.state.greeting, "worker": os.getpid()}
