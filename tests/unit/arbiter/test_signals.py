"""The table of signals, and how bytes from the wakeup descriptor become orders."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from signal import Signals

import pytest

from asgi_arbiter.arbiter import signals
from asgi_arbiter.arbiter.signals import ROWS, Order, orders


def test_no_signal_stands_in_two_rows_and_every_order_in_one() -> None:
    assert len({row.signal for row in ROWS}) == len(ROWS)
    assert sorted(row.order.name for row in ROWS if row.order) == sorted(order.name for order in Order)


def test_every_row_is_told_in_sentences() -> None:
    for row in ROWS:
        assert row.arbiter.endswith(".") and row.worker.endswith("."), row.signal.name


def test_orders_to_stop_come_first() -> None:
    found = orders([Signals.SIGHUP, Signals.SIGTTIN, Signals.SIGTERM])
    assert found == [(Order.STOP, "SIGTERM"), (Order.RELOAD, "SIGHUP"), (Order.MORE, "SIGTTIN")]


def test_what_is_no_order_is_nothing() -> None:
    assert orders([Signals.SIGCHLD, Signals.SIGALRM, 200]) == []


def test_two_of_the_same_are_two_orders() -> None:
    assert [order for order, _ in orders([Signals.SIGTTIN, Signals.SIGTTIN])] == [Order.MORE, Order.MORE]


@pytest.fixture
def installed() -> Iterator[int]:
    before = {row.signal: signal.getsignal(row.signal) for row in ROWS}
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signals.install(writer)
    try:
        yield reader
    finally:
        signals.restore()
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def test_a_signal_arrives_as_a_byte_and_does_nothing_else(installed: int) -> None:
    signal.raise_signal(Signals.SIGTERM)
    signal.raise_signal(Signals.SIGHUP)
    assert os.read(installed, 100) == bytes([Signals.SIGTERM, Signals.SIGHUP])


def test_a_closed_pipe_is_no_reason_to_die(installed: int) -> None:
    assert signal.getsignal(Signals.SIGPIPE) is signal.SIG_IGN


def test_restore_gives_the_defaults_back(installed: int) -> None:
    signals.restore()
    assert signal.getsignal(Signals.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(Signals.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1
