"""What systemd reads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_arbiter.arbiter.actions import Notice
from asgi_arbiter.arbiter.notify import Notifier, lines

READY = Notice("READY", "4/4 workers serving")


def test_a_state_is_told_once_and_the_status_every_time() -> None:
    assert lines(READY, now=1.0, before="") == ["READY=1", "STATUS=4/4 workers serving"]
    assert lines(READY, now=1.0, before="READY") == ["STATUS=4/4 workers serving"]


def test_before_ready_only_the_status_is_told() -> None:
    assert lines(Notice("", "0/4"), now=1.0, before="") == ["STATUS=0/4"]


def test_reloading_comes_with_the_monotonic_time_without_which_systemctl_reload_hangs() -> None:
    told = lines(Notice("RELOADING", "reloading"), now=12.5, before="READY")
    assert told[:2] == ["RELOADING=1", "MONOTONIC_USEC=12500000"]


def test_ready_is_told_again_after_a_reload() -> None:
    assert lines(READY, now=1.0, before="RELOADING")[0] == "READY=1"


def test_stopping_asks_for_the_time_that_it_needs() -> None:
    told = lines(Notice("STOPPING", "stopping", 35.0), now=1.0, before="READY")
    assert told == ["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=37000000"]


def test_a_daemon_tells_its_pid() -> None:
    assert "MAINPID=4711" in lines(READY, now=1.0, before="", main_pid=4711)


@pytest.fixture
def manager(short_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(short_path / "notify"))
        sock.setblocking(False)
        yield sock


def test_messages_are_datagrams_and_the_variables_are_taken_away(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "10000000", "OTHER": "kept"}
    notifier = Notifier(environ, 1)
    assert environ == {"OTHER": "kept"}
    notifier.tell(READY)
    notifier.tell(READY)
    notifier.pet()
    assert manager.recv(4096) == b"READY=1\nSTATUS=4/4 workers serving"
    assert manager.recv(4096) == b"STATUS=4/4 workers serving"
    assert manager.recv(4096) == b"WATCHDOG=1"
    notifier.close()


def test_a_line_break_in_a_status_cannot_make_another_line(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, 1)
    notifier.tell(Notice("", "two\nlines"))
    assert manager.recv(4096) == b"STATUS=two lines"
    notifier.close()


def test_an_abstract_socket_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0asgi-arbiter-test-notify")
        notifier = Notifier({"NOTIFY_SOCKET": "@asgi-arbiter-test-notify"}, 1)
        notifier.pet()
        assert sock.recv(100) == b"WATCHDOG=1"
        notifier.close()


def test_a_manager_that_is_gone_is_nobodys_problem(short_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(short_path / "nobody")}, 1)
    notifier.tell(READY)
    notifier.close()
    notifier.pet()


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({}, 1)
    notifier.tell(READY)
    assert notifier.watchdog == 0.0 and notifier.descriptors() == ()


@pytest.mark.parametrize(
    ("variables", "interval"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "4711"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
    ids=str,
)
def test_the_watchdog_is_petted_twice_as_often_as_asked_and_only_if_it_is_ours(
    variables: dict[str, str], interval: float
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": "/nowhere", **variables}, 4711)
    assert notifier.watchdog == interval
    notifier.close()
