"""The access records of HTTP requests. Called only where the access log is on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from asgi_arbiter.config.access import AccessRecord

from .errors import Refusal
from .request_line import parse_request_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cycle import RequestCycle

__all__ = ["log_refusal", "log_response"]

_LINE_LIMIT: Final = 16384
"""A longer line is not worth its place in the log."""
CLIENT_GONE: Final = 499
"""The status logged where the client left before the response began (nginx's number)."""


def log_response(access_log: Callable[[AccessRecord], None], cycle: RequestCycle) -> None:
    """Record a request whose response has ended, in whatever way."""
    scope = cycle.scope
    access_log(
        AccessRecord(
            "http",
            scope["client"],
            scope["scheme"],
            scope["method"],
            cycle.line.target,
            scope["http_version"],
            cycle.status or CLIENT_GONE,
            cycle.sent,
            time.monotonic() - cycle.began_at,
            scope["headers"],
            list(getattr(cycle, "response_headers", ())),
        )
    )


def log_refusal(
    access_log: Callable[[AccessRecord], None],
    client: tuple[str, int] | None,
    scheme: str,
    refusal: Refusal,
    cycle: RequestCycle | None,
    head: bytes,
) -> None:
    """Record a request that was refused; ``cycle`` is there if its application had been called already, ``head`` is what
    came of it otherwise."""
    size = len(refusal.reason) + 1
    if cycle is not None:
        cycle.status = refusal.status
        cycle.sent = 0 if cycle.line.is_head else size
        log_response(access_log, cycle)
        return
    method, target, version = "-", b"-", "1.1"
    line_end = head.find(b"\r\n", 0, _LINE_LIMIT)
    if line_end >= 0:
        try:
            line = parse_request_line(head[:line_end])
        except Refusal:
            pass
        else:
            method, target, version = line.method, line.target, line.http_version
    if head.startswith(b"HEAD "):
        size = 0
    access_log(AccessRecord("http", client, scheme, method, target, version, refusal.status, size, 0.0, []))
