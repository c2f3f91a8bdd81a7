"""What a stuck worker seems to be doing, seen from outside, before it is told to die.

Its own view (the stacks of all threads) is written by the worker's SIGABRT handler.
"""

from __future__ import annotations

__all__ = ["examine"]


def examine(pid: int) -> str:
    """What a stuck worker seems to be doing, in half a sentence."""
    import psutil

    try:
        status = psutil.Process(pid).status()
    except psutil.Error as error:
        return f"cannot be examined: {error}"
    meanings = {
        psutil.STATUS_STOPPED: "the process is stopped, by SIGSTOP or a debugger",
        psutil.STATUS_TRACING_STOP: "the process is stopped, by a debugger",
        psutil.STATUS_RUNNING: "it is burning CPU",
        psutil.STATUS_SLEEPING: "it is blocked in a system call or on a lock",
        psutil.STATUS_DISK_SLEEP: "it is blocked in the kernel, waiting for a disk or a network file system",
        psutil.STATUS_ZOMBIE: "it has ended",
    }
    return meanings.get(status, f"its status is {status}")
