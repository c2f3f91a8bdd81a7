"""Which Python functions the instructions of a request are spent in: callgrind's figures per function, by way of the
perf trampoline of Python 3.12 and later (``-X perf``), which gives every Python function an address of its own.

The trampoline itself costs a fifth more instructions, so these figures are for comparing functions with each other,
not with the figures that are kept. Inclusive: a function's figure contains those of the functions that it calls.
"""

from __future__ import annotations

import bisect
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = ["annotate", "inclusive", "read_map"]

_LINE = re.compile(r"^\s*([\d,]+) \([^)]*\)\s+\?\?\?:(0x[0-9a-f]+)", re.MULTILINE)
_STEP = 64
"""A trampoline is shorter than this many bytes."""


def read_map(text: str) -> dict[int, str]:
    """Addresses and names from a ``perf-PID.map``: ``ADDRESS SIZE py::qualified.name:/path/module.py``."""
    names = {}
    for line in text.splitlines():
        address, _, name = line.split(" ", 2)
        function, _, path = name.removeprefix("py::").partition(":")
        names[int(address, 16)] = f"{function} ({Path(path).name})"
    return names


def inclusive(annotated: str, names: Mapping[int, str]) -> dict[str, int]:
    """Inclusive instructions by Python function, from the output of ``callgrind_annotate --inclusive=yes``."""
    starts = sorted(names)
    found: dict[str, int] = {}
    for amount, address in _LINE.findall(annotated):
        index = bisect.bisect_right(starts, int(address, 16)) - 1
        if index < 0 or int(address, 16) - starts[index] >= _STEP:
            continue
        name = names[starts[index]]
        found[name] = max(found.get(name, 0), int(amount.replace(",", "")))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def annotate(dump: Path, pid: int) -> dict[str, int]:
    """Inclusive instructions by Python function of one dump of the process ``pid``."""
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--auto=no", str(dump)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return inclusive(done.stdout, read_map(Path(f"/tmp/perf-{pid}.map").read_text()))
