"""What a signal does to a worker, by the time of life in which it comes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.orders import Dismissed, Orders

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


@pytest.mark.parametrize("number", LEAVING)
def test_while_the_loop_starts_a_signal_is_remembered_and_then_obeyed(orders: Orders, number: signal.Signals) -> None:
    drained: list[Any] = []
    server: Any = SimpleNamespace(begin_drain=lambda reason, **options: drained.append(reason))

    async def serve() -> None:
        orders.attach(asyncio.get_running_loop(), server)
        orders.detach()

    orders.stop_interrupting()
    signal.raise_signal(number)
    asyncio.run(serve())
    assert drained == ["recycle"]
