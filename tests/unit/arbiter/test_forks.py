"""Forking, with the kernel's calls replaced: nothing here forks, and nothing ends."""

from __future__ import annotations

import errno
import os
import signal
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.arbiter import forks as module
from asgi_arbiter.arbiter.forks import Daemon
from asgi_arbiter.config.errors import ExitCode


class Ended(BaseException):
    pass


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise Ended

    monkeypatch.setattr(module.os, "_exit", end)
    return codes


def test_a_child_ends_with_its_code_and_never_returns(ending: list[int]) -> None:
    with pytest.raises(Ended):
        module._live(lambda: 5, ())
    assert ending == [5]


def test_nothing_that_a_child_raises_escapes(ending: list[int], caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> int:
        raise SystemExit(3)

    with pytest.raises(Ended):
        module._live(fail, ())
    assert ending == [ExitCode.FAILED]


def test_a_child_closes_what_it_must_not_keep(ending: list[int]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(Ended):
        module._live(lambda: 0, (writer,))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(writer)


def test_signals_are_blocked_while_there_are_two_of_us_and_let_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    masks: list[Any] = []

    def fork() -> int:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return 4711

    monkeypatch.setattr(module.os, "fork", fork)
    assert module.fork(lambda: 0) == 4711
    assert signal.SIGTERM in masks[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.mark.parametrize("status", [0, errno.EAGAIN << 8, signal.SIGKILL])
def test_the_parent_of_a_grandchild_learns_how_the_second_fork_went(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "fork", lambda: 4711)
    monkeypatch.setattr(module.os, "waitpid", lambda pid, options: (pid, status))
    if status == 0:
        module.fork_twice(lambda: 0)
        return
    with pytest.raises(OSError, match="temporarily unavailable"):
        module.fork_twice(lambda: 0)


def test_a_child_that_somebody_else_reaped_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int, options: int) -> tuple[int, int]:
        raise ChildProcessError

    monkeypatch.setattr(module.os, "fork", lambda: 4711)
    monkeypatch.setattr(module.os, "waitpid", gone)
    module.fork_twice(lambda: 0)


@pytest.mark.parametrize(("second", "code"), [(4712, 0), (errno.ENOMEM, errno.ENOMEM)])
def test_the_one_between_ends_at_once(
    second: int, code: int, ending: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        if code:
            raise OSError(code, "no")
        return second

    monkeypatch.setattr(module.os, "fork", fork)
    with pytest.raises(Ended):
        module._fork_and_end(lambda: 0)
    assert ending == [code]


def test_a_grandchild_begins_to_live_when_the_one_between_is_gone(
    ending: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = iter([os.getpid(), os.getpid(), 1])
    monkeypatch.setattr(module.os, "fork", lambda: 0)
    monkeypatch.setattr(module.os, "getppid", lambda: next(parents))
    with pytest.raises(Ended):
        module._fork_and_end(lambda: 7)
    assert ending[0] == 7
    assert next(parents, None) is None


def test_a_program_is_executed_with_its_sockets_and_without_our_handlers(
    ending: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[Any] = []
    handlers = {number: signal.getsignal(number) for number in module._HARMLESS}
    monkeypatch.setattr(module.signals, "restore", lambda: executed.append("restored"))
    monkeypatch.setattr(module.os, "fork", lambda: 0)
    monkeypatch.setattr(module.os, "chdir", executed.append)
    monkeypatch.setattr(module.os, "execvpe", lambda *given: executed.append(given))
    ours, theirs = socket.socketpair()
    try:
        with ours, theirs, pytest.raises(Ended):
            try:
                module.fork_and_execute(("python", "-V"), {"A": "b"}, "/srv", (theirs.fileno(),))
            finally:
                assert os.get_inheritable(theirs.fileno())
                assert not os.get_inheritable(ours.fileno())
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert executed == ["restored", "/srv", ("python", ["python", "-V"], {"A": "b"})]


def test_a_daemon_reports_its_outcome_once() -> None:
    reader, writer = os.pipe()
    daemon = Daemon(writer)
    daemon.report(4)
    daemon.report(0)
    assert os.read(reader, 10) == b"\x04"
    os.close(reader)


def test_a_command_that_was_interrupted_does_not_hurt_the_daemon() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Daemon(writer).report(0)
    signal.signal(signal.SIGPIPE, before)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """What ``wait4`` answers for a pid: nothing while it lives, an error when it is not ours."""
    answers: dict[int, Any] = {}

    def wait4(pid: int, options: int) -> tuple[int, int, Any]:
        assert options == os.WNOHANG
        answer = answers.get(pid, (0, 0))
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else ChildProcessError()
        if isinstance(answer, Exception):
            raise answer
        return *answer, SimpleNamespace(ru_maxrss=17)

    monkeypatch.setattr(module.os, "wait4", wait4)
    return answers


def test_all_that_have_ended_are_reaped_until_none_is_left_or_the_rest_lives(waits: dict[int, Any]) -> None:
    waits[-1] = [(7, 9), (8, 0)]
    assert list(module.reap()) == [(7, 9, 17), (8, 0, 17)]
    waits[-1] = [(7, 9), (0, 0)]
    assert list(module.reap()) == [(7, 9, 17)]


def test_only_ones_own_children_are_collected_and_one_that_somebody_else_reaped_has_no_status(
    waits: dict[int, Any],
) -> None:
    waits.update({7: (7, 256), 9: ChildProcessError()})
    assert module.collect([7, 8, 9]) == [(7, 256, 17), (9, None, 0)]


@pytest.mark.parametrize(
    ("error", "found"), [(None, True), (ProcessLookupError(), False), (PermissionError(), True)], ids=repr
)
def test_a_process_exists_even_if_it_is_somebody_elses(
    error: OSError | None, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(pid: int, number: int) -> None:
        assert (pid, number) == (7, 0)
        if error is not None:
            raise error

    monkeypatch.setattr(module.os, "kill", kill)
    assert module.exists(7) is found


def test_elsewhere_than_on_linux_orphans_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert module.adopt_orphans() is False
