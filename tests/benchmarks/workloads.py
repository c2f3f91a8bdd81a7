"""The table of workloads that are measured under load: CPU per request, requests per second, p50 and p99."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from . import wrk

__all__ = ["BROWSER_HEADERS", "WORKLOADS", "Setup", "Workload"]

BROWSER_HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://www.example.com/path/to/the/page?with=a&query=string",
    "Cookie: session=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08; theme=dark; consent=yes",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Connection: keep-alive",
)
"""With Host, which every client sends, twelve."""


@dataclass(frozen=True)
class Setup:
    """Servers started alike: workloads of one setup run against the same processes."""

    name: str
    app: str = "raw:app"
    workers: int = 1
    tls: bool = False


RAW = Setup("raw")
TLS = Setup("tls", tls=True)
FASTAPI = Setup("fastapi", app="fastapi_hello:app")
TWO = Setup("two", workers=2)


@dataclass(frozen=True)
class Workload:
    """One kind of load."""

    name: str
    title: str
    setup: Setup = RAW
    path: str = "/"
    connections: int = 64
    method: str = "GET"
    body_bytes: int = 0
    depth: int = 1
    headers: tuple[str, ...] = ()
    websocket: bool = False

    def command(self, port: int, seconds: float) -> list[str]:
        """The load generator's command line."""
        if self.websocket:
            program = str(Path(__file__).parent / "websocket_load.py")
            return [sys.executable, program, "echo", str(port), str(self.connections), str(seconds)]
        return wrk.command(
            f"{'https' if self.setup.tls else 'http'}://127.0.0.1:{port}{self.path}",
            connections=self.connections,
            seconds=seconds,
            method=self.method,
            body_bytes=self.body_bytes,
            depth=self.depth,
            headers=self.headers,
        )


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("hello", "hello, 64 connections"),
        Workload("headers", "hello, 12 browser headers", headers=BROWSER_HEADERS),
        Workload("distinct", "the same, none comes twice", headers=(*BROWSER_HEADERS, "X-Request-Id: {number}")),
        Workload("suspend", "hello after a suspension", path="/suspend"),
        Workload("post", "POST echo 1 KB", path="/echo", method="POST", body_bytes=1024),
        Workload("upload", "upload 1 MB", path="/sink", method="POST", body_bytes=1_000_000, connections=8),
        Workload("large", "64 KB response", path="/large"),
        Workload("stream", "10 MB stream in 64 KB pieces", path="/stream", connections=4),
        Workload("pipelined", "pipelined x16", depth=16),
        Workload("close", "connection per request", headers=("Connection: close",)),
        Workload("websocket", "WebSocket echo 64 B, 32 connections", connections=32, websocket=True),
        Workload("tls", "TLS hello", setup=TLS),
        Workload("fastapi", "FastAPI hello", setup=FASTAPI),
        Workload("two-workers", "hello, 2 workers", setup=TWO),
    )
}
