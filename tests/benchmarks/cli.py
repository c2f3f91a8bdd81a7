"""The command line: ``python -m tests.benchmarks``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import lifecycle, machine, measure, report, svg, wrk
from .environment import ROOT, EnvironmentFailed, prepare
from .peers import OURS, PEERS, REFERENCE
from .stats import median_or_none
from .workloads import WORKLOADS

__all__ = ["chosen", "main", "parser"]

CACHE = ROOT / ".benchmarks"


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measures asgi-arbiter against its peers. See tests/benchmarks/README.md.",
    )
    everything = [*WORKLOADS, *lifecycle.MEASUREMENTS]
    options.add_argument("--servers", default="all", help=f"comma-separated, of: {', '.join(PEERS)}")
    options.add_argument(
        "--workloads",
        default="all",
        help=f"comma-separated, of: {', '.join(everything)}; or 'load' or 'lifecycle' for one half of them",
    )
    options.add_argument("--repeat", type=int, default=5, help="rounds of each workload (default 5)")
    options.add_argument("--seconds", type=float, default=2.0, help="length of one run in whole seconds (default 2)")
    options.add_argument("--python", default=sys.executable, help="the interpreter to measure with")
    options.add_argument(
        "--cache", type=Path, default=CACHE, help="where environments and results go (default .benchmarks)"
    )
    options.add_argument("--output", type=Path, help="directory of the results (default: one per run in the cache)")
    options.add_argument("--list", action="store_true", help="list servers and workloads, and stop")
    return options


def chosen(text: str, names: Sequence[str], groups: dict[str, Sequence[str]] | None = None) -> list[str]:
    """The names in a comma-separated text, in the order of the table. Raises ValueError with the unknown one."""
    wanted: set[str] = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word == "all":
            wanted.update(names)
        elif groups and word in groups:
            wanted.update(groups[word])
        elif word in names:
            wanted.add(word)
        else:
            raise ValueError(f"{word!r} is none of: {', '.join(names)}")
    return [name for name in names if name in wanted]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 0 when done, 2 when something is missing."""
    options = parser()
    given = options.parse_args(arguments)
    if given.list:
        _list()
        return 0
    everything = [*WORKLOADS, *lifecycle.MEASUREMENTS]
    groups: dict[str, Sequence[str]] = {"load": list(WORKLOADS), "lifecycle": list(lifecycle.MEASUREMENTS)}
    try:
        servers = chosen(given.servers, list(PEERS))
        names = chosen(given.workloads, everything, groups)
    except ValueError as error:
        options.error(str(error))
    try:
        wrk.require()
        return _run(given, servers, names)
    except (wrk.LoadFailed, EnvironmentFailed) as error:
        print(error, file=sys.stderr)
        return 2


def _run(given: argparse.Namespace, servers: list[str], names: list[str]) -> int:
    cache: Path = given.cache.resolve()
    peers = [PEERS[name] for name in servers]
    environment = prepare(given.python, cache, peers)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    output: Path = given.output or cache / "results" / f"{stamp}-{environment.version}"
    logs = output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    bench = measure.Bench(
        environment=environment,
        peers=peers,
        cores=machine.choose_cores(os.sched_getaffinity(0)),
        repeat=given.repeat,
        seconds=given.seconds,
        logs=logs,
        certificate=_certificate(cache),
    )
    facts = _facts(bench, servers, stamp)
    load = [WORKLOADS[name] for name in names if name in WORKLOADS]
    samples, honesty = measure.measure(bench, load)
    life = lifecycle.run(bench, [lifecycle.MEASUREMENTS[name] for name in names if name in lifecycle.MEASUREMENTS])
    found = report.document(facts, _workload_entries(samples), _lifecycle_entries(life), honesty, bench.skipped)
    _write(output, found)
    return 0


def _facts(bench: measure.Bench, servers: list[str], stamp: str) -> dict[str, Any]:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "date": stamp,
        "revision": done.stdout.strip(),
        "python": bench.environment.version,
        "interpreter": bench.environment.interpreter,
        "machine": machine.describe(),
        "servers": servers,
        "versions": bench.environment.installed(),
        "repeat": bench.repeat,
        "seconds": bench.seconds,
    }


def _workload_entries(samples: dict[str, measure.Rounds]) -> dict[str, Any]:
    return {
        name: {
            "title": WORKLOADS[name].title,
            "summary": measure.summary(rounds),
            "rounds": {server: [one and asdict(one) for one in found] for server, found in rounds.items()},
        }
        for name, rounds in samples.items()
    }


def _lifecycle_entries(life: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    return {
        name: {
            "title": lifecycle.MEASUREMENTS[name].title,
            "unit": lifecycle.MEASUREMENTS[name].unit,
            "median": {server: median_or_none(found) for server, found in values.items()},
            "rounds": values,
        }
        for name, values in life.items()
    }


def _write(output: Path, found: dict[str, Any]) -> None:
    table = report.text(found)
    (output / "results.json").write_text(json.dumps(found, indent=1))
    (output / "results.txt").write_text(table)
    groups = {
        entry["title"]: {server: figures["ratio"] for server, figures in entry["summary"].items()}
        for entry in found["workloads"].values()
    }
    if groups:
        title = f"Requests per CPU second, {REFERENCE} = 1 (Python {found['python']}; longer is better)"
        (output / "results.svg").write_text(svg.chart(title, groups, found["servers"], OURS))
    print(table)
    print(f"written to {output}", file=sys.stderr)


def _certificate(cache: Path) -> Path:
    """A self-signed certificate with its key in one file. Raises EnvironmentFailed without openssl."""
    path = cache / "certificate.pem"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += [
            "-days",
            "3650",
            "-subj",
            "/CN=localhost",
            "-keyout",
            str(path) + ".key",
            "-out",
            str(path) + ".crt",
        ]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EnvironmentFailed(f"no certificate for the TLS workload: {error}") from None
        parts = [Path(str(path) + suffix).read_bytes() for suffix in (".key", ".crt")]
        path.write_bytes(b"".join(parts))
    return path


def _list() -> None:
    print("servers:")
    for peer in PEERS.values():
        print(f"  {peer.name:17} {' '.join(peer.requirements)} {peer.note}".rstrip())
    print("workloads under load:")
    for workload in WORKLOADS.values():
        print(f"  {workload.name:17} {workload.title}")
    print("memory, start and reload:")
    for measurement in lifecycle.MEASUREMENTS.values():
        print(f"  {measurement.name:17} {measurement.title}")
