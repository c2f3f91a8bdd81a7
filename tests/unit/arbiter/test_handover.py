"""What passes from one arbiter to the next."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from asgi_arbiter.arbiter.handover import VARIABLE, Inheritance, PassedSocket, Started
from asgi_arbiter.config.errors import HandoverFailed


def test_what_is_written_is_read_and_the_variable_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sockets = (PassedSocket(ours.fileno(), "unix:/run/app.sock", False, (1, 2)), PassedSocket(0, "[::1]:80", True))
        given = Inheritance(4711, theirs.fileno(), sockets, (ours.fileno(),))
        environ = {VARIABLE: given.encode(), "PATH": "/bin"}
        os.set_inheritable(theirs.fileno(), True)
        assert Inheritance.take(environ) == given
        assert environ == {"PATH": "/bin"}
        assert not os.get_inheritable(theirs.fileno())
        assert set(given.descriptors()) == {theirs.fileno(), ours.fileno(), 0}


def test_without_the_variable_nothing_was_left_to_us() -> None:
    assert Inheritance.take({"PATH": "/bin"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "{}",
        '{"version":2}',
        "[]",
        json.dumps({"version": 1, "pid": 1, "lifeline": 9999, "sockets": [], "activated": []}),
        json.dumps({"version": 1, "pid": 1, "lifeline": 0, "sockets": [{}], "activated": []}),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(text: str) -> None:
    with pytest.raises(HandoverFailed, match=f"^{VARIABLE}: "):
        Inheritance.take({VARIABLE: text})


def test_a_program_is_started_again_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release, current = tmp_path / "release", tmp_path / "current"
    release.mkdir()
    current.symlink_to(release)
    monkeypatch.chdir(current)
    monkeypatch.setenv("PWD", str(current))
    monkeypatch.setenv(VARIABLE, "old")
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "asgi_arbiter", "main:app"])
    started = Started.now()
    assert started.arguments == (sys.executable, "-m", "asgi_arbiter", "main:app")
    assert started.directory == str(current)  # by the link, which will lead to the next release
    assert not {VARIABLE, "LISTEN_PID", "WATCHDOG_PID"} & set(started.environment)
    assert started.environment["NOTIFY_SOCKET"] == "/run/notify"


def test_an_interpreter_with_a_path_keeps_it_and_a_stale_pwd_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["/srv/app/bin/python", "run.py"])
    for stale in ("/", "/nowhere", ""):
        monkeypatch.setenv("PWD", stale)
        started = Started.now()
        assert started.arguments == ("/srv/app/bin/python", "run.py")
        assert started.directory == str(tmp_path)
