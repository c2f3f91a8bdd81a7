"""Nothing fails for a client that never retries: over reloads, over recycling, over the end."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.server_process import ServerProcess, eventually
from tests.load import Load

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
APPS = Path(__file__).parent / "apps"
JSON = ("--log-format", "json", "--bind", "127.0.0.1:0", "--no-access-log")


def test_no_request_fails_over_twenty_reloads_and_the_end(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "3", "--settle-time", "0.05", "--reload-surge", "2", *JSON, cwd=APPS)
    with Load(server.port, each=8, until_refused=True) as load:
        for number in range(1, 21):
            server.signal(signal.SIGHUP)
            server.wait_event("reload_promoted", count=number)
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        load.wait()
    assert load.answered > 100


LIMITS = {
    "max_requests": ("--max-requests", "60", "--max-requests-jitter", "30"),
    "lifetime": ("--max-worker-lifetime", "1", "--max-worker-lifetime-jitter", "0.5"),
    "memory": ("--max-worker-memory", "1M", "--min-worker-lifetime", "1"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_no_request_fails_while_all_workers_are_recycled(serve: Serve, limit: str) -> None:
    server = serve("troubled:app", "-w", "4", *LIMITS[limit], *JSON, cwd=APPS)
    before = set(server.workers())
    most = 0
    with Load(server.port):

        def replaced() -> bool:
            nonlocal most
            ready, leaving = len(server.events("worker_ready")), len(server.events("worker_retired"))
            most = max(most, ready - leaving)
            return leaving >= 8 and not before & set(server.workers())

        eventually(replaced, "all have been replaced, and some of those again")
    assert most <= 5  # recycle_surge is one
    assert {event["reason"] for event in server.events("worker_retired")} == {"limit"}
    assert all(limit in event["limit"] for event in server.events("worker_retiring"))
    order = [e["event"] for line in ("worker_ready", "worker_retired") for e in server.events(line)]
    assert Counter(order)["worker_ready"] > Counter(order)["worker_retired"]


def test_kept_connections_are_spread_over_the_workers(serve: Serve) -> None:
    server = serve("troubled:app", "-w", "4", *JSON, cwd=APPS)

    def are_spread() -> bool:
        wires = server.wires(200)
        counts = Counter(wire.get().body for wire in wires)
        for wire in wires:
            wire.close()
        return len(counts) == 4 and 50 / 1.3 <= min(counts.values()) <= max(counts.values()) <= 1.3 * 50

    # Who has fewer is known by what workers tell of themselves; a machine that is busy elsewhere lets one be late.
    eventually(are_spread, "200 connections are spread within 1.3 of the mean")
