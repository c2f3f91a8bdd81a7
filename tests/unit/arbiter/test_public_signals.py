"""Signals of embedded servers: caught together, given back together, raised again at the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from asgi_arbiter.arbiter import public_signals
from asgi_arbiter.arbiter.public_signals import CAUGHT, catching, install


class Listening:
    """A catcher that remembers."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.again: list[int] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.heard.append(sig)
        self.again.append(sig)

    def take_caught(self) -> list[int]:
        again, self.again = self.again, []
        return again


@pytest.fixture
def raised() -> Iterator[list[int]]:
    """The program's own handlers; what they got."""
    got: list[int] = []

    def own(number: int, frame: FrameType | None) -> None:
        got.append(number)

    before = {number: signal.signal(number, own) for number in CAUGHT}
    yield got
    for number, handler in before.items():
        signal.signal(number, handler)
    assert public_signals._catchers == []


def test_a_signal_is_heard_within_the_block_and_raised_again_after_it(raised: list[int]) -> None:
    server = Listening()
    with catching(server):
        install()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert raised == []
    assert server.heard == [signal.SIGTERM, signal.SIGINT]
    assert raised == [signal.SIGINT, signal.SIGTERM]


def test_without_install_the_program_keeps_its_signals(raised: list[int]) -> None:
    server = Listening()
    with catching(server):
        signal.raise_signal(signal.SIGTERM)
    assert (server.heard, raised) == ([], [signal.SIGTERM])


def test_a_block_in_a_block_of_the_same_server_gives_back_once(raised: list[int]) -> None:
    server = Listening()
    with catching(server):
        install()
        with catching(server):
            install()
            signal.raise_signal(signal.SIGTERM)
        assert raised == []
    assert (server.heard, raised) == ([signal.SIGTERM], [signal.SIGTERM])


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_of_several_servers_all_hear_whichever_ends_first(raised: list[int], first_ends_first: bool) -> None:
    one, two = Listening(), Listening()
    blocks: list[Any] = [catching(one), catching(two)]
    for block in blocks:
        block.__enter__()
        install()
    signal.raise_signal(signal.SIGINT)
    blocks.pop(0 if first_ends_first else 1).__exit__(None, None, None)
    signal.raise_signal(signal.SIGTERM)
    assert raised == []
    blocks.pop().__exit__(None, None, None)
    left = two if first_ends_first else one
    assert left.heard == [signal.SIGINT, signal.SIGTERM]
    assert raised == [signal.SIGTERM, signal.SIGINT]


def test_a_handler_that_the_program_installed_meanwhile_stays(raised: list[int]) -> None:
    def newer(number: int, frame: FrameType | None) -> None:
        pass

    with catching(Listening()):
        install()
        signal.signal(signal.SIGTERM, newer)
    assert signal.getsignal(signal.SIGTERM) is newer


def test_another_thread_leaves_signals_alone(raised: list[int]) -> None:
    def elsewhere(then: Callable[[], None]) -> None:
        with catching(Listening()):
            install()
            then()

    seen: list[Any] = []
    thread = threading.Thread(target=elsewhere, args=(lambda: seen.append(signal.getsignal(signal.SIGTERM)),))
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert seen == [before]
    install()  # nobody is catching
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_in_the_block_is_not_hidden(raised: list[int]) -> None:
    with pytest.raises(ZeroDivisionError), catching(Listening()):
        install()
        _ = 1 / 0
    assert raised == []
