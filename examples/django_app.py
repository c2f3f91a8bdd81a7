"""A Django project in one file, on its asynchronous side, that uses most of what a server has to do well.

    pip install django
    asgi-arbiter --app-dir examples -w 4 django_app:application

Django has no lifespan; the server notices and goes on without (``--lifespan auto``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from django.conf import settings

HERE = Path(__file__).parent
NOTES = Path(os.environ.get("NOTES", tempfile.gettempdir() + "/notes.txt"))
BLOCK = bytes(range(256)) * 256  # 64 KiB

settings.configure(
    SECRET_KEY="only for an example",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.staticfiles"],
    STATIC_URL="/static/",
    STATICFILES_DIRS=[HERE / "static"],
)

# Everything of Django's that looks at the settings comes after them.
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

background: set[asyncio.Task[None]] = set()


async def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello from Django", content_type="text/plain")


async def echo(request: HttpRequest) -> HttpResponse:
    return JsonResponse(json.loads(request.body))


async def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"name": request.POST["name"], "colours": request.POST.getlist("colour")})


async def upload(request: HttpRequest) -> HttpResponse:
    """Hash an uploaded file block by block; large files are on disk by then, not in memory."""
    digest, size, file = hashlib.sha256(), 0, request.FILES["file"]
    for block in file.chunks(1 << 20):
        digest.update(block)
        size += len(block)
    return JsonResponse({"name": file.name, "size": size, "sha256": digest.hexdigest()})


async def download(request: HttpRequest) -> StreamingHttpResponse:
    """A body whose length nobody knows when it begins."""
    megabytes = int(request.GET.get("megabytes", "1"))

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(16 * megabytes):
            yield BLOCK

    return StreamingHttpResponse(blocks(), content_type="application/octet-stream")


async def events(request: HttpRequest) -> StreamingHttpResponse:
    """Server-sent events, until the client goes away."""

    async def ticks() -> AsyncIterator[str]:
        number = 0
        while True:
            yield f"id: {number}\ndata: tick {number}\n\n"
            number += 1
            await asyncio.sleep(0.05)

    return StreamingHttpResponse(ticks(), content_type="text/event-stream")


async def note(request: HttpRequest) -> HttpResponse:
    """Answer at once, do the work afterwards."""
    text = json.loads(request.body)["text"]
    task = asyncio.get_running_loop().create_task(write_note(text))
    background.add(task)  # the event loop itself keeps only a weak reference
    task.add_done_callback(background.discard)
    return JsonResponse({"accepted": text}, status=202)


async def write_note(text: str) -> None:
    with NOTES.open("a") as notes:  # noqa: ASYNC230 (one short line)
        notes.write(text + "\n")


urlpatterns = [
    path("", index),
    path("json", echo),
    path("form", form),
    path("upload", upload),
    path("download", download),
    path("events", events),
    path("notes", note),
]

application = ASGIStaticFilesHandler(get_asgi_application())
