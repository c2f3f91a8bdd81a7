"""What comes before the arbiter's own handlers stand."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from signal import Signals

import pytest

from asgi_arbiter.arbiter import early, signals

ORDERS = [Signals.SIGHUP, Signals.SIGUSR1, Signals.SIGUSR2, Signals.SIGTTIN, Signals.SIGTTOU]


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    before = {row.signal: signal.getsignal(row.signal) for row in signals.ROWS}
    early.listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    early.take()


@pytest.mark.parametrize("number", ORDERS, ids=lambda each: each.name)
def test_an_order_is_remembered_once(number: Signals) -> None:
    signal.raise_signal(number)
    assert early.take() == bytes([number])
    assert early.take() == b""


@pytest.mark.parametrize("number", [Signals.SIGTERM, Signals.SIGQUIT], ids=lambda each: each.name)
def test_a_stop_ends_the_start_and_is_remembered_should_somebody_swallow_it(number: Signals) -> None:
    with pytest.raises(early.Ended):
        signal.raise_signal(number)
    assert early.take() == bytes([number])


def test_ended_is_no_exception_that_careful_code_catches() -> None:
    assert not issubclass(early.Ended, Exception)


def test_what_came_before_is_handed_over_in_its_order() -> None:
    signal.raise_signal(Signals.SIGTTIN)
    signal.raise_signal(Signals.SIGHUP)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        signals.install(writer)
        assert os.read(reader, 100) == bytes([Signals.SIGTTIN, Signals.SIGHUP])
    finally:
        signals.restore()
        os.close(reader)
        os.close(writer)
