"""The tests of the worker class under every gunicorn that it is for, each in an environment of its own.

    python tests/integration/gunicorn_matrix.py --cache ~/.cache/gunicorn-matrix [--python python3.13] [20.1 27 ...]

builds the package once, makes or reuses a virtual environment for each version, runs ``test_gunicorn.py`` in it, and
prints a table; ``--write`` also puts it into ``GUNICORN.md`` beside this file. Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("GUNICORN.md")
VERSIONS = {
    "20.1": "gunicorn==20.1.*",
    "21.2": "gunicorn==21.2.*",
    "22": "gunicorn==22.*",
    "23": "gunicorn==23.*",
    "24.1.0": "gunicorn==24.1.0",
    "24": "gunicorn==24.*",
    "25": "gunicorn==25.*",
    "26": "gunicorn==26.*",
    "27": "gunicorn==27.*",
}
NEEDED = ("pytest", "pytest-timeout", "httpx", "psutil", "trustme", "a2wsgi", "setuptools<81")
"""For the tests, and for gunicorn 20.1, which imports pkg_resources."""
HEADING = """# The worker class under gunicorn's versions

Made by `python tests/integration/gunicorn_matrix.py --cache DIR --write` (`--python` for others). Each row is `tests/integration/test_gunicorn.py`,
with its patient tests, in an environment with that gunicorn; what is skipped is a setting that the version does not have.

"""


@dataclass(frozen=True)
class Outcome:
    """How the tests went under one gunicorn."""

    gunicorn: str
    python: str
    passed: int
    failed: int
    skipped: int
    seconds: float

    @property
    def row(self) -> str:
        result = "passed" if self.passed and not self.failed else "FAILED"
        cells = (self.gunicorn, self.python, result, self.passed, self.failed, self.skipped, f"{self.seconds:.0f} s")
        return "| " + " | ".join(map(str, cells)) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="where the environments are kept")
    parser.add_argument("--python", action="append", help="an interpreter (default: this one); may be repeated")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    parser.add_argument("-k", default="", help="only tests that match, as for pytest")
    parser.add_argument("versions", nargs="*", help=f"of {', '.join(VERSIONS)} (default: all)")
    options = parser.parse_args(arguments)
    wheel = build(options.cache)
    outcomes = []
    for python in options.python or [sys.executable]:
        for version in options.versions or VERSIONS:
            environment = prepare(options.cache, python, version, wheel)
            outcomes.append(test(environment, options.k))
            print(outcomes[-1].row, flush=True)
    table = "\n".join(
        [
            "| gunicorn | Python | result | passed | failed | skipped | time |",
            "|---|---|---|---|---|---|---|",
            *(outcome.row for outcome in outcomes),
        ]
    )
    print(f"\n{table}")
    if options.write:
        TABLE.write_text(HEADING + table + "\n")
    return 0 if all(outcome.passed and not outcome.failed for outcome in outcomes) else 1


def build(cache: Path) -> Path:
    """A wheel of the package as it is now."""
    folder = cache / "wheel"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def prepare(cache: Path, python: str, version: str, wheel: Path) -> Path:
    """An environment with that gunicorn and the wheel; its interpreter."""
    tag = subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True
    ).strip()
    folder = cache / f"gunicorn-{version}-python-{tag}"
    inside = folder / "bin" / "python"
    if not inside.exists():
        call(python, "-m", "venv", str(folder))
        call(str(inside), "-m", "pip", "install", "-q", VERSIONS[version], *NEEDED, str(wheel))
    call(str(inside), "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", str(wheel))
    return inside


def test(python: Path, chosen: str) -> Outcome:
    """Run the tests. The repository is their root, but the package is the installed one."""
    command = [str(python), "-P", "-m", "pytest", "tests/integration/test_gunicorn.py", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "ASGI_ARBITER_GUNICORN": "all"}
    done = subprocess.run(
        [*command, *(("-k", chosen) if chosen else ())], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    if done.returncode:
        print(done.stdout[-20000:], done.stderr[-2000:], sep="\n")
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", summary)}
    took = re.search(r"in ([\d.]+)s", summary)
    what = "import gunicorn, platform; print(gunicorn.__version__, platform.python_version())"
    gunicorn, version = subprocess.check_output([str(python), "-P", "-c", what], text=True).split()
    return Outcome(
        gunicorn,
        version,
        counts.get("passed", 0),
        counts.get("failed", 0) + counts.get("error", 0),
        counts.get("skipped", 0),
        float(took[1]) if took else 0.0,
    )


def call(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    if platform.system() == "Windows":
        sys.exit("gunicorn needs a POSIX system")
    sys.exit(main())
