"""From an accepted socket to a connection: ``accept``, the proxy's preface, the transport, the TLS handshake.

A connection is *pending* from its accept until its protocol has it. Nobody else can see it in that time, which is why a
drain asks for ``pending`` before it believes that nothing is left.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from .plaintext import answer, speaks_http

if TYPE_CHECKING:
    import socket
    import ssl

    from asgi_arbiter.protocols.base import ConnectionContext

    from .introduction import Introductions
    from .listener import Listener

__all__ = ["ConnectionSetup", "ProtocolFactory"]

log = logging.getLogger("asgi_arbiter.worker")

_EMPTYING = 65_536
"""Connections taken at most when the queue is emptied, in case somebody keeps filling it."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""accept(2): no descriptors or no memory. Everything else concerns the one connection, which is gone."""

_NO_TLS = "This port speaks TLS: ask with https."
_LEAST = 0.001
_CONNECTIONS_KEEP_TIME = 86_400.0
"""For the loops' own deadline from ``close`` to the end of a TLS connection (30 s by default). It would cut off what a
slow client is still taking; connections look themselves whether theirs takes anything (``age``)."""

ProtocolFactory = Callable[[], asyncio.Protocol]


class ConnectionSetup:
    """Turns accepted sockets into connections; shared by both ways."""

    def __init__(self, context: ConnectionContext, factory: ProtocolFactory, tls: ssl.SSLContext | None = None) -> None:
        self.context = context
        reads_prefaces = context.config.proxy_protocol != "off"
        self.needs_time = tls is not None or reads_prefaces
        """A connection is not ready as soon as it is accepted."""
        self.accepted = 0
        # The loop holds tasks weakly; until its transport exists nothing else holds one of these.
        self._tasks: set[asyncio.Task[None]] = set()
        self._factory = factory
        self._tls = tls
        if tls is not None:
            self.use_tls(tls)
        self._connect: Callable[[ProtocolFactory, socket.socket], Coroutine[Any, Any, Any]]
        self._connect = context.loop.connect_accepted_socket if tls is None else self._shake_hands
        self._introductions: Introductions | None = None
        if reads_prefaces:
            from .introduction import Introductions

            self._introductions = Introductions(context.config, context.loop)

    def take(self, sock: socket.socket) -> bool:
        """Accept one connection; ``False`` if there is none. Raises ``OSError`` when descriptors run out."""
        try:
            connection, _ = sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            return error.errno != errno.EBADF  # the client gave up in the queue (ECONNABORTED and the like)
        connection.setblocking(False)
        self.accepted += 1
        task = self.context.loop.create_task(self._set_up(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def use_tls(self, context: ssl.SSLContext) -> None:
        """For the connections to come. What was not encrypted from the beginning does not become so."""
        from .handshake import let_it_tell

        let_it_tell(context)
        self._tls = context

    @property
    def pending(self) -> int:
        """Connections accepted and not set up yet."""
        return len(self._tasks)

    def abort(self) -> None:
        """Give up what is pending."""
        for task in tuple(self._tasks):
            task.cancel()

    async def _set_up(self, connection: socket.socket) -> None:
        try:
            if self._introductions is None:
                await self._connect(self._factory, connection)
            else:
                await self._introductions.connect(self._connect, self._factory, connection)
        except OSError as error:  # includes ssl.SSLError: a failed handshake is the client's affair
            log.debug(
                "a connection could not be set up: %s",
                str(error) or repr(error),
                extra={"event": "connection_setup_failed"},
            )

    async def _shake_hands(self, factory: ProtocolFactory, connection: socket.socket) -> None:
        """Make an encrypted connection within ``handshake_timeout``, from the wait for its first byte on."""
        loop, limit = self.context.loop, self.context.config.handshake_timeout or None
        began = loop.time()
        try:
            async with asyncio.timeout(limit):
                is_plain = await speaks_http(loop, connection)
        except BaseException:
            connection.close()
            raise
        if is_plain:
            from asgi_arbiter.protocols.response import refusal_bytes

            log.debug("a client speaks plain HTTP where TLS is spoken", extra={"event": "plain_http_refused"})
            await answer(loop, connection, refusal_bytes(400, _NO_TLS, self.context.date_header, b""))
            return
        await loop.connect_accepted_socket(
            factory,
            connection,
            ssl=self._tls,
            ssl_handshake_timeout=limit and max(limit - (loop.time() - began), _LEAST),
            ssl_shutdown_timeout=_CONNECTIONS_KEEP_TIME,
        )

    def empty(self, listeners: Sequence[Listener]) -> None:
        """Take everything from the accept queues."""
        for listener in listeners:
            listener.refuse_new()
            try:
                for _ in range(_EMPTYING):
                    if listener.fileno() < 0 or not self.take(listener.socket):
                        break
            except OSError as error:
                log.error(
                    "cannot accept what is left in the queue: %s", error.strerror, extra={"event": "accept_failed"}
                )
