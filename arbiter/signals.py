"""One table: which signal means what, to the arbiter and to a worker. ``SIGNALS.md`` is made from it.

Rules: a handler does nothing at all; Python's wakeup descriptor carries the number of the signal to the loop, which is
the only place that acts. Everything that is not in the table keeps its default meaning.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from enum import Enum
from signal import Signals
from types import FrameType

from asgi_arbiter.config.records import Record

from . import early

__all__ = ["ROWS", "Order", "Row", "install", "orders", "restore"]


class Order(Enum):
    """What an operator can ask for by a signal."""

    STOP = "stop gracefully"
    INTERRUPT = "stop quickly"
    QUIT = "stop quickly, even if a graceful stop has begun"
    RELOAD = "reload settings and code"
    MORE = "one worker more"
    FEWER = "one worker fewer, never below one"
    REOPEN = "open the log files anew"
    EMPTY = "daemon only: stop all workers gracefully, keep the arbiter"
    UPGRADE = "replace the program"


class Row(Record):
    """One signal."""

    signal: Signals
    order: Order | None
    arbiter: str
    worker: str


ROWS: tuple[Row, ...] = (
    Row(
        Signals.SIGTERM,
        Order.STOP,
        "Stop gracefully: listeners close, workers finish their requests within `graceful_timeout`. "
        "Again: kill what is left at once.",
        "Drain and leave. Repetition is harmless.",
    ),
    Row(
        Signals.SIGINT,
        Order.INTERRUPT,
        "Stop quickly: requests get `quick_timeout`. During any stop: kill what is left at once.",
        "Ignored: a terminal sends it to the whole group, and the arbiter decides.",
    ),
    Row(
        Signals.SIGQUIT,
        Order.QUIT,
        "Stop quickly, also when a graceful stop has begun.",
        "Drain within `quick_timeout` and leave.",
    ),
    Row(
        Signals.SIGHUP,
        Order.RELOAD,
        "Reload settings and code as a transaction: a canary first, then new before old; on any failure nothing has "
        "changed. During a reload it is remembered once.",
        "Ignored, so that `pkill -HUP` does no harm.",
    ),
    Row(Signals.SIGTTIN, Order.MORE, "One worker more; kept across reloads.", "Ignored."),
    Row(Signals.SIGTTOU, Order.FEWER, "One worker fewer, the oldest, never below one.", "Ignored."),
    Row(
        Signals.SIGUSR1,
        Order.REOPEN,
        "Open the log files anew, here and in every worker (for log rotation).",
        "Open the log files anew.",
    ),
    Row(
        Signals.SIGUSR2,
        Order.UPGRADE,
        "Start a successor: the program as it is now, with the same sockets. When its workers serve it leads, and this "
        "arbiter finishes what is under way; if it fails, nothing has changed. During a reload it is remembered once.",
        "Tell the arbiter's log the stacks of all threads and tasks, and the requests under way.",
    ),
    Row(
        Signals.SIGWINCH,
        Order.EMPTY,
        "With `--daemon`: all workers leave gracefully, the arbiter stays; SIGTTIN or SIGHUP brings workers back. "
        "Otherwise ignored, since every resized terminal sends it.",
        "Ignored.",
    ),
    Row(Signals.SIGCHLD, None, "A child ended: it is reaped and, if wished, replaced.", "Left to the application."),
    Row(
        Signals.SIGABRT,
        None,
        "Default: die with a core.",
        "Tell the arbiter's log the stacks of all threads, then die. The arbiter sends it when a pulse or a boot is overdue.",
    ),
    Row(Signals.SIGPIPE, None, "Ignored: a closed log pipe must not end the service.", "Ignored."),
)

_URGENCY = (Order.QUIT, Order.INTERRUPT, Order.STOP)


def orders(numbers: Iterable[int]) -> list[tuple[Order, str]]:
    """The orders in what came through the wakeup descriptor, orders to stop first: whoever sent both wants out.

    >>> orders([1, 15])[0]
    (<Order.STOP: 'stop gracefully'>, 'SIGTERM')
    """
    by_number = {int(row.signal): row for row in ROWS}
    found = [
        (row.order, row.signal.name)
        for number in numbers
        if (row := by_number.get(number)) is not None and row.order is not None
    ]
    return sorted(found, key=lambda pair: pair[0] not in _URGENCY)


def _poke(_number: int, _frame: FrameType | None) -> None:
    """Nothing: that a handler exists is what makes Python write to the wakeup descriptor."""


def install(wakeup_fd: int) -> None:
    """Route every signal of the table to ``wakeup_fd`` (non-blocking), and first those that came before. Must run in
    the main thread."""
    signal.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)
    for row in ROWS:
        if row.order is not None or row.signal is Signals.SIGCHLD:
            signal.signal(row.signal, _poke)
            signal.siginterrupt(row.signal, False)
    signal.signal(Signals.SIGPIPE, signal.SIG_IGN)
    came_before = early.take()
    if came_before:
        os.write(wakeup_fd, came_before)


def restore() -> None:
    """Back to the defaults, for a forked child and for the end of the program."""
    signal.set_wakeup_fd(-1)
    for row in ROWS:
        if row.order is not None or row.signal is Signals.SIGCHLD:
            default = signal.default_int_handler if row.signal is Signals.SIGINT else signal.SIG_DFL
            signal.signal(row.signal, default)
