"""The stacks that a worker wrote about itself, made fit to be read: without what every worker's stack ends in.

Pure. ``faulthandler`` writes for each thread ``Thread 0x7f… (most recent call first):`` and then a line for each frame;
what the worker's own handler adds is told by other lines and left as it is.
"""

from __future__ import annotations

import os
import re

__all__ = ["MOST", "readable"]

MOST = 64 * 1024
"""Characters of one report; beyond, its middle is left out."""

_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?:\d+|\?\?\?) in (?P<name>.*)')
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__))
_MACHINERY = (
    *(os.path.join(_HERE, folder, "") for folder in ("arbiter", "config", "protocols", "worker")),
    os.path.join(_HERE, "__main__.py"),
    os.path.join(_LIBRARY, "asyncio", ""),
    os.path.join(_LIBRARY, "concurrent", "futures", ""),
    os.path.join(_LIBRARY, "threading.py"),
    os.path.join(_LIBRARY, "importlib", ""),
    "<frozen importlib",
    "<frozen runpy>",
)
_COMMANDS = ("/uvloop/__init__.py", "/click/core.py", "/bin/asgi-arbiter")
_CUT = "\n[… shortened …]\n"


def readable(text: str) -> str:
    """The report without the outer frames that are ours or the event loop's, and without what would fill the log."""
    lines: list[str] = []
    stack: list[str] = []
    for line in [*text.strip("\n").splitlines(), ""]:
        if _FRAME.fullmatch(line):
            stack.append(line)
            continue
        lines += _trimmed(stack)
        stack.clear()
        if not line.startswith("Extension modules:"):
            lines.append(line)
    found = "\n".join(lines).rstrip("\n")
    if len(found) <= MOST:
        return found
    half = (MOST - len(_CUT)) // 2
    return found[:half] + _CUT + found[-half:]


def _trimmed(stack: list[str]) -> list[str]:
    end = len(stack)
    while end > 1 and _is_machinery(stack[end - 1]):
        end -= 1
    left_out = len(stack) - end
    return [*stack[:end], f"  ({left_out} frames of the server)"] if left_out > 1 else stack


def _is_machinery(line: str) -> bool:
    match = _FRAME.fullmatch(line)
    return match is not None and (match["file"].startswith(_MACHINERY) or match["file"].endswith(_COMMANDS))
