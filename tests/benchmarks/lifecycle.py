"""What load alone does not show: memory, start-up, and a reload while requests come in.

Each measurement has one number per server (smaller is better) and a unit. They run one server at a time, in turn.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import wrk
from .machine import on_cores, pss_kib, rss_kib
from .measure import Bench, say
from .peers import Peer
from .server import Server, StartFailed
from .stats import median_or_none
from .workloads import RAW, WORKLOADS, Setup

__all__ = ["MEASUREMENTS", "Measurement", "NotHere", "run"]

IDLE_CONNECTIONS = 5000
FLEET = Setup("fleet", workers=4)
MEMORY = Setup("memory", app="memory:app", workers=4)
RELOADING = Setup("reloading", workers=2)
RELOAD_LIMIT = 30.0


class NotHere(Exception):
    """This server cannot do what is measured; the message says why."""


@dataclass(frozen=True)
class Measurement:
    """One number per server."""

    name: str
    title: str
    unit: str
    take: Callable[[Bench, Peer], float]
    once: bool = False
    """Whether one round is enough: the figure does not depend on what else the machine does."""


@contextlib.contextmanager
def _idle(server: Server, what: str, count: int, cores: frozenset[int]) -> Iterator[None]:
    program = str(Path(__file__).parent / "websocket_load.py")
    with on_cores(cores):
        client = subprocess.Popen(
            [sys.executable, program, what, str(server.port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with client:
        assert client.stdout and client.stdin and client.stderr
        if client.stdout.readline() != f"open {count}\n":
            raise NotHere(f"the connections did not open: {client.stderr.read().strip().splitlines()[-1]}")
        yield
        client.stdin.close()


def _per_idle_connection(what: str) -> Callable[[Bench, Peer], float]:
    def take(bench: Bench, peer: Peer) -> float:
        with bench.launch(peer, Setup("idle"), idle=True) as server:
            with _idle(server, what, 50, bench.cores.load):
                pass  # what the first connections bring along for good (imports, caches) is not theirs
            time.sleep(0.3)
            workers = server.workers()
            before = sum(map(rss_kib, workers))
            with _idle(server, what, IDLE_CONNECTIONS, bench.cores.load):
                time.sleep(0.3)
                return (sum(map(rss_kib, workers)) - before) / IDLE_CONNECTIONS

    return take


def _worker_memory(bench: Bench, peer: Peer) -> float:
    """RSS of the worker after a thousand requests, in MiB."""
    with bench.launch(peer, RAW) as server:
        client = server.client()
        for _ in range(1000):
            client.request("GET", "/")
            client.getresponse().read()
        return max(map(rss_kib, server.workers())) / 1024


def _fleet_memory(preload: bool) -> Callable[[Bench, Peer], float]:
    def take(bench: Bench, peer: Peer) -> float:
        if preload and not peer.preloads:
            raise NotHere("has no --preload")
        with bench.launch(peer, MEMORY, preload=preload) as server:
            if preload and "--preload: has no effect" in server.log.read_text(errors="replace"):
                raise NotHere("says that --preload has no effect yet")
            wrk.run(WORKLOADS["hello"].command(server.port, 2), bench.cores.shared)
            pids = _collect_everywhere(server, MEMORY.workers)
            return sum(map(pss_kib, pids)) / len(pids) / 1024

    return take


def _collect_everywhere(server: Server, count: int) -> set[int]:
    """Has every worker run a full garbage collection; the pids that did."""
    seen: set[int] = set()
    end = time.monotonic() + 60

    def ask(_: int) -> int:
        client = server.client()
        client.request("GET", "/collect")
        pid: int = json.loads(client.getresponse().read())["pid"]
        return pid

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        while len(seen) < count and time.monotonic() < end:
            with contextlib.suppress(OSError):
                seen.update(pool.map(ask, range(32)))
    if len(seen) < count:
        raise NotHere(f"only {len(seen)} of {count} workers answered")
    return seen


def _cold_start(bench: Bench, peer: Peer) -> float:
    """Seconds from the start of the process to the first complete answer."""
    server = bench.launch(peer, RAW)
    try:
        return server.wait_for_answer()
    finally:
        server.stop()


def _hang_up(server: Server, count: int) -> float:
    """Sends SIGHUP and waits for ``count`` new workers; seconds until the last of them had started."""
    old = set(server.ready_workers())
    if not old:
        raise NotHere("runs no lifespan in its workers")
    asked = time.monotonic()
    os.kill(server.pid, signal.SIGHUP)
    while time.monotonic() - asked < RELOAD_LIMIT:
        if server.process.poll() is not None:
            raise NotHere("SIGHUP ends it")
        new = [when for pid, when in server.ready_workers().items() if pid not in old]
        if len(new) >= count:
            return max(sorted(new)[:count]) - asked
        time.sleep(0.02)
    raise NotHere(f"SIGHUP brought fewer than {count} new workers in {RELOAD_LIMIT:.0f} s")


def _wait_for_fleet(server: Server, count: int) -> None:
    end = time.monotonic() + 15
    while len(server.ready_workers()) < count and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(1.5)  # let a server with a settling time settle


def _reload_time(bench: Bench, peer: Peer) -> float:
    if not peer.reloads:
        raise NotHere("has no reload by SIGHUP")
    with bench.launch(peer, FLEET) as server:
        _wait_for_fleet(server, FLEET.workers)
        return _hang_up(server, FLEET.workers)


def _reload_under_load(bench: Bench, peer: Peer) -> wrk.Figures:
    """Six seconds of requests on 16 connections, with a SIGHUP after the first one."""
    if not peer.reloads:
        raise NotHere("has no reload by SIGHUP")
    with bench.launch(peer, RELOADING) as server:
        _wait_for_fleet(server, RELOADING.workers)
        url = f"http://127.0.0.1:{server.port}/"
        load = wrk.start(wrk.command(url, connections=16, seconds=6), bench.cores.shared)
        try:
            time.sleep(1)
            _hang_up(server, RELOADING.workers)
        finally:
            output, _ = load.communicate()
        return wrk.figures(output)


def _reload_p99(bench: Bench, peer: Peer) -> float:
    found = _reload_under_load(bench, peer)
    bench.losses.setdefault(peer.name, []).append(found.errors + found.statuses)
    return found.p99_ms


def _reload_losses(bench: Bench, peer: Peer) -> float:
    """Connections that the client saw break and error answers; of the runs for ``reload-p99`` where those were made."""
    kept = bench.losses.get(peer.name)
    if kept:
        return float(kept.pop(0))
    found = _reload_under_load(bench, peer)
    return float(found.errors + found.statuses)


MEASUREMENTS: dict[str, Measurement] = {
    measurement.name: measurement
    for measurement in (
        Measurement("idle-http", "idle HTTP connection, of 5,000", "KiB", _per_idle_connection("idle-http"), once=True),
        Measurement(
            "idle-websocket", "idle WebSocket, of 5,000", "KiB", _per_idle_connection("idle-websocket"), once=True
        ),
        Measurement("worker-memory", "RSS of the worker after 1,000 requests", "MiB", _worker_memory, once=True),
        Measurement("fleet-fresh", "PSS of each of 4 FastAPI workers", "MiB", _fleet_memory(False), once=True),
        Measurement("fleet-preload", "the same with --preload", "MiB", _fleet_memory(True), once=True),
        Measurement("cold-start", "cold start to the first answer", "s", _cold_start),
        Measurement("reload-time", "SIGHUP to the last of 4 new workers", "s", _reload_time),
        Measurement("reload-p99", "p99 during a reload, 2 workers", "ms", _reload_p99),
        Measurement("reload-losses", "connections broken in a reload, of 16", "", _reload_losses),
    )
}


def run(bench: Bench, measurements: Sequence[Measurement]) -> dict[str, dict[str, list[float]]]:
    """Every value of every server, by measurement."""
    results: dict[str, dict[str, list[float]]] = {}
    for measurement in measurements:
        say(f"measuring: {measurement.title}")
        values: dict[str, list[float]] = {}
        for _ in range(1 if measurement.once else bench.repeat):
            for peer in bench.peers:
                if peer.name in bench.skipped.get(measurement.name, {}):
                    continue
                try:
                    values.setdefault(peer.name, []).append(measurement.take(bench, peer))
                except (NotHere, StartFailed, wrk.LoadFailed, OSError) as error:
                    bench.skip(measurement.name, peer, str(error))
        results[measurement.name] = values
        shown = {name: f"{median_or_none(found):.2f}" for name, found in values.items() if found}
        say(f"  {measurement.unit}: {shown}")
    return results
