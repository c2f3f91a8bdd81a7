"""Many processes: the parent that keeps a fleet of workers alive, reloads it and ends it.

Has no event loop and knows no HTTP. Imports ``worker`` and ``config``; see ``README.md`` for the map.
"""

from __future__ import annotations

__all__ = ["Arbiter"]


def __getattr__(name: str) -> object:
    """``Arbiter``, imported when asked for: the command line needs this package and not yet everything that serves."""
    if name == "Arbiter":
        from .loop import Arbiter

        return Arbiter
    raise AttributeError(name)
