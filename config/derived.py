"""Settings that follow from other settings where nobody has set them.

Pure. A value made here has the source of the setting from which it follows, and ``--print-config`` shows it so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .rules import wants_h11

__all__ = ["consequences"]

_H11 = {"http": "h11", "loop": "asyncio"}
_WHILE_DEVELOPING = {
    "timeout": 0.0,  # a debugger stops the event loop for as long as its user thinks
    "graceful_timeout": 5.0,  # an open event stream ends soon, so that the browser comes back to the new code
    "quick_timeout": 0.5,  # Ctrl-C does not wait for one either
    "kill_timeout": 1.0,
    "drain_linger": 0.0,  # the browser's idle connection must not have its next request answered by the old code
}


def consequences(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, Any, str]]:
    """Name, value, and the setting from which it follows; ``given`` are the names of those that were set."""
    found: list[tuple[str, Any, str]] = []
    if wants_h11(values["worker_class"]):
        found += [(name, value, "worker_class") for name, value in _H11.items()]
    if values["reload"]:  # for a developer, who waits
        found += [(name, value, "reload") for name, value in _WHILE_DEVELOPING.items()]
    yield from (each for each in found if each[0] not in given)
