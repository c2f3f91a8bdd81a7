"""Imports what every worker of some settings will need, in the process from which the workers are forked.

Done once before the fork, the pages are shared by all workers, a replacement boots without reading our modules from
disk again, and what is missing afterwards (a worker without rights may not read its own interpreter's files) is there
already. Rules: only our own modules and the packages behind them are imported, nothing of the user's; no loop, thread or
descriptor is made; a failure is left for the worker to find and to explain.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from asgi_arbiter.config.errors import ArbiterError

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["warm_up"]

_ALWAYS = (
    "asgi_arbiter.config.envfile",
    "asgi_arbiter.config.importer",
    "asgi_arbiter.worker.privileges",
    "asgi_arbiter.worker.server",
)


def warm_up(config: Config, *, shares: bool = False) -> None:
    """Import what a worker with ``config`` needs to boot and to serve HTTP; and WebSockets if the settings name their
    library, or if this process ``shares`` its memory with all workers (a mold): else that is 20 ms and 4 MiB for what
    most services never use, and the first WebSocket of a worker pays for it."""
    from asgi_arbiter.protocols import resolve_http, resolve_websocket

    from . import loops

    for name in (*_ALWAYS, *_sometimes(config)):
        importlib.import_module(name)
    for find, name in ((resolve_http, config.http), (loops.factory, config.loop)):
        if ":" in name:
            continue  # the user's own code belongs to the worker, which imports it anew at each reload
        try:
            find(name)
        except (ArbiterError, ImportError):
            pass  # the worker meets the same and says it properly
    if ":" not in config.ws and (shares or config.ws != "auto"):
        try:
            late = resolve_websocket(config.ws)
            if late is not None:
                late.load()  # type: ignore[attr-defined]
        except (ArbiterError, ImportError):
            pass  # the same


def _sometimes(config: Config) -> Iterator[str]:
    if sys.platform == "linux":
        yield "ctypes"  # every worker asks the kernel to be told of the arbiter's death
    if config.user or config.group:
        yield "encodings.idna"  # the first name that the application resolves needs it
    if config.speaks_tls:
        yield "asgi_arbiter.config.tls"
    if config.access_log:
        yield "asgi_arbiter.protocols.http_log"
