"""The access records of HTTP requests. Called only where the access log is on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from asgi_arbiter.config.access import AccessRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cycle import RequestCycle

__all__ = ["log_refusal", "log_response"]

CLIENT_GONE = 499
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
    status: int,
    cycle: RequestCycle | None,
) -> None:
    """Record a request that was refused; ``cycle`` is there if its application had been called already."""
    if cycle is not None:
        cycle.status = status
        log_response(access_log, cycle)
    else:
        access_log(AccessRecord("http", client, scheme, "-", b"-", "1.1", status, 0, 0.0, []))
