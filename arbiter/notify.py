"""Talking to the service manager: sd_notify(3), from the variables that it set.

Rules: the variables are taken away, so that no worker and no program of the application speaks for the service; a
message that cannot be delivered is nobody's problem; there is no dependency on libsystemd, since the protocol is one
datagram. Where nobody listens every method does nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import MutableMapping

from .actions import Notice

__all__ = ["Notifier", "lines"]


def lines(notice: Notice, *, now: float, before: str, main_pid: int = 0) -> list[str]:
    """The lines that tell ``notice`` after the state ``before`` was told. ``now`` is monotonic seconds, which systemd
    wants with RELOADING=1 (sd_notify(3), Type=notify-reload); ``main_pid`` is told once if it is not 0."""
    told = [f"STATUS={notice.status}"]
    if notice.state and notice.state != before:
        told.insert(0, f"{notice.state}=1")
        if notice.state == "RELOADING":
            told.insert(1, f"MONOTONIC_USEC={int(now * 1e6)}")
        if main_pid:
            told.insert(1, f"MAINPID={main_pid}")
    if notice.extend > 0:
        told.append(f"EXTEND_TIMEOUT_USEC={int((notice.extend + 2.0) * 1e6)}")
    return told


class Notifier:
    """One connection to the service manager."""

    def __init__(self, environ: MutableMapping[str, str], pid: int) -> None:
        """Takes NOTIFY_SOCKET and the watchdog's variables out of ``environ``."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        interval, owner = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self.watchdog = 0.0
        """Seconds between two signs of life: half of what the service manager allows; 0 if it wants none."""
        if self._address and interval.isascii() and interval.isdigit() and owner in ("", str(pid)):
            self.watchdog = int(interval) / 2e6
        self._socket: socket.socket | None = None
        self._state = ""
        self.main_pid = 0
        """Our pid, if it is not the one that the service manager started."""
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def tell(self, notice: Notice) -> None:
        """Tell a notice; its state only when it is another one than before."""
        self._send(lines(notice, now=time.monotonic(), before=self._state, main_pid=self.main_pid))
        if notice.state:
            self._state, self.main_pid = notice.state, 0

    def pet(self) -> None:
        """The watchdog's sign of life."""
        self._send(["WATCHDOG=1"])

    def hand_over(self, pid: int) -> None:
        """Name the process that speaks for the service from now on, and fall silent."""
        self._send([f"MAINPID={pid}"])
        self.close()

    def descriptors(self) -> tuple[int, ...]:
        """What a worker must not keep."""
        return (self._socket.fileno(),) if self._socket is not None else ()

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, told: list[str]) -> None:
        if self._socket is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        text = "\n".join(line.replace("\n", " ") for line in told)
        try:
            self._socket.sendto(text.encode(errors="replace"), address)
        except OSError:
            pass  # the service manager is restarting, or its queue is full; the next notice says it all again
