"""Reports of stacks, fit to be read."""

from __future__ import annotations

import os

from asgi_arbiter.arbiter import stacks
from asgi_arbiter.arbiter.stacks import MOST, readable

LIBRARY = os.path.dirname(os.__file__)
HERE = os.path.dirname(os.path.dirname(os.path.abspath(stacks.__file__)))
LOOP = f'  File "{LIBRARY}/asyncio/base_events.py", line 607 in run_forever'
OURS = f'  File "{HERE}/worker/process.py", line 100 in live'
USER = '  File "/srv/app.py", line 9 in view'
DATABASE = '  File "/srv/site-packages/driver.py", line 12 in recv'


def test_the_outer_frames_are_counted_and_left_out() -> None:
    text = "\n".join(["Current thread 0x1 (most recent call first):", DATABASE, USER, OURS, LOOP, OURS])
    assert readable(text).splitlines() == [
        "Current thread 0x1 (most recent call first):",
        DATABASE,
        USER,
        "  (3 frames of the server)",
    ]


def test_frames_of_ours_above_those_of_the_application_stay() -> None:
    text = "\n".join(["Thread 0x1:", OURS, USER, OURS, LOOP])
    assert readable(text).splitlines()[1:] == [OURS, USER, "  (2 frames of the server)"]


def test_a_stack_of_ours_alone_keeps_its_innermost_frame() -> None:
    assert readable("\n".join(["Thread 0x1:", OURS, LOOP, LOOP])).splitlines()[1] == OURS


def test_each_thread_is_trimmed_and_other_lines_stay() -> None:
    worker = f'  File "{LIBRARY}/threading.py", line 1002 in _bootstrap'
    text = "\n".join(
        ["Thread 0x2:", USER, worker, worker, "", "Thread 0x1:", USER, LOOP, LOOP, "", "1 request under way", ""]
    )
    found = readable(text)
    assert found.count("(2 frames of the server)") == 2
    assert found.endswith("1 request under way")


def test_the_list_of_native_modules_is_left_out() -> None:
    assert readable("Fatal Python error: Aborted\n\nExtension modules: numpy, uvloop (total: 2)\n") == (
        "Fatal Python error: Aborted"
    )


def test_a_long_report_loses_its_middle() -> None:
    text = "begin\n" + "x" * 2 * MOST + "\nend"
    found = readable(text)
    assert len(found) <= MOST
    assert found.startswith("begin")
    assert found.endswith("end")
    assert "shortened" in found
