"""What a worker under gunicorn does around its signal handlers; the handlers are methods of the worker."""

from __future__ import annotations

import faulthandler
import signal
from types import FrameType
from typing import Any, Final

from .gunicorn_log import error_stream

__all__ = ["TO_LEAVE", "do_nothing", "point_faulthandler", "queued", "stop_listening"]

TO_LEAVE: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


def queued(handler: object) -> list[int]:
    """The signals that came since the fork: they went to a handler of gunicorn's arbiter, which puts them into a queue
    that nobody reads in the child. It is a list until gunicorn 23 and a ``SimpleQueue`` since."""
    queue: Any = getattr(getattr(handler, "__self__", None), "SIG_QUEUE", None)
    if queue is None or isinstance(queue, list):
        return queue or []
    found = []
    while not queue.empty():
        found.append(queue.get_nowait())
    return found


def stop_listening() -> None:
    """The worker ends: what comes now is too late to matter. Ignored by the kernel, since Python takes its own handlers
    away before the process has ended, and gunicorn until 22 sends TERM twice: the second would kill."""
    for number in (*TO_LEAVE, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH):
        signal.signal(number, signal.SIG_IGN)


def point_faulthandler(log: Any) -> None:
    """Stacks of all threads go to the error log: at ABRT and crashes, and then to the handler before it; at USR2. To be
    repeated when the log files were opened again."""
    stream = error_stream(log)
    faulthandler.enable(stream, all_threads=True)
    faulthandler.register(signal.SIGUSR2, stream, all_threads=True)


def do_nothing(number: int, frame: FrameType | None) -> None:
    """The handler of HUP: not SIG_IGN, which programs that the application starts would inherit."""
