"""Reading the PROXY preface (``protocols.proxy_preface``) from a socket that was just accepted.

It is read before there is a transport, and exactly: what follows may be a TLS handshake, which the transport has to see
from its first byte. So the socket is looked at (``MSG_PEEK``) and then only the preface is taken from it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from asgi_arbiter.protocols.proxy import Trust
from asgi_arbiter.protocols.proxy_preface import LIMIT, InvalidPreface, Preface, read_preface

from .plaintext import readable

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["Introductions"]

log = logging.getLogger("asgi_arbiter.worker")

_LOOK: Final = LIMIT + 16

Factory = Callable[[], asyncio.Protocol]


class Introductions:
    """Lets proxies say for whom they connect. One per worker."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._mode = config.proxy_protocol
        self._limit = config.handshake_timeout or None
        self._trust = Trust(config.proxy_allow_ips)
        self._loop = loop

    async def connect(
        self,
        connect: Callable[[Factory, socket.socket], Awaitable[Any]],
        factory: Factory,
        connection: socket.socket,
    ) -> None:
        """Read what the peer has to say and then make the connection; close it where that is nothing acceptable.

        Raises ``OSError`` if the peer leaves meanwhile."""
        try:
            preface = await self._hear(connection)
        except BaseException as error:
            connection.close()
            if not isinstance(error, InvalidPreface | TimeoutError):
                raise
            reason = str(error) or "its PROXY preface did not come in time"
            log.warning("a connection is closed: %s", reason, extra={"event": "proxy_preface_refused"})
            return
        await connect(factory if preface is None else partial(Introduced, factory, preface), connection)

    async def _hear(self, connection: socket.socket) -> Preface | None:
        """None if the peer is not one that is believed, or speaks for itself: it is then the client."""
        if not self._trust.covers(_host(connection)):
            return None
        async with asyncio.timeout(self._limit):
            preface = await self._read(connection)
        return preface if preface.is_proxied else None

    async def _read(self, connection: socket.socket) -> Preface:
        taken = b""
        while True:
            await readable(self._loop, connection)
            seen = connection.recv(_LOOK, socket.MSG_PEEK)
            if not seen:
                raise ConnectionResetError("the peer left before its PROXY preface was complete")
            preface = read_preface(taken + seen, self._mode)
            if preface is not None:
                connection.recv(preface.size - len(taken))
                return preface
            taken += connection.recv(len(seen))


def _host(connection: socket.socket) -> str | None:
    name = connection.getpeername()
    return str(name[0]) if isinstance(name, tuple) else None


class Introduced(asyncio.Protocol):
    """Stands in for a protocol until its transport exists, and then tells it who its client is."""

    def __init__(self, factory: Callable[[], asyncio.Protocol], preface: Preface) -> None:
        self._factory = factory
        self._preface = preface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the transport to the protocol; it has ``introduce`` unless it is somebody else's."""
        protocol = self._factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        introduce = getattr(protocol, "introduce", None)
        if introduce is not None:
            introduce(self._preface.client, self._preface.server)
