"""Runs the Autobahn fuzzing client against both WebSocket implementations and judges its report.

    python -m tests.conformance.autobahn.run            # all but the long cases (limits and compression), half a minute
    python -m tests.conformance.autobahn.run --all      # everything, some 20 minutes; writes RESULTS.md beside this file
    python -m tests.conformance.autobahn.run --cases 6.4.*

The client (``autobahntestsuite`` on PyPI) is a program for Python 2.7. That interpreter is taken from the environment
variable ``PYTHON27`` or found as ``python2.7`` on the path; without one there is nothing to run, and the script says so
and leaves with code 77. The client is installed with that interpreter's pip into ``.autobahn/`` once.

Everything must be OK, strictly, but for the cases in ``EXPECTED``. The exit code is 1 if anything is not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".autobahn"
SHORT = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.1", "12.1.2", "13.1.1", "13.2.1", "13.7.1"]
SKIPPED = 77
EXPECTED: dict[str, str] = {
    "7.1.6": "informational by design: whether a close overtakes a large message that is under way",
    "7.13.1": "informational by design: close code 5000, which no specification judges",
    "7.13.2": "informational by design: close code 65536, which does not fit",
}
START = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"

Report = dict[str, dict[str, dict[str, Any]]]


class Missing(Exception):
    """The fuzzing client cannot be run here; the message says why."""


def find_client() -> list[str]:
    """The command that runs ``wstest``. Raises ``Missing``."""
    python = os.environ.get("PYTHON27") or shutil.which("python2.7")
    if python is None:
        raise Missing("the Autobahn test suite needs Python 2.7: none on the path, and PYTHON27 is not set")
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        raise Missing(f"the Autobahn test suite needs Python 2.7: {python} does not start")
    where = TOOLS / "site"
    if not (where / "autobahntestsuite").is_dir():
        command = [python, "-m", "pip", "install", "--quiet", "--target", str(where), "autobahntestsuite"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise Missing(f"the Autobahn test suite could not be installed with {python}: {lines[-1]}")
    return [python, "-c", START, str(where)]


def fuzz(client: list[str], cases: list[str], *, loop: str) -> Report:
    """Runs the cases against both implementations, each on a port of loopback."""
    command = [sys.executable, "-m", "tests.conformance.autobahn.echo_server", loop]
    found = {**os.environ, "PYTHONPATH": str(ROOT)}  # PYTHONSAFEPATH may be set
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=found, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            ports = dict(server.stdout.readline().split() for _ in range(2))
            return _fuzz(client, cases, ports)
        finally:
            server.stdin.close()


def _fuzz(client: list[str], cases: list[str], ports: dict[str, str]) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        spec = {
            "options": {"failByDrop": False},
            "outdir": folder,
            "servers": [{"agent": name, "url": f"ws://127.0.0.1:{port}"} for name, port in ports.items()],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        file = Path(folder, "fuzzingclient.json")
        file.write_text(json.dumps(spec))
        subprocess.run([*client, "-m", "fuzzingclient", "-s", str(file)], cwd=folder, check=True, capture_output=True)
        report: Report = json.loads(Path(folder, "index.json").read_text())
        return report


def complaints(report: Report) -> list[str]:
    """One line for each case that is neither OK nor expected."""
    lines = []
    for agent, cases in sorted(report.items()):
        for case, result in sorted(cases.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
            verdict = {result["behavior"], result["behaviorClose"]}
            if verdict == {"OK"} or (case in EXPECTED and verdict <= {"OK", "INFORMATIONAL"}):
                continue
            lines.append(f"{agent} {case}: {result['behavior']}, close {result['behaviorClose']}")
    return lines


def summary(report: Report) -> str:
    """The counts of each implementation, as a table in Markdown."""
    lines = ["| implementation | cases | OK | informational | non-strict | unimplemented | failed |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for agent, cases in sorted(report.items()):
        found = Counter(result["behavior"] for result in cases.values())
        shown = [found.pop(kind, 0) for kind in ("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED")]
        lines.append("| " + " | ".join(map(str, (agent, len(cases), *shown, found.total()))) + " |")
    return "\n".join(lines)


def write_results(report: Report) -> None:
    """``RESULTS.md``, from a full run."""
    expected = "\n".join(f"* {case}: {reason}." for case, reason in EXPECTED.items())
    others = "\n".join(f"* {line}" for line in complaints(report)) or "None."
    text = (
        "# Autobahn\n\nWritten by `python -m tests.conformance.autobahn.run --all`: every case of the fuzzing client.\n\n"
        f"{summary(report)}\n\n## Not plainly OK, and why\n\n{expected}\n\n## Not as expected\n\n{others}\n"
    )
    Path(__file__).with_name("RESULTS.md").write_text(text)


def main() -> int:
    """The script; returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="also the long cases; writes RESULTS.md")
    parser.add_argument("--cases", nargs="+", default=SHORT, metavar="CASE")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    options = parser.parse_args()
    try:
        client = find_client()
    except Missing as missing:
        print(f"skipped: {missing}")
        return SKIPPED
    report = fuzz(client, ["*"] if options.all else options.cases, loop=options.loop)
    print(summary(report))
    wrong = complaints(report)
    print("\n".join(wrong) or "everything as expected")
    if options.all:
        write_results(report)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
