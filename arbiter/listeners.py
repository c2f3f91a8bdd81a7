"""The set of listeners: opened for generations, shared between them, adopted from the service manager.

Rules: a listener is opened once and kept while any generation uses it; a reload opens what is new before any fork and
closes what is gone only when nobody needs it. If one address of a generation cannot be opened, none of its new ones is
kept. Sockets that the service manager passes replace the configured addresses and are never unlinked.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING

from asgi_arbiter.worker.listener import Listener

if TYPE_CHECKING:
    from asgi_arbiter.config import Address, Config

__all__ = ["ListenerSet", "activated", "urls"]

_FIRST_ACTIVATED = 3
"""The first passed descriptor (sd_listen_fds(3), SD_LISTEN_FDS_START)."""


def activated(environ: MutableMapping[str, str], pid: int) -> list[tuple[int, str]]:
    """Descriptors that systemd passed to this process, with their names; takes the variables away in any case, since
    they are meant for one process only."""
    owner = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if owner != str(pid) or not count.isascii() or not count.isdigit():
        return []
    return [
        (_FIRST_ACTIVATED + index, names[index] if index < len(names) else "unknown") for index in range(int(count))
    ]


def urls(listeners: tuple[Listener, ...], config: Config) -> tuple[str, ...]:
    """What a client would write: ``http://127.0.0.1:8000``, ``unix:/run/app.sock``."""
    scheme = "https" if config.certfile or config.ssl_context else "http"
    return tuple(
        listener.name if listener.name.startswith("unix:") else f"{scheme}://{listener.name}" for listener in listeners
    )


class ListenerSet:
    """All listeners of the arbiter. ``bind`` opens one (another function in tests)."""

    def __init__(self, bind: Callable[[Address, Config], Listener] = Listener.bind) -> None:
        self._bind = bind
        self._open: dict[Address, Listener] = {}
        self._used: dict[int, tuple[Address, ...]] = {}
        self._adopted: tuple[Listener, ...] = ()

    def adopt(self, descriptors: list[tuple[int, str]], config: Config) -> None:
        """Use these sockets instead of the configured addresses.

        Raises:
            BindError: one of them is no listening socket.
        """
        self._adopted = tuple(Listener.adopt(fd, backlog=config.backlog) for fd, _name in descriptors)

    @property
    def is_activated(self) -> bool:
        """Whether the service manager passed sockets."""
        return bool(self._adopted)

    def open(self, generation: int, config: Config) -> tuple[Listener, ...]:
        """Open what ``generation`` listens on; what is open already is kept.

        Raises:
            BindError: an address cannot be opened; those opened before it are closed again.
        """
        if self._adopted:
            self._used[generation] = ()
            return self._adopted
        wanted = tuple(dict.fromkeys(config.addresses))
        fresh: dict[Address, Listener] = {}
        try:
            for address in wanted:
                if address not in self._open:
                    fresh[address] = self._bind(address, config)
        except BaseException:
            for listener in fresh.values():
                listener.close()
            raise
        self._open.update(fresh)
        self._used[generation] = wanted
        return self.of(generation)

    def of(self, generation: int) -> tuple[Listener, ...]:
        """The listeners of a generation, in the order of its settings."""
        return self._adopted or tuple(self._open[address] for address in self._used[generation])

    def others(self, generation: int) -> tuple[int, ...]:
        """Descriptors of listeners that ``generation`` does not use; its workers close them."""
        mine = self.of(generation)
        return tuple(listener.fileno() for listener in self._open.values() if listener not in mine)

    def descriptors(self) -> tuple[int, ...]:
        """All of them, for a child that serves nobody."""
        return tuple(listener.fileno() for listener in (*self._open.values(), *self._adopted))

    def keep(self, generation: int | None) -> None:
        """Close what ``generation`` does not use (with ``None``: all), removing the socket files that are ours."""
        wanted = self._used.get(generation, ()) if generation is not None else ()
        for address in [address for address in self._open if address not in wanted]:
            self._open.pop(address).close()
        self._used = {generation: wanted} if generation is not None else {}
        if generation is None:
            for listener in self._adopted:
                listener.release()
            self._adopted = ()
