"""Starting a successor, and what two arbiters say to each other; nothing is executed here."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter import upgrade as module
from asgi_arbiter.arbiter.handover import VARIABLE, Started
from asgi_arbiter.arbiter.listeners import ListenerSet
from asgi_arbiter.arbiter.upgrade import Upgrade
from asgi_arbiter.config import Config
from asgi_arbiter.worker.mailbox import Mailbox, open_pair

STARTED = Started(("python", "-m", "asgi_arbiter"), "/srv/current", {"PATH": "/bin"})


@pytest.fixture
def listeners() -> Iterator[ListenerSet]:
    listeners = ListenerSet()
    listeners.open(1, Config(bind=("127.0.0.1:0",)))
    yield listeners
    listeners.keep(None)


@pytest.fixture
def predecessor() -> Iterator[tuple[Mailbox, Mailbox]]:
    """The predecessor's end of a lifeline, and ours."""
    theirs, ours = open_pair()
    ends = Mailbox(theirs), Mailbox(ours)
    yield ends
    for end in ends:
        end.close()


def test_the_program_is_executed_as_it_was_started_with_our_sockets(
    listeners: ListenerSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[Any] = []
    monkeypatch.setattr(module.forks, "fork_and_execute", lambda *given: executed.append(given) or 4711)
    pid, mailbox = Upgrade(STARTED, listeners).start(99)
    ((arguments, environment, directory, kept),) = executed
    assert (pid, arguments, directory) == (4711, STARTED.arguments, "/srv/current")
    passed = json.loads(environment[VARIABLE])
    assert passed["pid"] == 99 and environment["PATH"] == "/bin"
    assert kept == (passed["lifeline"], *listeners.descriptors())
    mailbox.receive()
    assert mailbox.at_eof  # nobody but the successor would hold the other end
    mailbox.close()


def test_a_process_that_cannot_be_made_leaves_nothing_open(
    listeners: ListenerSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any) -> int:
        raise OSError(errno.EAGAIN, "no")

    monkeypatch.setattr(module.forks, "fork_and_execute", refuse)
    with pytest.raises(OSError, match="no"):
        Upgrade(STARTED, listeners).start(99)


def test_what_the_predecessor_says_is_heard_to_its_end(
    listeners: ListenerSet, predecessor: tuple[Mailbox, Mailbox]
) -> None:
    theirs, ours = predecessor
    upgrade = Upgrade(STARTED, listeners, ours)
    theirs.send({"kind": "lead"})
    assert upgrade.words() == [ev.Appointed()]
    theirs.send({"kind": "leave"})
    theirs.send({"kind": "nonsense"})
    assert upgrade.words() == [ev.Relieved()]
    theirs.close()
    assert upgrade.words() == [ev.PredecessorGone(has_released=False)]
    assert upgrade.lifeline is None and upgrade.words() == []
    upgrade.tell({"kind": "ready"})


def test_a_predecessor_that_has_let_go_of_the_sockets_says_so(
    listeners: ListenerSet, predecessor: tuple[Mailbox, Mailbox]
) -> None:
    theirs, ours = predecessor
    upgrade = Upgrade(STARTED, listeners, ours)
    theirs.send({"kind": "released"})
    assert upgrade.words() == []
    theirs.close()
    assert upgrade.words() == [ev.PredecessorGone(has_released=True)]


@pytest.mark.parametrize("error", [None, PermissionError(errno.EACCES, "Permission denied")])
def test_the_lead_is_taken_before_it_is_told_and_also_without_a_pid_file(
    error: OSError | None,
    listeners: ListenerSet,
    predecessor: tuple[Mailbox, Mailbox],
    caplog: pytest.LogCaptureFixture,
) -> None:
    theirs, ours = predecessor
    told: list[list[Any]] = []

    def promote() -> None:
        told.append(theirs.receive())
        if error is not None:
            raise error

    Upgrade(STARTED, listeners, ours, promote).take_lead()
    assert told == [[]]
    assert theirs.receive() == [{"kind": "leading", "taken": []}]
    assert ("Permission denied" in caplog.text) is (error is not None)
