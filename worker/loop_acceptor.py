"""The loop's native accept: 20 to 45 microseconds cheaper per connection than ours, on uvloop.

It has no way to pause, to count, or to yield, so it serves where none of that is needed: one worker, no TLS, no limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection_setup import ConnectionSetup, ProtocolFactory
    from .listener import Listener

__all__ = ["LoopAcceptor"]


class LoopAcceptor:
    """The loop's native accept. It has no way to pause, to count, or to yield."""

    def __init__(self, setup: ConnectionSetup, factory: ProtocolFactory, backlog: int) -> None:
        self._setup = setup
        self._factory = factory
        self._backlog = backlog
        self._listeners: Sequence[Listener] = ()
        self._servers: list[asyncio.Server] = []

    @property
    def pending(self) -> int:
        return self._setup.pending

    @property
    def accepted(self) -> int:
        return self._setup.accepted

    async def start(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        loop = self._setup.context.loop
        for listener in listeners:
            # ``create_server`` for Unix sockets too: ``create_unix_server`` would unlink the file at its end.
            server = await loop.create_server(self._factory, sock=listener.socket, backlog=self._backlog)
            self._servers.append(server)

    def stop(self, *, empty_queue: bool) -> None:
        if empty_queue and self._servers:
            self._setup.empty(self._listeners)
        for server in self._servers:
            server.close()
        self._servers.clear()
        for listener in self._listeners:
            listener.close()

    def abort(self) -> None:
        self._setup.abort()

    def refresh(self, now: float) -> None:
        """Nothing to watch."""
