"""Writes the files that are made from tables: ``python -m tests.regenerate``, or ``--check`` to see whether they are stale.

Run from the root of the repository, with the package installed. A file is either made as a whole, or has a part between
two marker lines. To add one, add a line to ``TARGETS``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from asgi_arbiter.arbiter import reference as arbiter_reference
from asgi_arbiter.config import reference

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- begin: made by python -m tests.regenerate -->"
END = "<!-- end -->"


def between_markers(path: Path, made: Callable[[], str]) -> str:
    """The file with what stands between its markers made anew."""
    head, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN + "\n")
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path}: the markers are missing")
    return f"{head}{BEGIN}\n{made()}{END}{tail}"


TARGETS: dict[str, Callable[[Path], str]] = {
    "config/SETTINGS.md": lambda path: reference.manual(),
    "config/settings.schema.json": lambda path: reference.json_schema(),
    "examples/arbiter.toml": lambda path: reference.example(),
    "arbiter/STATES.md": lambda path: arbiter_reference.states(),
    "arbiter/SIGNALS.md": lambda path: arbiter_reference.signals(),
    "config/README.md": lambda path: between_markers(path, reference.compatibility),
}


def stale() -> list[str]:
    """The names of the files that are not what their table says."""
    found = []
    for name, made in TARGETS.items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != made(path):
            found.append(name)
    return found


def main() -> int:
    """Write what is stale; with ``--check`` only name it and return 1."""
    check = "--check" in sys.argv[1:]
    names = stale()
    for name in names:
        if check:
            print(f"{name} is stale: run python -m tests.regenerate", file=sys.stderr)
        else:
            (ROOT / name).write_text(TARGETS[name](ROOT / name), encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and names else 0


if __name__ == "__main__":
    raise SystemExit(main())
