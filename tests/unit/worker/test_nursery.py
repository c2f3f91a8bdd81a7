"""The children of a mold, without any."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Iterator
from signal import Signals

import pytest

from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.nursery import Death, Nursery, why_refused


class Ward:
    def __init__(self) -> None:
        self.dead: list[Death] = []
        self.asked: list[list[int]] = []

    def collect(self, pids: Iterable[int]) -> list[Death]:
        self.asked.append(list(pids))
        found, self.dead = self.dead, []
        return found


@pytest.fixture
def ward() -> Ward:
    return Ward()


@pytest.fixture
def nursery(ward: Ward) -> Iterator[Nursery]:
    before = signal.getsignal(Signals.SIGCHLD), signal.set_wakeup_fd(-1)
    nursery = Nursery(ward.collect)
    nursery.open()
    yield nursery
    signal.signal(Signals.SIGCHLD, before[0])
    signal.set_wakeup_fd(before[1])
    for fd in nursery.descriptors():
        os.close(fd)


def test_where_workers_are_the_arbiters_there_is_nothing_to_know() -> None:
    nursery = Nursery(None)
    nursery.open()
    nursery.add(0)
    assert nursery.children == set() and nursery.deaths() == [] and nursery.descriptors() == ()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EAGAIN, "Resource temporarily unavailable (too many"),
        (errno.EMFILE, "open files (ulimit -n"),
        (1, "gone"),
    ],
)
def test_a_refusal_names_the_limit_to_look_at(number: int, text: str) -> None:
    assert text in why_refused(OSError(number, os.strerror(number) if number > 1 else "gone"))


def test_a_child_is_known_until_it_has_ended(nursery: Nursery, ward: Ward) -> None:
    nursery.add(8)
    nursery.add(7)
    assert nursery.deaths() == []
    ward.dead = [(7, 9, 100)]
    assert nursery.deaths() == [(7, 9, 100)]
    assert nursery.deaths() == []
    assert ward.asked == [[7, 8], [7, 8], [8]]


def test_the_end_of_a_child_wakes_whoever_waits_for_orders(nursery: Nursery) -> None:
    ours, theirs = open_pair()
    mailbox = Mailbox(ours)
    waiting = nursery.poll(mailbox)
    assert waiting.poll(0) == []
    signal.raise_signal(Signals.SIGCHLD)
    assert [fd for fd, _ in waiting.poll(0)] == [nursery.descriptors()[0]]
    nursery.deaths()
    assert waiting.poll(0) == []
    theirs.send(b"{}\n")
    assert [fd for fd, _ in waiting.poll(0)] == [mailbox.fileno()]
    mailbox.close()
    theirs.close()
