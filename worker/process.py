"""What the forked child does, top to bottom: signals, privileges, application, loop, exit code.

``run`` is the whole life of a worker process. It returns an exit code and ends nothing itself: leaving the process is
the business of the arbiter's effects, which forked it.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asgi_arbiter.config.errors import ExitCode

from .listener import Listener
from .pulse import PulseBoard

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["WorkerSpec", "run"]


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What the arbiter hands to a worker at its birth."""

    slot: int
    """Its line on the pulse board; free again when it is dead."""
    number: int
    """Its number in log lines and in the process title."""
    generation: int
    config: Config
    listeners: tuple[Listener, ...]
    board: PulseBoard
    mailbox: socket.socket
    """The worker's end."""
    arbiter_pid: int
    inherited: tuple[int, ...] = ()
    """Descriptors of the arbiter that the worker must close first: its mailboxes, wakeup pipe, notify socket."""


def run(spec: WorkerSpec) -> ExitCode:
    """Live as worker ``spec.number``."""
    raise NotImplementedError
