"""What it costs to be polite: a connection for each request over several workers, our accept against the loop's own.

``python -m tests.benchmarks.accept [--workers 4] [--seconds 3] [--rounds 7]``

Both run side by side for the whole time and are loaded in turn, so that whatever else the machine does falls on both;
the figure is the median of the rounds' quotients. Fairness has its price only where connections live, so the two
should be equal here: at least 0.9 is wanted. The spread of 200 kept connections is shown as well.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.integration.server_process import ServerProcess

from . import wrk

APPLICATIONS = Path(__file__).parent / "applications"
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
CONNECTIONS = 64
KEPT = 200


def _serve(app: str, workers: int) -> ServerProcess:
    options = ("-w", str(workers), "--no-access-log", "--bind", "127.0.0.1:0", "--loop", "uvloop")
    return ServerProcess(f"{app}:app", *options, cwd=APPLICATIONS)


def _rate(port: int, seconds: int) -> float:
    command = [
        "wrk",
        "-t2",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "-H",
        "Connection: close",
        f"http://127.0.0.1:{port}/",
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = RATE.search(text)
    if found is None:
        raise wrk.LoadFailed(text)
    return float(found[1])


def _spread(server: ServerProcess) -> float:
    """The fullest worker's share of kept connections, in shares of the mean."""
    import psutil

    wires = server.wires(KEPT)
    for each in wires:
        each.get()
    counts: Counter[int] = Counter()
    for pid in server.workers():
        connections = psutil.Process(pid).net_connections(kind="tcp")
        counts[pid] = sum(c.status == psutil.CONN_ESTABLISHED for c in connections)
    for each in wires:
        each.close()
    return max(counts.values()) / (KEPT / len(counts))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args(arguments)
    wrk.require()
    quotients: list[float] = []
    with _serve("polite_accept", given.workers) as polite, _serve("native_accept", given.workers) as native:
        spread = _spread(polite), _spread(native)
        ports = polite.port, native.port
        for port in ports:
            _rate(port, 1)
        for number in range(given.rounds):
            order = ports if number % 2 else ports[::-1]
            rates = {port: _rate(port, given.seconds) for port in order}
            quotients.append(rates[ports[0]] / rates[ports[1]])
            print(f"polite {rates[ports[0]]:8.0f}/s   native {rates[ports[1]]:8.0f}/s   {quotients[-1]:.3f}")
    print(
        f"connection per request, {given.workers} workers: median {statistics.median(quotients):.3f} of native accept"
    )
    print(f"{KEPT} kept connections: fullest worker {spread[0]:.2f} of the mean (native accept: {spread[1]:.2f})")


if __name__ == "__main__":
    main()
