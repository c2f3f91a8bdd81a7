"""The sockets of an embedded server: opened from the settings or taken from the program, and what it may ask of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from asgi_arbiter.config import AddressKind
from asgi_arbiter.worker import Listener

if TYPE_CHECKING:
    from asgi_arbiter.config import Address
    from asgi_arbiter.config import Config as Settings

__all__ = ["BoundServer", "opened", "urls"]


class BoundServer:
    """One entry of ``Server.servers``: what programs ask of ``asyncio.Server`` to learn the port."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket; empty once closed."""
        return (self._listener.socket,) if self.is_serving() else ()

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._listener.fileno() >= 0


def opened(sockets: Sequence[socket.socket] | None, settings: Settings) -> list[Listener]:
    """Listeners over ``sockets``, or those of the settings. Raises ``BindError``; then none of them is left open."""
    found: list[Listener] = []
    try:
        if sockets is not None:
            for given in sockets:
                found.append(Listener.over(given, backlog=settings.backlog))
        else:
            for address in settings.addresses:
                found.append(_open(address, settings))
    except BaseException:
        for listener in found:
            listener.close()
        raise
    return found


def urls(listeners: Iterable[Listener], *, encrypted: bool) -> tuple[str, ...]:
    """What a client would write: ``http://127.0.0.1:54321``, ``unix:/run/app.sock``."""
    scheme = "https" if encrypted else "http"
    names = (listener.name for listener in listeners)
    return tuple(name if name.startswith("unix:") else f"{scheme}://{name}" for name in names)


def _open(address: Address, settings: Settings) -> Listener:
    if address.kind is not AddressKind.FD or address.name:
        return Listener.bind(address, settings)
    try:
        copied = os.dup(address.fd)  # the number itself goes on belonging to the program
    except OSError:
        return Listener.adopt(address.fd, address=address)  # not open, which it says
    try:
        return Listener.adopt(copied, address=address, backlog=settings.backlog)
    except BaseException:
        os.close(copied)
        raise
