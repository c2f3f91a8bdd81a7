"""The HTTP/1.1 connection: an ``asyncio.Protocol`` that calls the application, keeps the time, and ends well.

It owns the transport. Reading is the base class's (``reading``), the conversation with the application the cycle's
(``cycle``); this module joins them: it judges a head and makes its cycle, answers for the application where a request
is refused, and closes so that the client gets to read the last answer.

No timers: a deadline is a tick number, looked at by ``age`` once a second; what it means follows from the state.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from asyncio import CancelledError
from contextvars import Context
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from .base import Upgrade
from .cycle import COMPLETE, STARTED, WAITING, RequestCycle
from .errors import Refusal
from .extensions import for_http_1_0, with_tls
from .first_step import start
from .flow import HIGH_WATER, Waiters, wake
from .memo import LONGEST
from .progress import progress, undelivered
from .proxy import apply_forwarding
from .reading import ANSWER, BODY, CLOSED, DISCARD, DISCARD_LIMIT, HEAD, RequestReader
from .request import check_sizes, inspect, make_scope, read_request_line, websocket_scope
from .response import refusal_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .asgi import HeaderList
    from .base import ConnectionContext, HeadParser
    from .request import RequestLine, Terms

__all__ = ["HttpConnection"]

log = logging.getLogger("asgi_arbiter.worker")

LINGER_LIMIT: Final = 1 << 20
"""Bytes that are read and thrown away after our last response."""
LINGER_TICKS: Final = 3


class HttpConnection(RequestReader):
    """One connection, from its acceptance to its end or its upgrade."""

    __slots__ = (
        "_client",
        "_extensions",
        "_scheme",
        "_server",
        "_since",
        "_trust",
        "_unmoved",
        "_wanted",
        "half_closed",
        "write_waiters",
    )

    def __init__(self, context: ConnectionContext, parser_type: type[HeadParser]) -> None:
        super().__init__(context, parser_type)
        self.write_waiters: Waiters = []
        self.half_closed = False
        """The client has sent its end of file; it may still read."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.write = self.transport.write
        context = self.context
        context.connections.add(self)
        info = transport.get_extra_info
        self._scheme = "http"
        self._extensions = self.policy.extensions
        if info("sslcontext") is not None:
            self._scheme = "https"
            self._extensions = with_tls(self._extensions, info("ssl_object"))
        self._unmoved: tuple[int, tuple[int, int]] | None = None
        self._client = _address(info("peername"))
        self._server: tuple[str, int | None] | None = _server_address(info("sockname"))
        trust = self.policy.trust
        self._trust = trust if trust and trust.covers(self._client[0] if self._client else None) else None
        self._deadline = context.tick + self.policy.header_ticks if self.policy.header_ticks else 0

    def introduce(self, client: tuple[str, int] | None, server: tuple[str, int | None] | None) -> None:
        """A proxy has said in front of everything else (PROXY protocol) who connects, and where to. Forwarding headers
        are now this client's, and believed if it is trusted."""
        trust = self.policy.trust
        self._client, self._server = client, server
        self._trust = trust if trust and trust.covers(client[0] if client else None) else None

    def eof_received(self) -> bool:
        """The client sends no more. A request that is complete still gets its answer (RFC 9112 section 9.6); its
        application is told, since most clients that send an end of file are gone."""
        cycle = self.cycle
        waiting = self._reading is ANSWER or (self._reading is HEAD and self._held.find(b"\r\n\r\n") >= 0)
        if not waiting or self._scheme == "https":
            return False
        self.half_closed = True
        if cycle is not None:
            cycle.wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.context.connections.discard(self)
        self._reading = CLOSED
        self._held = b""
        self.write_paused = False
        cycle = self.cycle
        if cycle is not None:
            self.cycle = None
            if not cycle.is_over and self.context.access_log is not None:
                self._log(cycle)
            cycle.disconnect()
            grace = self.policy.disconnect_grace
            if grace > 0 and cycle.task is not None:
                self.context.loop.call_later(grace, cycle.task.cancel)
        wake(self.write_waiters)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._unmoved = None

    def resume_writing(self) -> None:
        self.write_paused = False
        wake(self.write_waiters)
        self._resume_soon()

    # A request, from its head to the application's return

    def _begin(self, block: bytes, data: bytes, position: int) -> RequestCycle | None:
        """Judge a head and make the cycle of its request; None after an upgrade. Raises ``Refusal``."""
        policy = self.policy
        context = self.context
        line_end = block.find(b"\r\n")
        if len(block) > policy.smallest_limit:
            check_sizes(block, line_end, policy)
        line = read_request_line(block[:line_end])
        known = policy.field_sections.get(block[line_end:])
        if known is None or not line.modern:
            known = self._judge(line, block, line_end)
        fields, terms = known
        if context.in_flight >= policy.concurrency:
            raise Refusal(503, "The server is busy.")
        scope = make_scope(
            line,
            fields.copy(),  # the application's own; what is remembered stays as it is
            policy.root_path,
            self._client,
            self._server,
            self._scheme,
            context.state,
            self._extensions if line.modern else for_http_1_0(self._extensions),
        )
        self._deadline = 0
        self._in_head = False
        self._since = context.tick
        if terms.forwarded and self._trust is not None:
            apply_forwarding(scope, self._trust)
        body = None
        self._reading = ANSWER
        self._wanted = keep_alive = terms.keep_alive
        if terms.length or terms.trailers or terms.upgrade:
            if terms.upgrade and context.websocket_protocol is not None:
                self._upgrade(line, scope, data[position:])
                return None
            if terms.trailers:
                scope["extensions"]["http.response.trailers"] = {}
            if terms.length:
                body = self._expect_body(terms)
        cycle = RequestCycle(self, scope, line, body, keep_alive and policy.keepalive)
        if context.access_log is not None:
            cycle.began_at = time.monotonic()
        self.cycle = cycle
        return cycle

    def _judge(self, line: RequestLine, block: bytes, line_end: int) -> tuple[HeaderList, Terms]:
        """The fields of a head and what they ask for, remembered for the next head like it. Raises ``Refusal``."""
        policy = self.policy
        parser = policy.parser
        parser.read(block)
        fields = parser.fields
        if len(fields) > policy.field_limit:
            raise Refusal(431, "There are too many header fields.")
        terms = inspect(line, parser)
        if terms.underscored:
            fields = self._without_underscores(fields)
        if line.modern and not terms.offered and len(block) - line_end <= LONGEST:
            policy.field_sections.keep(block[line_end:], (fields, terms), self.context.tick)
        return fields, terms

    def _without_underscores(self, fields: HeaderList) -> HeaderList:
        """The setting ``header_map``: in CGI names ``a_b`` and ``a-b`` are one, and one of them may be a forgery."""
        if self.policy.header_map == "dangerous":
            return fields
        if self.policy.header_map == "refuse":
            raise Refusal(400, "A header name has an underscore.")
        return [field for field in fields if 95 not in field[0]]

    def _start(self, cycle: RequestCycle) -> None:
        """Call the application; most answer before this returns."""
        context = self.context
        context.in_flight += 1
        try:
            coroutine = context.app(cycle.scope, cycle.receive, cycle.send)
            if type(coroutine) is not CoroutineType:
                coroutine = _awaited(coroutine)
            task = start(context.loop, coroutine, Context() if self.policy.reset_context else None)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - the border to the application
            self.settle(cycle, error.with_traceback(_applications_part(error.__traceback__)))
            return
        if task is None:
            self.settle(cycle, None)
        else:
            cycle.task = task
            context.tasks.add(task)
            task.add_done_callback(cycle.ended)

    def settle(self, cycle: RequestCycle, error: BaseException | None) -> None:
        """The application is done with a request; see that it was answered, and count it."""
        if error is not None:
            cycle.failed(error)
        elif cycle.phase is not COMPLETE:
            cycle.returned()
        context = self.context
        context.in_flight -= 1
        context.completed += 1
        if context.completed == context.request_limit:
            context.on_request_limit()

    # What a cycle asks (``cycle.Link``)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Large pieces go to the transport as they are, after what is corked."""
        if self._cork is not None:
            self._uncork()
        self.transport.writelines(pieces)

    def uncork(self) -> None:
        """Write what has been kept back to leave together."""
        if self._cork is not None:
            self._uncork()

    def must_close(self, cycle: RequestCycle) -> bool:
        """Whether the response that starts now must be the last one: the worker leaves and nothing else waits, or the
        rest of the request would have to be read for nothing."""
        if self.context.draining and not self._held:
            return True
        if self._reading is not BODY:
            return False
        # A client that waits for 100 may or may not send the body after a final status: only closing is safe.
        return self._expects or (not cycle.has_read and self._left > DISCARD_LIMIT)

    def response_over(self, cycle: RequestCycle) -> None:
        """Go on to the next request, or end."""
        if self.context.access_log is not None:
            self._log(cycle)
        if not cycle.keep_alive:
            # Where the client did not announce the end itself, it may be sending already.
            self._finish(linger=self._wanted or self._reading is BODY)
        elif self._reading is ANSWER:
            self._next()
        elif self._reading is BODY:
            assert cycle.body is not None
            cycle.body.clear()
            self._unpause()
            self._deadline = self.context.tick + LINGER_TICKS

    def _resumed(self) -> None:
        if self.half_closed and self._reading is HEAD:
            self._finish(linger=False)

    def _next(self) -> None:
        self.cycle = None
        self._reading = HEAD
        policy = self.policy
        self._deadline = self.context.tick + policy.keepalive_ticks
        if self._held:
            self._resume_soon()
        else:
            if self._paused:
                self._unpause()
            if self.half_closed:
                self._finish(linger=False)

    def body_wanted(self, cycle: RequestCycle) -> None:
        """The application waits for the body: now is the time for ``100 Continue`` (RFC 9110 section 10.1.1)."""
        if self._expects:
            self._expects = False
            if cycle.phase is WAITING or cycle.phase is STARTED:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._unpause()
        if self.policy.body_ticks:
            self._deadline = self.context.tick + self.policy.body_ticks

    def body_taken(self) -> None:
        """There is room again."""
        if self._paused and len(self._held) <= HIGH_WATER:
            self._unpause()

    def cut(self, cycle: RequestCycle) -> None:
        """End so that the client can tell: a body that ends with the connection needs a reset to look incomplete."""
        self.cycle = None
        self._reading = CLOSED
        if self.context.access_log is not None:
            self._log(cycle)
        if cycle.ends_with_connection:
            self._reset()
        elif self._cork is not None:
            self._finish(linger=False)  # it holds the answers before this one
        else:
            self.transport.abort()

    def _reset(self) -> None:
        """Cut the connection; the kernel forgets what is still to be sent, and tells the client."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _log(self, cycle: RequestCycle) -> None:
        policy = self.policy
        if policy.log_response is None:  # an import statement for each request would cost more than the record
            from .http_log import log_response

            policy.log_response = log_response
        assert self.context.access_log is not None
        policy.log_response(self.context.access_log, cycle)

    # The end

    def _refuse(self, refusal: Refusal) -> None:
        """Answer for the application, then close. The answers that are due before it have been given: a head is only
        read when its turn has come."""
        cycle = self.cycle
        context = self.context
        if cycle is not None:
            # A body turned out to be malformed while the application has it.
            began = cycle.phase is not WAITING and cycle.phase is not STARTED
            self.cycle = None
            cycle.disconnect()
            if began:
                self.transport.abort()
                return
        self.write(refusal_bytes(refusal.status, refusal.reason, context.date_header, self.policy.server_line))
        if context.access_log is not None:
            from .http_log import log_refusal

            log_refusal(context.access_log, self._client, self._scheme, refusal.status, cycle)
        self._finish(linger=True)

    def _finish(self, *, linger: bool) -> None:
        """Close after what has been written. With ``linger`` the client's bytes are read for a while, since closing
        a socket with unread bytes destroys the response on its way (RFC 9112 section 9.6)."""
        self.cycle = None
        self._held = b""
        if self._cork is not None:
            self._uncork()
        self._deadline = self.context.tick + LINGER_TICKS
        if linger and not self.half_closed and self._reading is not CLOSED:
            self._reading = DISCARD
            self._left = LINGER_LIMIT
            self._unpause()
            if self.transport.can_write_eof():
                try:
                    self.transport.write_eof()
                except OSError:  # reset in the meantime: asyncio shuts the socket down at once
                    self.transport.abort()
        else:
            self._reading = CLOSED
            self.transport.close()

    def _upgrade(self, line: RequestLine, scope: dict[str, Any], leftover: bytes) -> None:
        """Hand the transport over to the WebSocket protocol."""
        context = self.context
        assert context.websocket_protocol is not None
        if context.draining:
            raise Refusal(503, "The server is shutting down.")
        self._reading = CLOSED
        context.connections.discard(self)
        upgrade = Upgrade(
            scope=websocket_scope(scope),
            method=line.method,
            target=line.target,
            http_version=line.http_version,
            transport=self.transport,
            leftover=leftover,
            started=context.loop.time(),
        )
        if self._cork is not None:
            self._uncork()
        protocol = context.websocket_protocol(context, upgrade)
        self._unpause()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if leftover:
            protocol.data_received(leftover)

    # ``base.Connection``, and time

    def age(self, tick: int) -> None:
        """Compare the deadline with ``tick``."""
        if self.write_paused and 0 < self.policy.write_ticks <= self._unmoved_for(tick):
            log.info("a client takes nothing of its response: %s", self.describe(), extra={"event": "client_stalled"})
            self._reset()
        elif 0 < self._deadline <= tick:
            self._deadline = 0
            self._expire(tick)
        elif self.cycle is not None and 0 < self.policy.request_ticks <= tick - self._since:
            self.cycle.expire()

    def _expire(self, tick: int) -> None:
        reading = self._reading
        if reading is HEAD:
            if self.write_paused:
                self._deadline = tick + 1  # it is we who wait, for the client to take its answers
            elif self._held:
                self._refuse(Refusal(408, "The head of the request took too long."))
            else:
                self._finish(linger=False)
        elif reading is BODY:
            if self.cycle is not None and self.cycle.is_over:
                self._finish(linger=True)
            else:
                self._refuse(Refusal(408, "The body of the request took too long."))
        elif reading is not ANSWER:
            # Closing, but the client does not take what we wrote: as long as it moves, it may go on.
            if undelivered(self.transport) and not self._unmoved_for(tick):
                self._reading = CLOSED
                self._deadline = tick + (self.policy.write_ticks or LINGER_TICKS)
            else:
                self.transport.abort()

    def _unmoved_for(self, tick: int) -> int:
        """For how many ticks the client has been seen to take nothing."""
        now = progress(self.transport)
        if self._unmoved is None or self._unmoved[1] != now:
            self._unmoved = tick, now
        return tick - self._unmoved[0]

    def drain(self, reason: str) -> None:
        """The worker is leaving; ``must_close`` sees to busy connections."""
        if self._reading is HEAD and not self._held:
            deadline = self.context.tick + self.policy.drain_ticks
            if not self.policy.drain_ticks:
                self._finish(linger=False)
            elif not self._deadline or deadline < self._deadline:
                self._deadline = deadline

    def abort(self) -> None:
        """Cut the connection and cancel its application task."""
        cycle = self.cycle
        self.transport.abort()
        if cycle is not None and cycle.task is not None:
            cycle.task.cancel()

    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None and not self._held

    def describe(self) -> str:
        """For a log line."""
        peer = f"{self._client[0]}:{self._client[1]}" if self._client else "a local peer"
        if self.cycle is None:
            return f"{peer}, reading {self._reading.value}"
        scope = self.cycle.scope
        context = self.context
        age = context.tick - self._since + context.loop.time() - context.ticked_at
        line = f"{scope['method']} {self.cycle.line.target.decode('latin-1')} HTTP/{scope['http_version']}"
        return f"{peer}, {line}, {self.cycle.phase.value}, for {age:.1f} s"


async def _awaited(awaitable: Any) -> None:
    """An application call that gave something to await other than a coroutine."""
    await awaitable


def _applications_part(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this folder at its beginning."""
    own = __name__.rpartition(".")[0]
    while (
        traceback is not None
        and traceback.tb_next is not None
        and traceback.tb_frame.f_globals.get("__name__", "").startswith(own)
    ):
        traceback = traceback.tb_next
    return traceback


def _address(name: Any) -> tuple[str, int] | None:
    """``peername`` as ASGI's ``client``; None for a Unix socket."""
    if isinstance(name, tuple | list) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return None


def _server_address(name: Any) -> tuple[str, int | None] | None:
    """``sockname`` as ASGI's ``server``: a Unix socket is its path and None."""
    if isinstance(name, tuple | list) and len(name) >= 2:
        return str(name[0]), int(name[1])
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    return (name, None) if name else None
