"""A worker as the witness of its own troubles: stacks of threads and tasks, in a pipe that the arbiter reads into its log.

faulthandler writes the stacks of all threads in the signal handler itself, hence also while the event loop is blocked or
the interpreter is held by native code. What only Python knows, its tasks and the requests under way, is added by a
Python handler as soon as that may run. The pipe is the worker's: its reading end goes to the arbiter with a message, so
that it makes no difference who forked the worker. Rules:

* writing never waits: what does not fit is lost, and a worker without an arbiter loses it all;
* where the arbiter did not get the pipe, standard error is used.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from signal import Signals
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mailbox import Mailbox

__all__ = ["Witness"]

_STDERR = 2
_ROOM = 256 * 1024
"""Bytes for the stacks of some dozen threads; the kernel's default is a quarter of it."""


class Witness:
    """The writing end. ``describe`` is set while there are tasks to describe."""

    def __init__(self) -> None:
        self.describe: Callable[[], str] | None = None
        self._writer = _STDERR

    def begin(self, mailbox: Mailbox) -> None:
        """Be ready for a crash, for SIGABRT, and for SIGUSR2."""
        self._open(mailbox)
        faulthandler.enable(self._writer, all_threads=True)
        # Forked by a mold, which had registered it too: faulthandler would not notice that its handler is replaced. Then
        # Python's handler first, since faulthandler's goes before it and calls it (chain).
        faulthandler.unregister(Signals.SIGUSR2)
        signal.signal(Signals.SIGUSR2, self._add_tasks)
        faulthandler.register(Signals.SIGUSR2, self._writer, all_threads=True, chain=True)

    def descriptors(self) -> tuple[int, ...]:
        """The writing end, for a child of ours that must not keep it."""
        return () if self._writer == _STDERR else (self._writer,)

    def before(self, number: Signals, handler: Callable[[int, FrameType | None], None]) -> None:
        """Write the stacks of all threads at signal ``number``, then call ``handler``. Both in Python: signals that are
        fatal by nature, such as SIGABRT, cannot be registered with faulthandler."""

        def testify(number: int, frame: FrameType | None) -> None:
            faulthandler.dump_traceback(self._writer, all_threads=True)
            handler(number, frame)

        signal.signal(number, testify)

    def _open(self, mailbox: Mailbox) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        _enlarge(writer)
        if mailbox.send_with({"kind": "testifies"}, [reader]):
            self._writer = writer
        else:
            os.close(writer)
        os.close(reader)

    def _add_tasks(self, _number: int, _frame: FrameType | None) -> None:
        if self.describe is None:
            return
        try:
            text = self.describe()
        except Exception as error:  # noqa: BLE001 -- foreign objects describe themselves, in the middle of anything
            text = f"its tasks cannot be described: {error!r}"
        self._write(f"\n{text}\n".encode(errors="backslashreplace"))

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._writer, data) :]
        except OSError:
            pass  # the pipe is full, or nobody reads it any more


def _enlarge(writer: int) -> None:
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _ROOM)
        except OSError:
            pass  # a limit of the user's; the default will do
