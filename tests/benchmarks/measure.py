"""Measures workloads interleaved: every server of a setup is up, and each round asks all of them in turn (A B C A B C).

The main figure is the CPU time of the server's whole process family per answered request. On a machine with noisy
neighbours it still varies, so only the ratio of two servers within one round means something.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import wrk
from .environment import Environment
from .honesty import examine
from .machine import Cores
from .peers import REFERENCE, Launch, Peer
from .server import Server, StartFailed, free_port
from .stats import median_or_none, paired_ratio, spread
from .workloads import RAW, Setup, Workload

__all__ = ["Bench", "Sample", "measure", "summary"]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Bench:
    """Everything that a measurement needs to know."""

    environment: Environment
    peers: Sequence[Peer]
    cores: Cores
    repeat: int
    seconds: float
    logs: Path
    certificate: Path
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    """Workload, server and the reason why there is no figure."""

    losses: dict[str, list[int]] = field(default_factory=dict)
    """By server: what each reload under load broke, kept from one measurement for the next."""

    def skip(self, workload: str, peer: Peer, reason: str) -> None:
        """Remembers why a cell of the table is empty."""
        say(f"  {workload}, {peer.name}: skipped: {reason.splitlines()[0] if reason else ''}")
        self.skipped.setdefault(workload, {})[peer.name] = reason

    def launch(self, peer: Peer, setup: Setup, **more: Any) -> Server:
        """Starts one server of a setup on its cores."""
        launch = Launch(
            setup.app, free_port(), setup.workers, certificate=self.certificate if setup.tls else None, **more
        )
        cores = self.cores.server if setup.workers == 1 else self.cores.shared
        log = self.logs / f"{setup.name}-{peer.name}.log"
        return Server(peer, launch, self.environment, cores, log)


@dataclass(frozen=True)
class Sample:
    """One server, one workload, one round."""

    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    errors: int


Rounds = dict[str, list[Sample | None]]


def measure(bench: Bench, workloads: Sequence[Workload]) -> tuple[dict[str, Rounds], dict[str, dict[str, str | None]]]:
    """Samples by workload and server, and the honesty of each server."""
    results: dict[str, Rounds] = {}
    honesty: dict[str, dict[str, str | None]] = {}
    setups = list(dict.fromkeys(workload.setup for workload in workloads))
    for setup in setups:
        chosen = [workload for workload in workloads if workload.setup == setup]
        with contextlib.ExitStack() as stack:
            servers = _start_all(bench, setup, chosen, stack)
            if setup == RAW:
                honesty = _examine_all(servers)
            for workload in chosen:
                results[workload.name] = _rounds(bench, workload, servers)
    return results, honesty


def _start_all(
    bench: Bench, setup: Setup, workloads: Sequence[Workload], stack: contextlib.ExitStack
) -> list[tuple[Peer, Server]]:
    say(f"starting {len(bench.peers)} servers: {setup.name}")
    servers = []
    for peer in bench.peers:
        try:
            servers.append((peer, stack.enter_context(bench.launch(peer, setup))))
        except StartFailed as error:
            for workload in workloads:
                bench.skip(workload.name, peer, str(error))
    return servers


def _examine_all(servers: Sequence[tuple[Peer, Server]]) -> dict[str, dict[str, str | None]]:
    verdicts = {}
    for peer, server in servers:
        verdicts[peer.name] = dict(examine(server))
        complaints = [f"{name}: {text}" for name, text in verdicts[peer.name].items() if text]
        say(f"  honesty of {peer.name}: {'; '.join(complaints) or 'does all the work'}")
    return verdicts


def _rounds(bench: Bench, workload: Workload, servers: Sequence[tuple[Peer, Server]]) -> Rounds:
    say(f"measuring: {workload.title}")
    rounds: Rounds = {peer.name: [] for peer, _ in servers}
    for number in range(-1, bench.repeat):
        for peer, server in servers:
            # The first round warms the interpreters' caches and counts for nothing.
            sample = _sample(bench, workload, server, bench.seconds if number >= 0 else min(1.0, bench.seconds))
            if number >= 0:
                rounds[peer.name].append(sample if isinstance(sample, Sample) else None)
            if isinstance(sample, str):
                bench.skip(workload.name, peer, sample)
    return rounds


def _sample(bench: Bench, workload: Workload, server: Server, seconds: float) -> Sample | str:
    cores = bench.cores.load if workload.setup.workers == 1 else bench.cores.shared
    before = server.cpu()
    try:
        found = wrk.run(workload.command(server.port, seconds), cores)
    except wrk.LoadFailed as error:
        return str(error)
    used = server.cpu() - before
    if found.requests == 0 or found.statuses > found.requests // 100:
        return f"{found.requests} answers, {found.statuses} of them errors, {found.errors} broken connections"
    return Sample(
        cpu_us=used / found.requests * 1e6,
        per_second=found.per_second,
        p50_ms=found.p50_ms,
        p99_ms=found.p99_ms,
        requests=found.requests,
        errors=found.errors,
    )


def summary(rounds: Rounds) -> dict[str, dict[str, float | None]]:
    """Medians of every server for one workload, with the paired ratio to the reference."""
    reference = [sample and sample.cpu_us for sample in rounds.get(REFERENCE, [])]
    table: dict[str, dict[str, float | None]] = {}
    for name, samples in rounds.items():
        good = [sample for sample in samples if sample is not None]

        def middle(of: Callable[[Sample], float], good: list[Sample] = good) -> float | None:
            return median_or_none([of(sample) for sample in good]) or None  # wrk gives 0 for what it did not see

        table[name] = {
            "cpu_us": middle(lambda sample: sample.cpu_us),
            "ratio": paired_ratio(reference, [sample and sample.cpu_us for sample in samples]),
            "per_second": middle(lambda sample: sample.per_second),
            "p50_ms": middle(lambda sample: sample.p50_ms),
            "p99_ms": middle(lambda sample: sample.p99_ms),
            "spread": spread([sample.cpu_us for sample in good]),
            "errors": float(sum(sample.errors for sample in good)),
        }
    return table
