"""``Server.server_state``: what a program may ask of a running server under the names of uvicorn's. To be read only."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from .public_config import Config

__all__ = ["ServerState"]


class ServerState:
    """The state of one server; empty before it has started. ``Server.snapshot`` has more, in one piece."""

    def __init__(self, config: Config, context: Callable[[], Any]) -> None:
        self._config = config
        self._context = context  # gives the worker's ConnectionContext, or None

    @property
    def total_requests(self) -> int:
        """Requests and WebSockets begun since the start."""
        context = self._context()
        return int(context.completed + context.in_flight) if context is not None else 0

    @property
    def connections(self) -> Set[Any]:
        """The open connections, idle ones too. The set is the server's own and changes."""
        context = self._context()
        found: Set[Any] = context.connections if context is not None else set()
        return found

    @property
    def tasks(self) -> Set[asyncio.Task[object]]:
        """The tasks in which the application waits for something, one for each request or WebSocket."""
        context = self._context()
        found: Set[asyncio.Task[object]] = context.tasks if context is not None else set()
        return found

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What is added to each response: date, server, and those of the setting ``headers``."""
        context = self._context()
        name, _, value = context.date_header.partition(b": ") if context is not None else (b"", b"", b"")
        return [*([(name, value.rstrip())] if name else []), *self._config.encoded_headers]
