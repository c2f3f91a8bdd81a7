"""The one-second beat of the event loop: clock, date header, deadlines of all connections, pulse, limits.

One timer per worker. It must be a timer of the loop and nothing else: that it fires is the proof that the loop turns,
and by how much it fires late is the loop's lag. Rules:

* nobody else keeps per-connection timers; connections compare their deadlines with the tick number;
* ageing 5,000 idle connections is 5,000 method calls, well under a millisecond each thousand, so there is no wheel;
* an error of one connection does not stop the beat.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from asgi_arbiter.protocols.base import ConnectionContext

__all__ = ["INTERVAL", "Ticker", "http_date"]

log = logging.getLogger("asgi_arbiter.worker")

INTERVAL = 1.0
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Ticker:
    """Beats once a second while it runs. ``after`` is called at the end of each beat with the loop's lag in seconds."""

    def __init__(self, context: ConnectionContext, after: Callable[[float], None]) -> None:
        self._context = context
        self._after = after
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._dated = context.config.date_header

    def start(self) -> None:
        """Set the date header, tell the first beat, and begin to tick."""
        self._due = self._context.loop.time()
        self._set_date()
        self._after(0.0)
        self._schedule()

    def stop(self) -> None:
        """No more beats."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        # From the due time and not from now, so that small delays do not add up; but beats that were missed are missed.
        now = self._context.loop.time()
        self._due = max(self._due + INTERVAL, now + INTERVAL / 2)
        self._timer = self._context.loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        context = self._context
        context.ticked_at = now = context.loop.time()
        lag = max(0.0, now - self._due)
        self._schedule()
        context.tick += 1
        self._set_date()
        self._age(context.tick)
        self._after(lag)

    def _age(self, tick: int) -> None:
        for connection in tuple(self._context.connections):  # a connection may leave the set while it is aged
            try:
                connection.age(tick)
            except Exception:  # one broken connection must not stop the clock of all others
                log.exception("a connection could not be aged", extra={"event": "internal_error"})

    def _set_date(self) -> None:
        if self._dated:
            self._context.date_header = b"date: " + http_date(time.gmtime()) + b"\r\n"


def http_date(utc: time.struct_time) -> bytes:
    """IMF-fixdate (RFC 9110 section 5.6.7). ``time.strftime`` would follow the locale, which the RFC does not."""
    return (
        f"{_DAYS[utc.tm_wday]}, {utc.tm_mday:02} {_MONTHS[utc.tm_mon - 1]} {utc.tm_year:04} "
        f"{utc.tm_hour:02}:{utc.tm_min:02}:{utc.tm_sec:02} GMT"
    ).encode()
