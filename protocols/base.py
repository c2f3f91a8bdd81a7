"""The contracts between the protocols, and between a protocol and its worker.

Nothing in ``protocols`` imports ``worker``: what a connection may ask of its worker is the ``ConnectionContext``
that the worker makes, one for the whole process. Its attributes are read once per connection where that is possible,
and are plain attributes, not methods, since they lie on the hot path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asgi_arbiter.config import Config
    from asgi_arbiter.config.access import AccessRecord

    from .asgi import ASGIApplication, HeaderList
    from .policy import HttpPolicy

__all__ = ["AccessWriter", "Connection", "ConnectionContext", "HeadParser", "Upgrade"]

AccessWriter = Callable[["AccessRecord"], None]
"""Takes one record of the access log; must not raise."""


class Connection(Protocol):
    """What the worker asks of every open connection, HTTP or WebSocket. Each adds itself to and removes itself
    from ``ConnectionContext.connections`` in ``connection_made`` and ``connection_lost``."""

    def age(self, tick: int) -> None:
        """Once a second: compare the connection's deadlines (all kept as tick numbers) with ``tick``."""

    def drain(self, reason: str) -> None:
        """The worker is leaving (``"reload"``, ``"recycle"``, ``"shutdown"``,
        ``"orphaned"``, or what an embedding program gave): finish what is under way, then close.
        HTTP: answer with ``Connection: close``; an idle connection closes after a linger.
        WebSocket: close code 1001 at shutdown, otherwise 1012."""

    def abort(self) -> None:
        """Cut the connection now and cancel its application task."""

    def is_idle(self) -> bool:
        """Whether no request is under way here (a WebSocket is never idle)."""

    def describe(self) -> str:
        """For a log line: peer, what is under way, and since when."""


class HeadParser(Protocol):
    """Reads the fields of request heads. One per worker, shared by its connections: a head is read in one call, and
    what was read is fetched before the next. ``fields.FieldCollector`` has all but ``read``."""

    fields: HeaderList
    """The fields of the last head, names in lower case, white space around values taken away."""
    host: bytes | None
    """The value of its first Host field."""
    special: bool
    """It has fields that the server must look at."""
    underscored: bool
    """It has names with an underscore."""

    def read(self, block: bytes) -> None:
        """Read one whole head, from the request line (which has been judged already) to the empty line.

        Raises ``Refusal``."""


class ConnectionContext:
    """What the connections of one worker share. Made by ``worker.Server``; one instance per process."""

    __slots__ = (
        "access_log",
        "app",
        "completed",
        "config",
        "connections",
        "date_header",
        "draining",
        "http_policy",
        "in_flight",
        "loop",
        "on_request_limit",
        "request_limit",
        "state",
        "tasks",
        "tick",
        "ticked_at",
        "websocket_protocol",
    )

    def __init__(
        self,
        app: ASGIApplication,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        *,
        access_log: AccessWriter | None = None,
        websocket_protocol: Callable[[ConnectionContext, Upgrade], asyncio.Protocol] | None = None,
    ) -> None:
        self.app = app
        """The application as ASGI 3 single callable, already adapted from other interfaces."""
        self.config = config
        self.loop = loop
        self.access_log = access_log
        """``None`` when the access log is off."""
        self.websocket_protocol = websocket_protocol
        """Makes the protocol that takes over a connection after an upgrade request; ``None`` with ``--ws none``."""
        self.state: dict[str, Any] = {}
        """The lifespan state; each scope gets a shallow copy (ASGI lifespan 2.0, "Lifespan State")."""
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        """Application tasks that suspended: held here so that they are not collected, cancelled at the end of a drain."""
        self.tick = 0
        """Whole seconds since the worker started; advanced by the worker's ticker, read for every deadline."""
        self.ticked_at = loop.time()
        """When ``tick`` was last advanced, ``loop.time()``: how old things are while the loop is blocked."""
        self.date_header = b""
        """``b"date: …\\r\\n"``, renewed by the ticker; empty with ``--no-date-header``."""
        self.draining = ""
        """The reason of the drain once it has begun, else empty. New responses then say ``Connection: close``."""
        self.http_policy: HttpPolicy | None = None
        """The settings as HTTP connections need them, worked out by the first of them."""
        self.in_flight = 0
        """Requests begun and not completed, plus open WebSockets."""
        self.completed = 0
        """Requests completed and WebSockets closed since the worker started."""
        self.request_limit = -1
        """``completed`` reaching this number calls ``on_request_limit`` (``--max-requests`` with jitter); -1 is never."""
        self.on_request_limit: Callable[[], None] = _nothing


def _nothing() -> None:
    """No limit, nothing to do."""


class Upgrade:
    """A connection on its way from HTTP to WebSocket: the head is parsed and checked, no byte was answered.

    The HTTP connection calls ``context.websocket_protocol(context, upgrade)``, sets the result as the transport's
    protocol, and calls its ``connection_made(transport)`` and then, if ``leftover`` is not empty, ``data_received``.
    The HTTP connection has by then removed itself from ``context.connections``.
    """

    __slots__ = ("http_version", "leftover", "method", "scope", "started", "target", "transport")

    def __init__(
        self,
        *,
        scope: dict[str, Any],
        method: str,
        target: bytes,
        http_version: str,
        transport: asyncio.Transport,
        leftover: bytes,
        started: float,
    ) -> None:
        self.scope = scope
        """A complete ``websocket`` scope (scheme ``ws`` or ``wss``, client and server after the proxy rules, ``state``,
        ``extensions``) but for ``subprotocols``, which the WebSocket protocol sets after its check of the handshake."""
        self.method = method
        self.target = target
        """The request target as it came, for the access log."""
        self.http_version = http_version
        self.transport = transport
        self.leftover = leftover
        """Bytes that came behind the request head."""
        self.started = started
        """``loop.time()`` when the head was complete."""
