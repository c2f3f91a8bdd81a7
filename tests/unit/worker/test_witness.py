"""The pipe for last words. faulthandler's registrations are the process's, so they are made in vain here."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.witness import Witness


class Stand:
    """A worker's testimony and the arbiter's ear."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = open_pair()
        self.arbiter = Mailbox(ours, takes_descriptors=True)
        self.mailbox = Mailbox(theirs)
        self.enabled: list[int] = []
        self.registered: list[tuple[int, int]] = []
        self.handlers: dict[int, Any] = {}
        self.order: list[str] = []
        monkeypatch.setattr(faulthandler, "enable", lambda fd, all_threads: self.enabled.append(fd))
        monkeypatch.setattr(faulthandler, "register", self._register)
        monkeypatch.setattr(faulthandler, "unregister", lambda number: self.order.append("unregister"))
        monkeypatch.setattr(signal, "signal", self._signal)
        self.witness = Witness()

    def _register(self, number: int, fd: int, all_threads: bool, chain: bool) -> None:
        assert all_threads
        assert chain
        self.order.append("faulthandler")
        self.registered.append((number, fd))

    def _signal(self, number: int, handler: Any) -> None:
        self.order.append("python")
        self.handlers[number] = handler

    def begin(self) -> None:
        self.witness.begin(self.mailbox)

    def reader(self) -> int:
        assert self.arbiter.receive() == [{"kind": "testifies"}]
        assert self.arbiter.descriptors
        reader = self.arbiter.descriptors.popleft()
        os.set_blocking(reader, False)
        return reader

    def close(self) -> None:
        self.arbiter.close()
        self.mailbox.close()
        for fd in self.enabled:
            if fd > 2:
                os.close(fd)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    stand = Stand(monkeypatch)
    yield stand
    stand.close()


def test_the_arbiter_gets_the_reading_end_and_faulthandler_the_other(stand: Stand) -> None:
    stand.begin()
    reader = stand.reader()
    (writer,) = stand.enabled
    assert stand.registered == [(signal.SIGUSR2, writer)]
    os.write(writer, b"Thread 0x1\n")
    assert os.read(reader, 100) == b"Thread 0x1\n"
    assert not os.get_inheritable(writer)
    os.close(reader)


def test_faulthandler_comes_before_pythons_handler(stand: Stand) -> None:
    stand.begin()
    assert stand.order == ["unregister", "python", "faulthandler"]


def test_stacks_come_before_a_handler_for_a_signal_that_faulthandler_does_not_register(stand: Stand) -> None:
    stand.begin()
    reader, told = stand.reader(), []
    stand.witness.before(signal.SIGABRT, lambda number, frame: told.append(os.read(reader, 10)))
    assert [number for number, _ in stand.registered] == [signal.SIGUSR2]
    stand.handlers[signal.SIGABRT](signal.SIGABRT, None)
    assert told and told[0]
    os.close(reader)


def test_tasks_are_added_while_there_are_any(stand: Stand) -> None:
    stand.begin()
    reader = stand.reader()
    handler = stand.handlers[signal.SIGUSR2]
    handler(signal.SIGUSR2, None)
    assert not select.select([reader], [], [], 0)[0]
    stand.witness.describe = lambda: "2 tasks"
    handler(signal.SIGUSR2, None)
    assert os.read(reader, 100) == b"\n2 tasks\n"
    os.close(reader)


def test_what_cannot_be_described_is_said_and_raises_nothing(stand: Stand) -> None:
    def describe() -> str:
        raise RuntimeError("a repr that fails")

    stand.begin()
    reader = stand.reader()
    stand.witness.describe = describe
    stand.handlers[signal.SIGUSR2](signal.SIGUSR2, None)
    assert b"a repr that fails" in os.read(reader, 200)
    os.close(reader)


def test_a_full_pipe_and_a_dead_reader_are_no_trouble(stand: Stand) -> None:
    stand.begin()
    reader = stand.reader()
    stand.witness.describe = lambda: "x" * 2**20
    handler = stand.handlers[signal.SIGUSR2]
    handler(signal.SIGUSR2, None)
    assert os.read(reader, 2) == b"\nx"
    os.close(reader)
    handler(signal.SIGUSR2, None)


def test_without_an_arbiter_standard_error_is_used(stand: Stand) -> None:
    stand.arbiter.close()
    stand.begin()
    assert stand.enabled == [2]
