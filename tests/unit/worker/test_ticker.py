"""The beat of the loop, on a loop whose time the test moves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker.ticker import Ticker, http_date


class Clock:
    """As much of a loop as a ticker needs."""

    def __init__(self) -> None:
        self.now = 50.0
        self.timer: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        self.timer = when, callback
        return SimpleNamespace(cancel=self.cancel)

    def cancel(self) -> None:
        self.timer = None

    def fire(self, *, late: float = 0.0) -> None:
        assert self.timer is not None
        self.now, callback = self.timer[0] + late, self.timer[1]
        callback()


class Aged:
    def __init__(self, context: Any, *, leaves: bool = False, breaks: bool = False) -> None:
        self.context, self.leaves, self.breaks = context, leaves, breaks
        self.ticks: list[int] = []
        context.connections.add(self)

    def age(self, tick: int) -> None:
        self.ticks.append(tick)
        if self.leaves:
            self.context.connections.discard(self)
        if self.breaks:
            raise RuntimeError("broken")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(clock: Clock, **settings: Any) -> tuple[Any, Ticker, list[float]]:
    lags: list[float] = []
    context: Any = SimpleNamespace(config=Config(**settings), loop=clock, tick=0, date_header=b"", connections=set())
    return context, Ticker(context, lags.append), lags


def test_it_beats_at_once_and_then_every_second(clock: Clock) -> None:
    context, ticker, lags = made(clock)
    ticker.start()
    assert lags == [0.0]
    for _ in range(3):
        clock.fire()
    assert context.tick == 3
    assert clock.now == 53.0
    assert lags == [0.0] * 4


def test_being_late_is_the_lag_and_does_not_move_the_next_beat(clock: Clock) -> None:
    _, ticker, lags = made(clock)
    ticker.start()
    clock.fire(late=0.25)
    assert lags[-1] == 0.25
    assert clock.timer is not None
    assert clock.timer[0] == 52.0


def test_beats_missed_while_the_loop_was_blocked_are_not_made_up_for(clock: Clock) -> None:
    context, ticker, lags = made(clock)
    ticker.start()
    clock.fire(late=20.0)
    assert lags[-1] == 20.0
    assert context.tick == 1
    assert clock.timer is not None
    assert clock.timer[0] == 71.5


def test_all_connections_are_aged_also_when_one_leaves_meanwhile(clock: Clock) -> None:
    context, ticker, _ = made(clock)
    connections = [Aged(context, leaves=number == 1) for number in range(3)]
    ticker.start()
    clock.fire()
    clock.fire()
    assert sorted(connection.ticks for connection in connections) == [[1], [1, 2], [1, 2]]


def test_a_connection_that_breaks_does_not_stop_the_beat(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    context, ticker, lags = made(clock)
    Aged(context, breaks=True)
    good = Aged(context)
    ticker.start()
    with caplog.at_level(logging.ERROR):
        clock.fire()
    assert good.ticks == [1]
    assert len(lags) == 2
    assert caplog.messages == ["a connection could not be aged"]


def test_the_date_is_there_from_the_start_and_can_be_switched_off(clock: Clock) -> None:
    context, ticker, _ = made(clock)
    ticker.start()
    assert context.date_header.startswith(b"date: ")
    assert context.date_header.endswith(b" GMT\r\n")
    context, ticker, _ = made(clock, date_header=False)
    ticker.start()
    assert context.date_header == b""


def test_after_the_stop_there_is_no_timer(clock: Clock) -> None:
    _, ticker, _ = made(clock)
    ticker.stop()
    ticker.start()
    ticker.stop()
    assert clock.timer is None


def test_the_date_is_the_example_of_the_rfc() -> None:
    assert http_date(time.gmtime(784111777)) == b"Sun, 06 Nov 1994 08:49:37 GMT"  # RFC 9110 section 5.6.7
