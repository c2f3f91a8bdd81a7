"""Real applications of five frameworks, served by several workers, on both parsers and both loops.

One server per combination for the whole module: a connection pool, a parser or a loop that is left in a bad state by
one request is met by the next. When it is closed, the log must be free of tracebacks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from .server_process import EXAMPLES, ServerProcess, eventually

pytestmark = pytest.mark.process

APPLICATIONS = {
    "starlette": "starlette_app:app",
    "fastapi": "fastapi_app:app",
    "django": "django_app:application",
    "litestar": "litestar_app:app",
    "quart": "quart_app:app",
}
ENGINES = {
    # parser and loop: workers. Every combination; many workers once, since each imports the framework for itself.
    ("httptools", "uvloop"): 4,
    ("h11", "asyncio"): 2,
    ("httptools", "asyncio"): 2,
    ("h11", "uvloop"): 2,
}
LARGE = bytes(range(256)) * 4 * 1024 * 20  # 20 MiB
BLOCK = bytes(range(256)) * 256


class Site(NamedTuple):
    framework: str
    server: ServerProcess
    client: httpx.Client
    notes: Path


SITES = [(framework, *engine) for framework in APPLICATIONS for engine in ENGINES]


@pytest.fixture(scope="module", params=SITES, ids="-".join)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    framework, http, loop = request.param
    notes = tmp_path_factory.mktemp("notes") / "notes.txt"
    notes.touch()
    workers = str(ENGINES[http, loop])
    arguments = (APPLICATIONS[framework], "-w", workers, "--bind", "127.0.0.1:0", "--http", http, "--loop", loop)
    with ServerProcess(*arguments, cwd=EXAMPLES, env={"NOTES": str(notes)}) as server, server.client() as client:
        yield Site(framework, server, client, notes)


def test_the_front_page_is_served(site: Site) -> None:
    response = site.client.get("/")
    assert response.status_code == 200
    assert response.text.lower() == f"hello from {site.framework}"
    assert response.headers["date"].endswith("GMT")


def test_json_comes_back_as_it_was_sent(site: Site) -> None:
    document = {"numbers": [1, 2.5, None], "text": "grün 🙂", "nested": {"deep": [True, False]}}
    assert site.client.post("/json", json=document).json() == document


def test_a_form_is_understood(site: Site) -> None:
    response = site.client.post("/form", data={"name": "Ada & Co.", "colour": ["red", "green"]})
    assert response.json() == {"name": "Ada & Co.", "colours": ["red", "green"]}


def test_a_file_of_20_megabytes_arrives_whole(site: Site) -> None:
    response = site.client.post("/upload", files={"file": ("large.bin", LARGE)})
    assert response.json() == {"name": "large.bin", "size": len(LARGE), "sha256": hashlib.sha256(LARGE).hexdigest()}


def test_a_streaming_download_arrives_whole_and_without_a_length(site: Site) -> None:
    digest = hashlib.sha256()
    with site.client.stream("GET", "/download", params={"megabytes": 8}) as response:
        assert "content-length" not in response.headers
        for block in response.iter_bytes():
            digest.update(block)
    assert digest.hexdigest() == hashlib.sha256(BLOCK * 16 * 8).hexdigest()


def test_server_sent_events_arrive_while_the_response_goes_on(site: Site) -> None:
    # The stream has no end: whatever collects a response before it passes it on never delivers the first event.
    with site.client.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in response.iter_lines() if line.startswith("data:"))
        assert [next(lines) for _ in range(3)] == ["data: tick 0", "data: tick 1", "data: tick 2"]


def test_a_background_task_runs_after_the_answer(site: Site) -> None:
    response = site.client.post("/notes", json={"text": "remember the milk"})
    assert (response.status_code, response.json()) == (202, {"accepted": "remember the milk"})
    eventually(lambda: site.notes.read_text() == "remember the milk\n", "the note is written")


@pytest.mark.parametrize("site", [each for each in SITES if each[0] != "django"], ids="-".join, indirect=True)
def test_what_the_lifespan_made_is_seen_by_requests_in_every_worker(site: Site) -> None:
    """Django has no lifespan."""
    workers = set(site.server.workers())
    seen: set[int] = set()
    with contextlib.ExitStack() as held:

        def all_seen() -> bool:
            # Connections stay open, so that the workers that have none yet are the ones to accept next.
            state = json.loads(held.enter_context(site.server.wire()).get("/state").body)
            assert state["greeting"] == "hello from the lifespan"
            seen.add(state["worker"])
            return seen == workers

        eventually(all_seen, "every worker has answered")


def test_static_files_are_served_with_their_type(site: Site) -> None:
    response = site.client.get("/static/hello.txt")
    assert response.content == (EXAMPLES / "static" / "hello.txt").read_bytes()
    assert response.headers["content-type"].startswith("text/plain")
    assert site.client.get("/static/nothing.txt").status_code == 404


def test_head_has_the_headers_of_get_and_no_body(site: Site) -> None:
    full = site.client.get("/static/hello.txt")
    head = site.client.head("/static/hello.txt")
    assert head.content == b""
    assert head.headers.get("content-length", full.headers.get("content-length")) == full.headers.get("content-length")


def test_curl_uploads_and_downloads(site: Site, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("curl is not installed")

    def fetch(*arguments: str) -> bytes:
        command = [curl, "-q", "--noproxy", "*", "--silent", "--show-error", "--fail", "--max-time", "30", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    # More than a megabyte makes curl send "Expect: 100-continue" first.
    (tmp_path / "large.bin").write_bytes(LARGE)
    uploaded = json.loads(fetch("-F", f"file=@{tmp_path / 'large.bin'}", f"{site.server.base_url}/upload"))
    assert uploaded["sha256"] == hashlib.sha256(LARGE).hexdigest()
    urls = [f"{site.server.base_url}/download?megabytes=1"] * 2  # the second on the connection of the first
    assert fetch(*urls) == BLOCK * 32
