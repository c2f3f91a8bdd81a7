"""The loop's native accept: 20 to 45 microseconds cheaper per connection than ours, on uvloop.

It has no way to pause, to count, or to yield, so it serves where none of that is needed: a worker that is alone, no TLS,
no limit. Nor does it stand being out of descriptors: libuv then accepts and closes whoever comes. Rules, checked once a
second:

* it makes place for our own accept as soon as the board shows siblings (SIGTTIN, or the other generation of a reload), and
  comes back when they have been gone for ``LOOKS``;
* it makes place for good when half of the descriptors are taken.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .acceptor import OwnAcceptor
    from .connection_setup import ConnectionSetup, ProtocolFactory
    from .fairness import Fairness
    from .listener import Listener

__all__ = ["LOOKS", "LoopAcceptor", "descriptors"]

LOOKS = 3
"""Looks in a row (one per second) that must find a worker alone: a sibling that is just late is still a sibling."""


def descriptors() -> int:
    """How many descriptors this process may have (``RLIMIT_NOFILE``, the soft limit)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


class LoopAcceptor:
    """The native accept while we are alone, by ``fairness``, and until more than ``most`` connections are open; ``other``
    otherwise."""

    def __init__(
        self,
        setup: ConnectionSetup,
        factory: ProtocolFactory,
        other: OwnAcceptor,
        most: int,
        *,
        fairness: Fairness | None = None,
    ) -> None:
        self._setup = setup
        self._factory = factory
        self._other = other
        self._most = most
        self._fairness = fairness
        self._listeners: Sequence[Listener] = ()
        self._servers: list[asyncio.Server] = []
        self._is_crowded = False
        self._is_stopped = False
        self._looks = 0
        self._return: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Of those that we accepted ourselves; the loop's own are never seen before they are connections."""
        return self._setup.pending

    async def start(self, listeners: Sequence[Listener]) -> None:
        """Begin to accept."""
        self._listeners = listeners
        context = self._setup.context
        for listener in listeners:
            if self._is_stopped:
                return
            # A duplicate, since the loop closes the socket with its server. ``create_server`` for Unix sockets too:
            # ``create_unix_server`` would unlink the file at its end.
            server = await context.loop.create_server(
                self._factory, sock=listener.socket.dup(), backlog=context.config.backlog
            )
            self._servers.append(server)

    def stop(self, *, empty_queue: bool) -> None:
        """Accept no more and close this process's copies of the listeners."""
        self._is_stopped = True
        self._close_servers()
        self._other.listeners = self._listeners
        self._other.stop(empty_queue=empty_queue)

    def abort(self) -> None:
        """Give up the connections that are not set up yet."""
        self._setup.abort()

    def refresh(self, now: float) -> None:
        """Change over if siblings came, if they are gone, or if descriptors might run out."""
        self._other.refresh(now)
        self._is_crowded = self._is_crowded or len(self._setup.context.connections) > self._most
        has_company = self._fairness is not None and self._fairness.has_siblings
        self._looks = 0 if has_company else self._looks + 1
        if self._is_stopped or self._return is not None:
            return
        if self._servers:
            if self._is_crowded or has_company:
                self._close_servers()
                self._other.begin(self._listeners)
        elif self._looks >= LOOKS and not self._is_crowded:
            self._return = self._setup.context.loop.create_task(self._come_back())

    async def _come_back(self) -> None:
        """Nobody is left unaccepted meanwhile: both ways look at the same queue."""
        try:
            self._other.pause()
            await self.start(self._listeners)
        finally:
            self._return = None
            if self._is_stopped:
                self._close_servers()

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
