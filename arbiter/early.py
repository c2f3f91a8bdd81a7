"""Signals that come before the arbiter can obey them: remembered, and handed over when its own handlers stand.

Without it, a SIGHUP or SIGUSR1 in the first tenths of a second would kill the program (the default action), and as
process 1 of a container a SIGTERM would be lost (the kernel drops what process 1 has no handler for). Rules:

* handlers, not a blocked mask: programs that a settings file starts would inherit the mask;
* orders to stop end the start at once, by ``Ended``, so that whatever it has made by then is cleared away; should the
  user's code swallow that, they are remembered like the others;
* SIGINT stays Python's own ``KeyboardInterrupt``.

The module imports next to nothing: it is loaded first.
"""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Ended", "leave", "listen", "take"]

_STOPS = (signal.SIGTERM, signal.SIGQUIT)
_ORDERS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
_remembered: list[int] = []


class Ended(BaseException):
    """The program was told to stop before it served. Not an ``Exception``, so that careful user code lets it pass."""


def listen() -> None:
    """From now on the signals of the arbiter are remembered. To be called first of all, in the main thread."""
    for number in _ORDERS:
        signal.signal(number, _remember)
    for number in _STOPS:
        signal.signal(number, _end)


def take() -> bytes:
    """What was remembered, as the wakeup descriptor would have carried it; to be asked when other handlers stand."""
    taken = bytes(_remembered)
    _remembered.clear()
    return taken


def leave() -> int:
    """Die of SIGTERM, as a program that nothing has to be cleared away for. Process 1 cannot: the exit code, then."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
    return 128 + signal.SIGTERM


def _remember(number: int, _frame: FrameType | None) -> None:
    _remembered.append(number)


def _end(number: int, _frame: FrameType | None) -> None:
    _remembered.append(number)
    raise Ended
