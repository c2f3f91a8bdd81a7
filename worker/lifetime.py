"""The outermost border of a child's life: nothing is raised beyond it, and nothing buffered is lost at it.

The same for workers and for molds. A failure is told through the mailbox and not logged here, so that the arbiter can
print one traceback for four workers that fail alike. Leaving the process itself is the business of whoever forked it.
"""

from __future__ import annotations

import atexit
import logging
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from asgi_arbiter.config.errors import ArbiterError, ExitCode

from .orders import Dismissed

if TYPE_CHECKING:
    from .mailbox import Mailbox
    from .orders import Orders

__all__ = ["live_through"]

log = logging.getLogger("asgi_arbiter.worker")

_FLUSH = 1.0


def live_through(
    live: Callable[[], ExitCode], orders: Orders, mailbox: Mailbox, farewell: Callable[[], None]
) -> ExitCode:
    """``live``, then the last things: ``farewell``, what the application registered with ``atexit``, and everything
    buffered. The exit code; nothing is raised."""
    try:
        code = live()
    except Dismissed:
        code = ExitCode.OK
    except ArbiterError as error:
        code = _report(mailbox, error.exit_code, str(error), error.traceback_text)
    except BaseException as error:  # noqa: BLE001 -- the last border before the process ends
        code = _report(mailbox, ExitCode.FAILED, f"unexpectedly: {error!r}", traceback.format_exc())
    orders.close()
    try:
        farewell()
        # The process will end by ``os._exit``, which skips these; telemetry libraries flush in them.
        atexit._run_exitfuncs()
    except (Exception, SystemExit):  # the hook call, or the application's own code
        log.exception("a function registered with atexit failed", extra={"event": "hook_failed"})
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, or nobody reads it any more
    mailbox.flush(_FLUSH)
    return code


def _report(mailbox: Mailbox, code: ExitCode, reason: str, traceback_text: str) -> ExitCode:
    """Tell the arbiter why this child cannot go on; returns ``code``."""
    mailbox.send({"kind": "failed", "code": int(code), "reason": reason, "traceback": traceback_text})
    return code
