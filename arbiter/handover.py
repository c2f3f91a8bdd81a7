"""What passes from one arbiter to the next at an upgrade (SIGUSR2), and how.

The sockets pass by inheritance; which is which stands, as JSON, in one variable of the environment, which the successor
takes away at once. A socket pair, the *lifeline*, carries what the two have to say (``worker.mailbox``), and its end tells
each of the other's death. Rules: a program is executed as it was started (arguments, directory, environment), so that
whatever stands behind these names now is what runs; a variable that cannot be understood ends the successor before it
touches anything.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import MutableMapping
from pathlib import Path

from asgi_arbiter.config.errors import HandoverFailed
from asgi_arbiter.config.records import Record, as_dict

__all__ = ["VARIABLE", "Inheritance", "PassedSocket", "Started"]

VARIABLE = "ASGI_ARBITER__HANDOVER"
_OF_ONE_PROCESS = (VARIABLE, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID")
"""Variables that were meant for the first process only."""
_VERSION = 1


class PassedSocket(Record):
    """A listening socket of the predecessor's."""

    fd: int
    address: str
    """As it was asked for: what the successor compares with its own settings."""
    adopted: bool = False
    """It belongs to somebody else and is never unlinked."""
    inode: tuple[int, int] | None = None
    """Device and inode of a Unix socket's file."""


class Inheritance(Record):
    """Everything that a successor is given."""

    pid: int
    """The predecessor's."""
    lifeline: int
    sockets: tuple[PassedSocket, ...] = ()
    activated: tuple[int, ...] = ()
    """Sockets that the service manager passed: they replace the configured addresses, or are meant by their names."""
    names: tuple[str, ...] = ()
    """What the service manager calls these."""

    def encode(self) -> str:
        """The value of the variable."""
        sockets = [as_dict(passed) for passed in self.sockets]
        return json.dumps({"version": _VERSION, **as_dict(self), "sockets": sockets}, separators=(",", ":"))

    def descriptors(self) -> tuple[int, ...]:
        """What must survive the execution."""
        return (self.lifeline, *(passed.fd for passed in self.sockets), *self.activated)

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Inheritance | None:
        """What a predecessor left for us, if there is one; takes the variable out of ``environ``.

        Raises:
            HandoverFailed: the variable is not ours to understand, or names no open descriptors.
        """
        text = environ.pop(VARIABLE, "")
        if not text:
            return None
        try:
            found = json.loads(text)
            if found["version"] != _VERSION:
                raise HandoverFailed(f"{VARIABLE}: written by another version of the program ({found['version']!r})")
            inheritance = cls(
                pid=int(found["pid"]),
                lifeline=int(found["lifeline"]),
                sockets=tuple(_passed(entry) for entry in found["sockets"]),
                activated=tuple(int(fd) for fd in found["activated"]),
                names=tuple(str(name) for name in found.get("names", ())),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise HandoverFailed(f"{VARIABLE}: cannot be understood: {error!r}") from None
        for fd in inheritance.descriptors():
            _check(fd)
        return inheritance

    def open_lifeline(self) -> socket.socket:
        """Our end."""
        return socket.socket(fileno=self.lifeline)


def _passed(entry: dict[str, object]) -> PassedSocket:
    inode = entry["inode"]
    pair = None if not isinstance(inode, list) else (int(inode[0]), int(inode[1]))
    return PassedSocket(int(str(entry["fd"])), str(entry["address"]), bool(entry["adopted"]), pair)


def _check(fd: int) -> None:
    try:
        os.fstat(fd)
    except OSError:
        raise HandoverFailed(f"{VARIABLE}: descriptor {fd} is not open in this process") from None
    os.set_inheritable(fd, False)


class Started(Record):
    """How this program was started."""

    arguments: tuple[str, ...]
    directory: str
    environment: dict[str, str]

    @classmethod
    def now(cls) -> Started:
        """To be asked before anything changes the directory or takes variables away."""
        environment = {name: value for name, value in os.environ.items() if name not in _OF_ONE_PROCESS}
        return cls(_arguments(), _directory(environment), environment)


def _arguments() -> tuple[str, ...]:
    """The command line, with an interpreter that is found again."""
    words = list(sys.orig_argv)
    if not words or os.sep not in words[0]:
        words[:1] = [sys.executable]
    return tuple(words)


def _directory(environment: dict[str, str]) -> str:
    """The current directory under the name by which the shell entered it: a link to the newest release must lead to the
    newest one when it is followed again."""
    here, named = Path.cwd(), environment.get("PWD", "")
    try:
        return named if named and Path(named).samefile(here) else str(here)
    except OSError:
        return str(here)
