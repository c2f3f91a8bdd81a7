"""A Litestar application that uses most of what a server has to do well.

pip install litestar
asgi-arbiter --app-dir examples -w 4 litestar_app:app
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, MediaType, Request, get, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Response, ServerSentEvent, Stream
from litestar.static_files import create_static_files_router

HERE = Path(__file__).parent
NOTES = Path(os.environ.get("NOTES", tempfile.gettempdir() + "/notes.txt"))
BLOCK = bytes(range(256)) * 256  # 64 KiB


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """What startup leaves in ``app.state`` is seen by every request in this worker."""
    app.state.greeting = "hello from the lifespan"
    yield


@dataclass
class Person:
    name: str
    colour: list[str]


@dataclass
class Note:
    text: str


@get("/", media_type=MediaType.TEXT)
async def index() -> str:
    return "Hello from Litestar"


@post("/json", status_code=200)
async def echo(data: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    return data


@post("/form", status_code=200)
async def form(
    data: Annotated[Person, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> dict[str, Any]:
    return {"name": data.name, "colours": data.colour}


@post("/upload", status_code=200, request_max_body_size=None)
async def upload(
    data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    """Hash an uploaded file block by block; large files are on disk by then, not in memory."""
    digest, size, file = hashlib.sha256(), 0, data["file"]
    while block := await file.read(1 << 20):
        digest.update(block)
        size += len(block)
    return {"name": file.filename, "size": size, "sha256": digest.hexdigest()}


@get("/download")
async def download(request: Request[Any, Any, State]) -> Stream:
    """A body whose length nobody knows when it begins."""
    megabytes = int(request.query_params.get("megabytes", "1"))

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(16 * megabytes):
            yield BLOCK

    return Stream(blocks(), media_type="application/octet-stream")


@get("/events")
async def events() -> ServerSentEvent:
    """Server-sent events, until the client goes away."""

    async def ticks() -> AsyncIterator[dict[str, Any]]:
        number = 0
        while True:
            yield {"id": number, "data": f"tick {number}"}
            number += 1
            await asyncio.sleep(0.05)

    return ServerSentEvent(ticks())


@post("/notes", status_code=202)
async def note(data: Annotated[Note, Body()]) -> Response[dict[str, str]]:
    """Answer at once, do the work afterwards."""
    return Response({"accepted": data.text}, background=BackgroundTask(write_note, data.text))


def write_note(text: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(text + "\n")


@get("/state")
async def state(request: Request[Any, Any, State]) -> dict[str, Any]:
    return {"greeting": request.app.state.greeting, "worker": os.getpid()}


app = Litestar(
    lifespan=[lifespan],
    route_handlers=[
        index,
        echo,
        form,
        upload,
        download,
        events,
        note,
        state,
        create_static_files_router(path="/static", directories=[HERE / "static"]),
    ],
)
