"""Forking, executing and reaping: the few lines around which there are two of us, or another program.

Apart from ``effects`` because a mold forks too, and reaps where it must, in a process that has none. Rules:
signals are blocked across a fork and let in again on both sides, so that none is lost and none runs a handler of the
wrong process; a child never returns into its parent's code.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from signal import Signals
from typing import NoReturn

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import ExitCode
from asgi_arbiter.worker.orders import Dismissed

from . import signals

__all__ = [
    "Daemon",
    "Death",
    "adopt_orphans",
    "collect",
    "daemonize",
    "detach",
    "exists",
    "fork",
    "fork_and_execute",
    "fork_twice",
    "reap",
]

log = logging.getLogger("asgi_arbiter.arbiter")

_PR_SET_CHILD_SUBREAPER = 36
_INSTANT = 0.0005
_HARMLESS = (Signals.SIGHUP, Signals.SIGUSR1, Signals.SIGUSR2, Signals.SIGTTIN, Signals.SIGTTOU, Signals.SIGWINCH)
"""What somebody may send to the whole group while the new program has no handlers yet; by default most of them kill."""


def fork(live: Callable[[], int], inherited: Sequence[int] = ()) -> int:
    """Fork a child that closes ``inherited``, does ``live`` and ends with what that returns; ``live`` lets signals in
    when it can. The child's pid. Raises ``OSError``."""
    logs.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(live, inherited)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def fork_twice(live: Callable[[], int]) -> int:
    """Fork a grandchild; the child between ends at once, so that the grandchild becomes the child of whoever adopts
    orphans: the arbiter. ``live`` begins when that has happened. 0, since its pid is not ours to know. Raises ``OSError``
    if either fork fails."""
    logs.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        between = os.fork()
        if between == 0:
            _fork_and_end(live)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        _, status = os.waitpid(between, 0)
    except ChildProcessError:
        return 0  # the application ignores SIGCHLD, so the kernel has reaped it
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        code = code if code > 0 else errno.EAGAIN
        raise OSError(code, os.strerror(code))
    return 0


def _fork_and_end(live: Callable[[], int]) -> NoReturn:
    between, code = os.getpid(), errno.EAGAIN
    try:
        if os.fork() == 0:
            while os.getppid() == between:
                time.sleep(
                    _INSTANT
                )  # its exit is under way; a request for a signal at our parent's death is for the next
            _live(live, ())
        code = 0
    except OSError as error:
        code = error.errno or code
    finally:
        os._exit(code)


def _live(live: Callable[[], int], inherited: Sequence[int]) -> NoReturn:
    """The child's whole life. It never returns into its parent's code."""
    code: int = ExitCode.FAILED
    try:
        for fd in inherited:
            os.close(fd)
        code = live()
    except Dismissed:
        code = ExitCode.OK  # told to leave at the very moment in which it was leaving anyway
    except BaseException:  # nothing may escape into the parent's stack
        log.exception("a child failed in an unforeseen way", extra={"event": "child_failed"})
    finally:
        os._exit(code)


def adopt_orphans() -> bool:
    """Let the kernel give us the orphans among our descendants (Linux, PR_SET_CHILD_SUBREAPER in prctl(2)). Whether it
    does; harmless when repeated."""
    if sys.platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


# --- the dead ---------------------------------------------------------------------------------------------------------

Death = tuple[int, int | None, int]
"""Pid, status as ``waitpid`` gives it (``None``: nobody could ask), resident memory at most in the kernel's unit."""


def reap() -> Iterator[Death]:
    """Every child of ours that has ended, known or not."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status, usage.ru_maxrss


def collect(pids: Iterable[int]) -> list[Death]:
    """Those of ``pids`` that have ended. Other children are somebody else's to wait for."""
    deaths: list[Death] = []
    for pid in pids:
        try:
            found, status, usage = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            deaths.append((pid, None, 0))  # the application ignores SIGCHLD, so the kernel has reaped it
            continue
        if found:
            deaths.append((pid, status, usage.ru_maxrss))
    return deaths


def exists(pid: int) -> bool:
    """Whether there is a process of that pid, perhaps somebody else's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def fork_and_execute(
    arguments: Sequence[str], environment: Mapping[str, str], directory: str, kept: Sequence[int]
) -> int:
    """Start another program with the descriptors ``kept``, beside the standard streams. Its pid.

    Raises:
        OSError: no process can be made. A program that cannot be executed is a child that ends with code 1.
    """

    def become() -> int:
        signals.restore()
        for number in _HARMLESS:
            signal.signal(number, signal.SIG_IGN)
        for fd in kept:
            os.set_inheritable(fd, True)
        os.chdir(directory)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            os.execvpe(arguments[0], list(arguments), environment)
        except OSError as error:
            log.error("cannot execute %s: %s", arguments[0], error.strerror, extra={"event": "upgrade_not_executed"})
        return ExitCode.FAILED

    return fork(become)


# --- daemon -----------------------------------------------------------------------------------------------------------


class Daemon:
    """The way back from a daemon to the command that started it, which waits for the outcome of the boot."""

    def __init__(self, writer: int) -> None:
        self.writer = writer

    def report(self, code: int) -> None:
        """Let the command end with ``code``. Only the first report counts."""
        if self.writer >= 0:
            try:
                os.write(self.writer, bytes([code]))
            except OSError:
                pass  # the command was interrupted meanwhile
            os.close(self.writer)
            self.writer = -1


def daemonize() -> Daemon:
    """Go into the background: a session of its own, and no way to a terminal ever again (hence two forks). The command
    stays until ``Daemon.report``; standard streams stay open until ``detach``."""
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        outcome = os.read(reader, 1)
        os._exit(outcome[0] if outcome else ExitCode.FAILED)
    os.close(reader)
    os.setsid()
    if os.fork() != 0:
        os._exit(ExitCode.OK)
    return Daemon(writer)


def detach() -> None:
    """Let go of the terminal: the standard streams lead nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
