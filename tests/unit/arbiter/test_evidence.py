"""What a process seems to be doing, seen from outside."""

from __future__ import annotations

import os

import psutil
import pytest

from asgi_arbiter.arbiter.evidence import examine


def test_we_ourselves_are_running() -> None:
    assert examine(os.getpid()) == ("it is burning CPU", True)


def test_a_process_that_is_gone_is_no_error() -> None:
    assert examine(2**22 + 5)[0].startswith("cannot be examined")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (psutil.STATUS_STOPPED, "SIGSTOP"),
        (psutil.STATUS_SLEEPING, "system call"),
        (psutil.STATUS_DISK_SLEEP, "disk"),
        (psutil.STATUS_ZOMBIE, "ended"),
        ("strange", "strange"),
    ],
)
def test_each_status_is_half_a_sentence(monkeypatch: pytest.MonkeyPatch, status: str, words: str) -> None:
    monkeypatch.setattr(psutil.Process, "status", lambda self: status)
    text, can_tell = examine(os.getpid())
    assert words in text
    assert can_tell is (words not in ("SIGSTOP", "ended"))
