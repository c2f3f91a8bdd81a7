"""``python -m tests.benchmarks.callgrind``: user instructions per request, the guard against slow creep.

The count does not depend on what else the machine does (it repeats within half a percent), but leaves the kernel out.
Each server runs one worker under valgrind's callgrind; after 600 requests of warm-up over 16 connections the counting
is switched on for 600 more. The figures of each release are kept in ``instructions.json`` beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cli import CACHE, chosen
from .environment import Environment, EnvironmentFailed, prepare
from .functions import annotate
from .machine import choose_cores
from .peers import OURS, PEERS, REFERENCE, Launch, Peer, arbiter
from .server import Server, StartFailed, free_port
from .websocket_load import HANDSHAKE, PAYLOAD, client_frame
from .workloads import BROWSER_HEADERS

__all__ = ["compare", "main", "record", "request_bytes", "total"]

KEPT = Path(__file__).parent / "instructions.json"
CONNECTIONS = 16
REQUESTS = 600
TOLERANCE = 1.05
FUNCTIONS = 30
HELLO = b"Hello, world!\n"
BODY = b"x" * 1024
HOW_TO_GET_IT = "The instruction count needs valgrind on the PATH (Debian, Ubuntu: apt-get install valgrind)."

NUMBER = "000000000000"
"""Becomes the number of the request."""

Counts = dict[str, dict[str, int]]


def request_bytes(line: str, headers: Sequence[str] = (), body: bytes = b"") -> bytes:
    """A request with these header lines after Host."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join((line, "Host: 127.0.0.1:8000", *headers, *length, "", "")).encode() + body


WORKLOADS = {
    "hello": (request_bytes("GET / HTTP/1.1"), HELLO),
    "headers": (request_bytes("GET / HTTP/1.1", BROWSER_HEADERS), HELLO),
    "distinct": (request_bytes("GET / HTTP/1.1", (*BROWSER_HEADERS, f"X-Request-Id: {NUMBER}")), HELLO),
    "strange": (request_bytes("GET / HTTP/1.1", [f"{header} {NUMBER}" for header in BROWSER_HEADERS[:-1]]), HELLO),
    "post": (request_bytes("POST /echo HTTP/1.1", body=BODY), BODY),
    "websocket": (client_frame(PAYLOAD), PAYLOAD),
}
"""What is sent, and how the answer ends. No two requests of ``distinct`` are the same, they differ in one header; those
of ``strange`` in ten of eleven, so that nothing can be remembered. Those of ``websocket`` are messages."""

OPENINGS = {"websocket": HANDSHAKE}
"""What is sent first on each connection of a workload, and answered with a head alone. These connections are opened
before the counting, as they stay for long; those of other workloads are part of what is counted."""


def total(text: str) -> int:
    """The instruction count of a callgrind dump. Raises ValueError where it has none."""
    found = re.search(r"^totals: (\d+)", text, re.MULTILINE)
    if found is None:
        raise ValueError("the dump has no total")
    return int(found[1])


def record(kept: list[dict[str, Any]], release: str, python: str, counts: Counts) -> list[dict[str, Any]]:
    """The kept figures with those of this release and Python added or replaced."""
    others = [entry for entry in kept if (entry["release"], entry["python"]) != (release, python)]
    return [*others, {"release": release, "python": python, "instructions": counts}]


def compare(kept: Sequence[dict[str, Any]], python: str, counts: Counts) -> list[str]:
    """Complaints where asgi-arbiter needs over 5 % more than in the newest kept release on the same Python."""
    before = next((entry["instructions"] for entry in reversed(kept) if entry["python"] == python), {})
    return [
        f"{workload}: {count:,} instructions per request, {before[OURS][workload]:,} in the last release"
        for workload, count in counts.get(OURS, {}).items()
        if workload in before.get(OURS, {}) and count > before[OURS][workload] * TOLERANCE
    ]


_numbers = itertools.count(1)


def _open(server: Server, opening: bytes = b"") -> list[socket.socket]:
    connections = [server.connect(60) for _ in range(CONNECTIONS)]
    if opening:
        for connection in connections:
            connection.sendall(opening)
            _read(connection, b"\r\n\r\n")
    return connections


def _read(connection: socket.socket, end: bytes) -> None:
    answer = b""
    while not answer.endswith(end):
        part = connection.recv(4096)
        if not part:
            raise StartFailed(f"closed after {answer!r}")
        answer += part


def _drive(connections: list[socket.socket], request: bytes, end: bytes) -> None:
    """600 requests: each round sends on all connections before it reads any answer."""
    left = REQUESTS
    while left:
        batch = connections[: min(left, CONNECTIONS)]
        for connection in batch:
            number = f"{next(_numbers):012}"
            connection.sendall(request.replace(NUMBER.encode(), number.encode()))
        for connection in batch:
            _read(connection, end)
        left -= len(batch)


def _control(*arguments: str) -> None:
    subprocess.run(["callgrind_control", *arguments], check=True, capture_output=True)


def count(
    environment: Environment, peer: Peer, folder: Path, workloads: Sequence[str], *, functions: bool = False
) -> dict[str, int]:
    """Instructions per request of each workload; with ``functions`` it prints the dearest. Raises StartFailed."""
    prefix = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes"]
    prefix += [f"--callgrind-out-file={folder}/{peer.name}.%p"]
    variables = {"PYTHONPERFSUPPORT": "1"} if functions else {}
    peer = dataclasses.replace(peer, environment={**peer.environment, **variables})
    cores = choose_cores(os.sched_getaffinity(0)).shared
    log = folder / f"{peer.name}.log"
    found: dict[str, int] = {}
    launch = Launch("raw:app", free_port())
    with Server(peer, launch, environment, cores, log, prefix=prefix, limit=180) as server:
        worker = max(server.workers())
        for name in workloads:
            request, end = WORKLOADS[name]
            open_already = _open(server, OPENINGS[name]) if name in OPENINGS else []
            _drive(open_already or _open(server), request, end)
            before = set(folder.glob(f"{peer.name}.*"))
            _control("-z", str(worker))
            _control("-i", "on", str(worker))
            _drive(open_already or _open(server), request, end)
            _control("-i", "off", str(worker))
            _control("-d", name, str(worker))
            dumps = [path for path in set(folder.glob(f"{peer.name}.*")) - before if path.stat().st_size]
            dump = max(dumps, key=lambda path: total(path.read_text(errors="replace")))
            found[name] = total(dump.read_text(errors="replace")) // REQUESTS
            if functions:
                print(f"\n{peer.name}, {name}: instructions per request by function, with what it calls")
                for function, amount in list(annotate(dump, worker).items())[:FUNCTIONS]:
                    print(f"{amount // REQUESTS:>9,}  {function}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Counts, prints, and keeps or compares; 0 when all is well, 1 when it got slower, 2 when something is missing."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.callgrind", description=__doc__)
    options.add_argument("--servers", default=f"{REFERENCE},{OURS}", help=f"comma-separated, of: {', '.join(PEERS)}")
    options.add_argument("--python", default=sys.executable, help="the interpreter to measure with")
    options.add_argument("--cache", type=Path, default=CACHE, help="where the environments are (default .benchmarks)")
    options.add_argument("--workloads", default=",".join(WORKLOADS), help="comma-separated (default: all)")
    options.add_argument("--http", default="httptools", help="the parser that asgi-arbiter is started with")
    options.add_argument("--record", metavar="RELEASE", help="keep the figures in instructions.json under this name")
    options.add_argument("--check", action="store_true", help="fail where it is 5 %% above the last kept release")
    options.add_argument("--functions", action="store_true", help="show where they go, per Python function (3.12+)")
    options.add_argument("--keep", type=Path, help="leave callgrind's files here, for callgrind_annotate")
    given = options.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print(HOW_TO_GET_IT, file=sys.stderr)
        return 2
    try:
        names = chosen(given.servers, list(PEERS))
        workloads = chosen(given.workloads, list(WORKLOADS))
        environment = prepare(given.python, given.cache.resolve(), [PEERS[name] for name in names])
    except (EnvironmentFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        peers = PEERS | {OURS: dataclasses.replace(PEERS[OURS], command=arbiter(given.http))}
        counts = {name: count(environment, peers[name], folder, workloads, functions=given.functions) for name in names}
    for name, found in counts.items():
        print(f"{name:17} " + "  ".join(f"{workload} {number:,}" for workload, number in found.items()))
    kept: list[dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.exists() else []
    if given.record:
        KEPT.write_text(json.dumps(record(kept, given.record, environment.version, counts), indent=1) + "\n")
    complaints = compare(kept, environment.version, counts) if given.check else []
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
