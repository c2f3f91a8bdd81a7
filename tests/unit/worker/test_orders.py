"""What a signal does to a worker, by the time of life in which it comes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.orders import Dismissed, Orders, _let_dismissals_pass

LEAVING = (signal.SIGTERM, signal.SIGQUIT)


@pytest.fixture
def orders() -> Iterator[Orders]:
    """Orders of a worker whose arbiter is this process's parent; the handlers are put back afterwards."""
    before = {number: signal.getsignal(number) for number in LEAVING}
    ours, theirs = open_pair()
    made = Orders(Mailbox(theirs), os.getppid(), SimpleNamespace(has=lambda name: False))  # type: ignore[arg-type]
    for number in LEAVING:
        signal.signal(number, made._dismiss)
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("number", LEAVING)
def test_while_the_application_is_imported_a_signal_interrupts_it(orders: Orders, number: signal.Signals) -> None:
    with pytest.raises(Dismissed):
        signal.raise_signal(number)


def test_user_code_that_swallows_the_interruption_does_not_win(orders: Orders) -> None:
    with pytest.raises(Dismissed):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Dismissed):
        orders.stop_interrupting()


def test_a_signal_in_a_finalizer_is_no_traceback_and_still_obeyed(
    orders: Orders, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    class Broken:
        def __del__(self) -> None:
            raise KeyError("a mistake of the application")

    monkeypatch.setattr(sys, "unraisablehook", _let_dismissals_pass)
    Finalized()
    assert capfd.readouterr().err == ""
    Broken()
    assert "a mistake of the application" in capfd.readouterr().err
    with pytest.raises(Dismissed):
        orders.stop_interrupting()
    assert sys.unraisablehook is sys.__unraisablehook__


@pytest.mark.parametrize("number", LEAVING)
def test_while_the_loop_starts_a_signal_is_remembered_and_then_obeyed(orders: Orders, number: signal.Signals) -> None:
    drained: list[Any] = []
    server: Any = SimpleNamespace(begin_drain=lambda reason, **options: drained.append(reason), describe=str)

    async def serve() -> None:
        orders.attach(asyncio.get_running_loop(), server)
        orders.detach()

    orders.stop_interrupting()
    signal.raise_signal(number)
    asyncio.run(serve())
    assert drained == ["recycle"]


class Station:
    """A worker that serves, seen from its orders: the loop's time is moved by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arbiter, end = open_pair()
        self.drained: list[tuple[str, float | None]] = []
        self.hooked: list[str] = []
        self.timers: list[Any] = []
        self.readers: dict[int, Any] = {}
        self.handlers: dict[int, Any] = {}
        hooks: Any = SimpleNamespace(has=lambda name: False, with_worker=self.hooked.append)
        config = SimpleNamespace(
            quick_timeout=5.0, graceful_timeout=30.0, kill_timeout=5.0, lifespan_shutdown_timeout=10.0
        )
        server: Any = SimpleNamespace(
            config=config,
            begin_drain=lambda reason, timeout=None: self.drained.append((reason, timeout)),
            describe=str,
        )
        loop: Any = SimpleNamespace(
            call_later=self._call_later,
            add_reader=self.readers.__setitem__,
            remove_reader=lambda fd: self.readers.pop(fd, None),
            add_signal_handler=self.handlers.__setitem__,
            remove_signal_handler=self.handlers.pop,
        )
        monkeypatch.setattr(signal, "signal", lambda number, handler: None)
        monkeypatch.setattr(signal, "siginterrupt", lambda number, flag: None)
        self.mailbox = Mailbox(end)
        self.orders = Orders(self.mailbox, os.getppid(), hooks)
        self.orders.attach(loop, server)

    def _call_later(self, delay: float, callback: Any, *arguments: Any) -> Any:
        timer = SimpleNamespace(delay=delay, fire=lambda: callback(*arguments), cancelled=False)
        timer.cancel = lambda: setattr(timer, "cancelled", True)
        self.timers.append(timer)
        return timer

    def signal(self, number: signal.Signals) -> None:
        self.handlers[number]()

    def mail(self, text: bytes) -> None:
        self.arbiter.send(text)
        self.readers[self.mailbox.fileno()]()

    def close(self) -> None:
        self.arbiter.close()
        self.mailbox.close()


@pytest.fixture
def station(monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    station = Station(monkeypatch)
    yield station
    station.close()


def test_the_arbiters_word_says_why_and_is_obeyed_at_once(station: Station) -> None:
    station.mail(b'{"kind": "leave", "reason": "reload"}\n')
    assert station.drained == [("reload", None)]


def test_a_term_without_a_word_waits_a_moment_for_it(station: Station) -> None:
    station.signal(signal.SIGTERM)
    station.signal(signal.SIGTERM)
    assert station.drained == []
    (timer,) = station.timers
    assert timer.delay < 1
    timer.fire()
    assert station.drained == [("recycle", None)]


def test_the_word_after_the_term_replaces_the_wait(station: Station) -> None:
    station.signal(signal.SIGTERM)
    station.mail(b'{"kind": "leave", "reason": "shutdown"}\n')
    assert station.drained == [("shutdown", None)]
    assert station.timers[0].cancelled


def test_quit_leaves_quickly_and_calls_the_hook(station: Station) -> None:
    station.signal(signal.SIGQUIT)
    assert station.drained == [("shutdown", 5.0)]
    assert station.hooked == ["worker_int"]


def test_the_arbiters_word_may_say_that_it_hurries_and_the_signal_adds_nothing(station: Station) -> None:
    station.mail(b'{"kind": "leave", "reason": "shutdown", "quick": true}\n')
    station.signal(signal.SIGQUIT)
    assert station.drained[0] == ("shutdown", 5.0)
    assert station.hooked == ["worker_int"]


def test_the_death_of_the_arbiter_is_an_order_to_leave(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    station.arbiter.close()
    station.readers[station.mailbox.fileno()]()
    assert station.drained == [("orphaned", None)]
    assert station.readers == {}
    assert "the arbiter is gone" in caplog.text


def test_a_word_before_the_death_is_heard_first(station: Station) -> None:
    station.arbiter.send(b'{"kind": "leave", "reason": "shutdown"}\n')
    station.arbiter.close()
    station.readers[station.mailbox.fileno()]()
    assert [reason for reason, _ in station.drained] == ["shutdown", "orphaned"]


def test_other_messages_are_none_of_its_business(station: Station) -> None:
    station.mail(b'{"kind": "weather"}\nnonsense\n')
    assert station.drained == []


def test_an_orphan_gets_a_limit_that_holds_even_if_its_loop_is_blocked(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: limits.append(seconds))
    station.orders._limit_an_orphan(signal.SIGTERM, None)
    assert limits == []
    monkeypatch.setattr(os, "getppid", lambda: 1)
    station.orders._limit_an_orphan(signal.SIGTERM, None)
    assert limits == [45.0]


def test_after_the_end_nothing_is_listened_to(station: Station) -> None:
    station.orders.detach()
    assert station.handlers == {}
    assert station.readers == {}


@pytest.mark.parametrize("why", ["word", "death", "ppid"])
def test_whoever_is_told_to_leave_while_booting_does_not_go_on(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arbiter, end = open_pair()
    mailbox = Mailbox(end)
    orders = Orders(mailbox, os.getppid(), SimpleNamespace(has=lambda name: False))  # type: ignore[arg-type]
    orders.check()
    if why == "word":
        arbiter.send(b'{"kind": "leave", "reason": "shutdown"}\n')
    elif why == "death":
        arbiter.close()
    else:
        monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(Dismissed):
        orders.check()
    arbiter.close()
    mailbox.close()
