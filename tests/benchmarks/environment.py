"""An environment of its own for the servers: one per interpreter, in the cache directory, made once and kept.

Rules: nothing is installed into the interpreter that was named, nor into the repository. asgi-arbiter is built from a
copy of this checkout whenever its source changed, as a wheel, so that it is measured as a user would install it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .peers import COMMON, OURS, Peer

__all__ = ["Environment", "EnvironmentFailed", "prepare"]

ROOT = Path(__file__).parents[2]
SOURCES = ("arbiter", "config", "protocols", "worker", "pyproject.toml", "README.md", "LICENSE")


class EnvironmentFailed(Exception):
    """A server could not be installed; the message is for the person at the terminal."""


class Environment:
    """A virtual environment with the servers in it."""

    def __init__(self, home: Path, version: str, interpreter: str) -> None:
        self.home = home
        self.python = home / "bin" / "python"
        self.version = version
        self.interpreter = interpreter
        """The one that the environment was made from: two of one version may be built differently."""

    def installed(self) -> dict[str, str]:
        """Name and version of everything in the environment."""
        listing = json.loads(_run([*_pip(self), "list", "--format=json"]))
        return {entry["name"]: entry["version"] for entry in listing}


def prepare(python: str, cache: Path, peers: Iterable[Peer]) -> Environment:
    """The environment for ``python`` (a path or a command) with these peers in their pinned versions.

    Raises EnvironmentFailed where the interpreter or a package cannot be had.
    """
    facts = _facts(python)
    name = f"cpython-{facts['version']}-{hashlib.sha256(facts['executable'].encode()).hexdigest()[:8]}"
    environment = Environment(cache / name, facts["version"], facts["executable"])
    if not environment.python.exists():
        _run([facts["executable"], "-m", "venv", "--without-pip", str(environment.home)])
    wanted = sorted({*COMMON, *(pin for peer in peers for pin in peer.requirements)})
    _install(environment, wanted)
    if any(peer.name.startswith(OURS) for peer in peers):
        _install_checkout(environment)
    return environment


def _facts(python: str) -> dict[str, str]:
    program = (
        "import json, platform, sys; "
        "print(json.dumps({'executable': sys.executable, 'version': platform.python_version()}))"
    )
    found: dict[str, str] = json.loads(_run([python, "-c", program]))
    return found


def _install(environment: Environment, wanted: list[str]) -> None:
    """Installs the pins, unless the environment's own note says that all of them are in it."""
    marker = environment.home / ".benchmark-pins"
    noted = set(marker.read_text().split()) if marker.exists() else set()
    if noted.issuperset(wanted):
        return
    print(f"installing into {environment.home}: {' '.join(wanted)}", file=sys.stderr)
    _run([*_pip(environment), "install", "--quiet", *wanted])
    names = {pin.partition("==")[0] for pin in wanted}
    kept = {pin for pin in noted if pin.partition("==")[0] not in names}
    marker.write_text("\n".join(sorted(kept.union(wanted))))


def _install_checkout(environment: Environment) -> None:
    """Builds and installs asgi-arbiter, unless the environment has it from exactly this source."""
    marker = environment.home / ".benchmark-source"
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in _sources())).hexdigest()
    if marker.exists() and marker.read_text() == stamp:
        return
    print("installing asgi-arbiter from this checkout", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "asgi-arbiter"
        for path in _sources():
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        _run([*_pip(environment), "install", "--quiet", "--no-deps", "--force-reinstall", str(copy)])
    marker.write_text(stamp)


def _sources() -> Iterator[Path]:
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        elif path.exists():
            yield path


def _pip(environment: Environment) -> list[str]:
    """The pip of the interpreter that runs the benchmark, at work on the other environment."""
    return [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "--python", str(environment.python)]


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise EnvironmentFailed(f"there is no {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise EnvironmentFailed(f"{' '.join(command)}\n{error.stdout}{error.stderr}") from None
    return done.stdout
