"""The HTTP/1.1 connection: an ``asyncio.Protocol`` that calls the application.

It owns the transport. Reading is one base class's (``reading``), time and the end the other's (``ending``), the
conversation with the application the cycle's (``cycle``); this module joins them: it judges a head and makes its cycle,
and answers for the application where a request is refused.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import CancelledError
from contextvars import Context
from functools import lru_cache
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any

from .base import Upgrade
from .cycle import COMPLETE, STARTED, WAITING, RequestCycle
from .ending import LINGER_TICKS, EndingReader
from .errors import Refusal
from .extensions import for_http_1_0, with_tls
from .fields import check_sizes
from .first_step import start
from .flow import HIGH_WATER, Waiters, wake
from .progress import reset
from .proxy import apply_forwarding
from .reading import ANSWER, BODY, CLOSED, DISCARD_LIMIT, HEAD
from .request_line import read_request_line
from .response import refusal_bytes
from .scope import make_scope, websocket_scope
from .terms import inspect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .asgi import HeaderList
    from .base import ConnectionContext, HeadParser
    from .heads import Judged
    from .request_line import RequestLine

__all__ = ["HttpConnection"]


class HttpConnection(EndingReader):
    """One connection, from its acceptance to its end or its upgrade."""

    __slots__ = (
        "_client",
        "_extensions",
        "_scheme",
        "_server",
        "_trust",
        "_wanted",
        "write_waiters",
    )

    def __init__(self, context: ConnectionContext, parser_type: type[HeadParser]) -> None:
        super().__init__(context, parser_type)
        self.write_waiters: Waiters = []

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
        waiting = self._reading is ANSWER or (self._reading is HEAD and self._has_whole_head())
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
        self._taking = self._write_pace = None

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
        known = policy.heads.find(block[line_end:])
        if known is None or not line.modern:
            known = self._judge(line, block, line_end)
        fields, terms, _ = known
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

    def _judge(self, line: RequestLine, block: bytes, line_end: int) -> Judged:
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
        if line.modern and not terms.offered:
            policy.heads.keep(block[line_end:], fields, terms, self.context.tick)
        return fields, terms, ()

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
        if self.half_closed:
            if self._reading is HEAD and not self._has_whole_head():
                self._finish(linger=False)
            elif self._reading is BODY:
                self.transport.close()  # the rest of it will never come

    def _has_whole_head(self) -> bool:
        return self._held.find(b"\r\n\r\n") >= 0

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
            if self.half_closed:  # there may be more in what is being read
                self.context.loop.call_soon(self._resumed)

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
            reset(self.transport)
        elif self._cork is not None:
            self._finish(linger=False)  # it holds the answers before this one
        else:
            self.transport.abort()

    def _log(self, cycle: RequestCycle) -> None:
        policy = self.policy
        if policy.log_response is None:  # an import statement for each request would cost more than the record
            from .http_log import log_response

            policy.log_response = log_response
        assert self.context.access_log is not None
        policy.log_response(self.context.access_log, cycle)

    # In place of an answer

    def _refuse(self, refusal: Refusal, head: bytes = b"") -> None:
        """Answer for the application, then close. ``head`` is what has come of the request. The answers that are due
        before it have been given: a head is only read when its turn has come."""
        cycle = self.cycle
        context = self.context
        is_head = head.startswith(b"HEAD ")
        if cycle is not None:
            # A body turned out to be malformed while the application has it, or after the answer.
            if cycle.is_over:
                self._finish(linger=True)
                return
            began = cycle.phase is not WAITING and cycle.phase is not STARTED
            cycle.disconnect()
            if began:
                self.cut(cycle)
                return
            self.cycle = None
            is_head = cycle.line.is_head
        server_line = self.policy.server_line
        self.write(refusal_bytes(refusal.status, refusal.reason, context.date_header, server_line, body=not is_head))
        if context.access_log is not None:
            from .http_log import log_refusal

            log_refusal(context.access_log, self._client, self._scheme, refusal, cycle, head)
        self._finish(linger=True)

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

    # ``base.Connection``

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


@lru_cache(64)
def _server_address(name: Any) -> tuple[str, int | None] | None:
    """``sockname`` as ASGI's ``server``: a Unix socket is its path and None. Kept once for all connections to it."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]), int(name[1])
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    return (name, None) if name else None
