"""The kernel's side of our children."""

from __future__ import annotations

import os

from asgi_arbiter.arbiter.kin import Wakeup


def test_the_wakeup_pipe_gives_what_was_written_and_never_waits() -> None:
    wakeup = Wakeup()
    assert wakeup.take() == b""
    os.write(wakeup.writer, b"\x01\x0f")
    assert wakeup.take() == b"\x01\x0f"
    wakeup.close()
