"""Runs wrk, the load generator for HTTP, and reads its figures back."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .machine import on_cores

__all__ = ["Figures", "LoadFailed", "figures", "require", "run", "start"]

SCRIPT = Path(__file__).parent / "wrk.lua"
HOW_TO_GET_IT = (
    "The benchmark needs wrk (https://github.com/wg/wrk) on the PATH.\n"
    "  Debian, Ubuntu:  apt-get install wrk\n"
    "  Fedora:          dnf install wrk\n"
    "  Alpine:          apk add wrk\n"
    "  from source:     git clone https://github.com/wg/wrk && make -C wrk"
)
LINE = re.compile(r"^figures (.+)$", re.MULTILINE)


class LoadFailed(Exception):
    """The load generator is missing or gave no figures."""


@dataclass(frozen=True)
class Figures:
    """What a load generator says about one run."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    """Connections that failed or timed out."""
    statuses: int
    """Answers other than 2xx and 3xx."""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def require() -> None:
    """Raises LoadFailed with the way to get wrk where it is missing."""
    if shutil.which("wrk") is None:
        raise LoadFailed(HOW_TO_GET_IT)


def figures(text: str) -> Figures:
    """Reads the line of figures that wrk.lua and websocket_load.py print last. Raises LoadFailed without one."""
    found = LINE.search(text)
    if found is None:
        raise LoadFailed(f"no figures in: {text.strip()[-500:] or '(nothing)'}")
    values = dict(pair.split("=", 1) for pair in found[1].split())
    try:
        return Figures(
            requests=int(values["requests"]),
            seconds=float(values["seconds"]),
            p50_ms=int(values["p50_us"]) / 1000,
            p99_ms=int(values["p99_us"]) / 1000,
            max_ms=int(values["max_us"]) / 1000,
            errors=int(values["errors"]),
            statuses=int(values["statuses"]),
        )
    except (KeyError, ValueError) as error:
        raise LoadFailed(f"cannot read {found[0]!r}: {error}") from None


def command(
    url: str,
    *,
    connections: int,
    seconds: float,
    method: str = "GET",
    body_bytes: int = 0,
    depth: int = 1,
    headers: tuple[str, ...] = (),
) -> list[str]:
    """The command line: one thread, since the load has one core."""
    fields = [part for header in headers for part in ("-H", header)]
    base = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--timeout", "10s", *fields]
    return [*base, "-s", str(SCRIPT), url, "--", method, str(body_bytes), str(depth)]


def start(arguments: list[str], cores: frozenset[int]) -> subprocess.Popen[str]:
    """Starts a load generator on its core; ``finish`` reads it."""
    with on_cores(cores):
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(arguments: list[str], cores: frozenset[int]) -> Figures:
    """Runs a load generator to its end. Raises LoadFailed."""
    output, _ = start(arguments, cores).communicate()
    return figures(output)
