"""What ``--preload`` saves: ``python -m tests.benchmarks.preload [APP] [--requests 10000]``.

Four workers with an application of ``tests/benchmarks/applications`` serve some thousand requests, then each makes a full
garbage collection, which is what unshares the pages of processes that did not freeze. The figure is PSS, in which a page
that n processes share counts as 1/n of a page in each, so the figures of processes add up to what the machine has given.
Rules: the interpreter that runs this runs the servers; the mold's own memory is counted, too; the exit code is 1 if the
ratio of the workers is above the promise.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from .machine import pss_kib

APPLICATIONS = Path(__file__).parent / "applications"
WORKERS = 4
PROMISE = 0.45
"""The workers' PSS with ``--preload``, as a part of what they need without it."""
_PATIENCE = 60.0


@dataclass(frozen=True)
class Memory:
    """MiB."""

    workers: float
    """Of all workers together."""
    everything: float
    """With arbiter and mold."""


def main() -> int:
    """Measure both ways and print a line for each."""
    parser = argparse.ArgumentParser(description="What --preload saves.")
    parser.add_argument("app", nargs="?", default="memory:app")
    parser.add_argument("--requests", type=int, default=10_000)
    chosen = parser.parse_args()
    fresh = measure(chosen.app, chosen.requests)
    preload = measure(chosen.app, chosen.requests, "--preload")
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"{chosen.app}, {WORKERS} workers, {chosen.requests} requests and a full collection in each, Python {python}")
    for name, found in (("without", fresh), ("with --preload", preload)):
        print(f"  {name:<15} workers {found.workers:6.1f} MiB PSS, all processes {found.everything:6.1f} MiB")
    ratio, all_of_it = preload.workers / fresh.workers, preload.everything / fresh.everything
    print(f"  ratio           workers {ratio:.2f} (promised: {PROMISE:.2f}), all processes {all_of_it:.2f}")
    return int(ratio > PROMISE)


def measure(app: str, requests: int, *more: str) -> Memory:
    """Start a server, load it, collect, weigh it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = ["-w", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-P", "-m", "asgi_arbiter", *arguments, *more, app]
    server = subprocess.Popen(command, cwd=APPLICATIONS)
    try:
        _wait_until_it_serves(server, port)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: _ask(port, "/", requests // 8), range(8)))
        _collect(port)
        arbiter = psutil.Process(server.pid)
        children = [child.pid for child in arbiter.children(recursive=True)]
        workers = [pid for pid in children if re.search("worker [0-9]+ gen", _title(pid))]
        if len(workers) != WORKERS:
            raise SystemExit(f"{len(workers)} workers instead of {WORKERS}; is setproctitle installed?")
        everything = sum(map(pss_kib, (server.pid, *children)))
        return Memory(sum(map(pss_kib, workers)) / 1024, everything / 1024)
    finally:
        server.terminate()
        server.wait(_PATIENCE)


def _title(pid: int) -> str:
    return " ".join(psutil.Process(pid).cmdline())


def _wait_until_it_serves(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with exit code {server.returncode}")
        titles = [_title(child.pid) for child in psutil.Process(server.pid).children()]
        if sum("worker" in title for title in titles) == WORKERS:
            try:
                _ask(port, "/", 1)
            except OSError:
                pass
            else:
                return
        time.sleep(0.05)
    raise SystemExit("the server does not serve")


def _ask(port: int, path: str, count: int) -> bytes:
    """So many requests on one connection; the last body."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    body = b""
    for _ in range(count):
        client.request("GET", path)
        body = client.getresponse().read()
    client.close()
    return body


def _collect(port: int) -> None:
    """Let every worker collect, found by asking on new connections until all have answered."""
    seen: set[int] = set()
    deadline = time.monotonic() + _PATIENCE
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        while len(seen) < WORKERS and time.monotonic() < deadline:
            bodies = pool.map(lambda _: _ask(port, "/collect", 1), range(32))
            seen |= {json.loads(body)["pid"] for body in bodies}
    if len(seen) < WORKERS:
        raise SystemExit(f"only {len(seen)} of {WORKERS} workers answered")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    raise SystemExit(main())
