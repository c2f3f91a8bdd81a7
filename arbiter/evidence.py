"""What a stuck worker seems to be doing, seen from outside, before it is told to die.

Its own view, the stacks of its threads and tasks, comes from the worker (``worker/witness.py``), if it can tell at all.
"""

from __future__ import annotations

__all__ = ["examine"]


def examine(pid: int) -> tuple[str, bool]:
    """What a worker seems to be doing, in half a sentence; and whether it can say more itself."""
    import psutil

    try:
        status = psutil.Process(pid).status()
    except psutil.Error as error:
        return f"cannot be examined: {error}", True
    meanings = {
        psutil.STATUS_STOPPED: "the process is stopped, by SIGSTOP or a debugger, so it cannot tell its stacks",
        psutil.STATUS_TRACING_STOP: "the process is stopped, by a debugger, so it cannot tell its stacks",
        psutil.STATUS_RUNNING: "it is burning CPU",
        psutil.STATUS_SLEEPING: "it is blocked in a system call or on a lock",
        psutil.STATUS_DISK_SLEEP: "it is blocked in the kernel, waiting for a disk or a network file system",
        psutil.STATUS_ZOMBIE: "it has ended",
    }
    silent = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE)
    return meanings.get(status, f"its status is {status}"), status not in silent
