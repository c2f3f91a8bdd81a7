"""The set of listeners: opened for generations, shared between them, adopted from the service manager.

Rules: a listener is opened once and kept while any generation uses it; a reload opens what is new before any fork and
closes what is gone only when nobody needs it. If one address of a generation cannot be opened, none of its new ones is
kept. Sockets that the service manager passes replace the configured addresses, unless one of these (``fd://NAME``) means
them by their names; they are never unlinked, and stay open whether they are used or not. At an upgrade two
arbiters share the sockets, and exactly one of them owns the files of Unix sockets: the one that leads.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING

from asgi_arbiter.config.address import Address
from asgi_arbiter.config.errors import BindError
from asgi_arbiter.worker.listener import Listener

from .handover import Inheritance, PassedSocket

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

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
    scheme = "https" if config.speaks_tls else "http"
    return tuple(
        listener.name if listener.name.startswith("unix:") else f"{scheme}://{listener.name}" for listener in listeners
    )


class ListenerSet:
    """All listeners of the arbiter. ``bind`` opens one (another function in tests)."""

    def __init__(self, bind: Callable[[Address, Config], Listener] = Listener.bind) -> None:
        self._bind = bind
        self._open: dict[Address, Listener] = {}
        self._used: dict[int, tuple[Address, ...] | None] = {}
        """By generation; ``None`` stands for whatever the service manager has passed."""
        self._adopted: tuple[Listener, ...] = ()
        self.names: tuple[str, ...] = ()
        """What the service manager calls its sockets (FileDescriptorName=), in the order of ``open``."""
        self._inherited: dict[Address, tuple[Listener, bool]] = {}
        """Sockets of a predecessor's, and whether they are somebody else's for both of us."""

    def adopt(self, descriptors: list[tuple[int, str]], config: Config) -> None:
        """Use these sockets, with their names, instead of the configured addresses or where these name them.

        Raises:
            BindError: one of them is no listening socket.
        """
        self._adopted = tuple(Listener.adopt(fd, backlog=config.backlog) for fd, _ in descriptors)
        self.names = tuple(name for _, name in descriptors)

    @property
    def is_activated(self) -> bool:
        """Whether the service manager passed sockets."""
        return bool(self._adopted)

    def open(self, generation: int, config: Config) -> tuple[Listener, ...]:
        """Open what ``generation`` listens on; what is open already is kept.

        Raises:
            BindError: an address cannot be opened; those opened before it are closed again.
        """
        wanted = tuple(dict.fromkeys(config.addresses))
        named = [address for address in wanted if address.name]
        if self._adopted and not named:
            self._used[generation] = None
            return self._adopted
        for address in named:
            self._check_name(address)
        fresh: dict[Address, Listener] = {}
        try:
            for address in wanted:
                if address in self._inherited:
                    self._open[address] = self._inherited[address][0]
                elif address not in self._open and not address.name:
                    fresh[address] = self._bind(address, config)
        except BaseException:
            for listener in fresh.values():
                listener.close()
            raise
        self._open.update(fresh)
        self._used[generation] = wanted
        return self.of(generation)

    def _check_name(self, address: Address) -> None:
        if address.name not in self.names:
            passed = ", ".join(dict.fromkeys(name or "one without a name" for name in self.names)) or "none"
            raise BindError(
                f"cannot listen on {address}: the service manager passed no socket of that name (passed: {passed})"
            )

    def inherit(self, inheritance: Inheritance, config: Config) -> None:
        """Share the sockets of a predecessor where the settings ask for the same addresses.

        Raises:
            BindError: one of them is no listening socket.
        """
        if inheritance.activated:
            names = (*inheritance.names, *("" for _ in inheritance.activated))
            self.adopt(list(zip(inheritance.activated, names, strict=False)), config)
        for passed in inheritance.sockets:
            address = Address.parse(passed.address)
            listener = Listener.inherit(passed.fd, address, inode=passed.inode)
            self._inherited[address] = (listener, passed.adopted)

    def own(self) -> tuple[str, ...]:
        """Become the owner of what was inherited and is used; the addresses of these. The rest is let go of."""
        taken = [address for address in self._inherited if address in self._open]
        for address, (listener, adopted) in self._inherited.items():
            if address in self._open:
                listener.own(adopted=adopted)
            else:
                listener.release()
        self._inherited = {}
        return tuple(str(address) for address in taken)

    def reclaim(self) -> None:
        """Our predecessor was killed: whatever its workers do to the sockets as its last ones is undone."""
        for listener in self._open.values():
            if listener.inherited:
                listener.reclaim()

    def passed(self) -> tuple[PassedSocket, ...]:
        """What a successor may share."""
        return tuple(
            PassedSocket(listener.fileno(), str(address), listener.adopted, listener.inode)
            for address, listener in self._open.items()
        )

    def activated(self) -> tuple[int, ...]:
        """What the service manager passed."""
        return tuple(listener.fileno() for listener in self._adopted)

    def hand_over(self, taken: tuple[str, ...]) -> None:
        """Close everything; socket files only where the successor did not take the socket."""
        for address, listener in self._open.items():
            if str(address) in taken:
                listener.release()
        self.keep(None)

    def of(self, generation: int) -> tuple[Listener, ...]:
        """The listeners of a generation, in the order of its settings."""
        used = self._used[generation]
        return self._adopted if used is None else tuple(each for address in used for each in self._meant(address))

    def _meant(self, address: Address) -> list[Listener]:
        if not address.name:
            return [self._open[address]]
        return [each for each, name in zip(self._adopted, self.names, strict=True) if name == address.name]

    def unused(self, generation: int) -> tuple[str, ...]:
        """Names of passed sockets that no address of a generation means."""
        mine = self.of(generation)
        return tuple(name for each, name in zip(self._adopted, self.names, strict=True) if each not in mine)

    def others(self, generation: int) -> tuple[int, ...]:
        """Descriptors of listeners that ``generation`` does not use; its workers close them."""
        mine = self.of(generation)
        return tuple(fd for fd in self.descriptors() if fd not in {listener.fileno() for listener in mine})

    def descriptors(self) -> tuple[int, ...]:
        """All of them, for a child that serves nobody."""
        inherited = [listener for listener, _ in self._inherited.values() if listener not in self._open.values()]
        return tuple(listener.fileno() for listener in (*self._open.values(), *self._adopted, *inherited))

    def keep(self, generation: int | None) -> None:
        """Close what ``generation`` does not use (with ``None``: all), removing the socket files that are ours."""
        used = self._used.get(generation, ()) if generation is not None else ()
        wanted = used or ()
        for address in [address for address in self._open if address not in wanted]:
            listener = self._open.pop(address)
            if listener.inherited:
                listener.refuse_new()
            listener.close()
        self._used = {generation: used} if generation is not None else {}
        if generation is None:
            for listener in self._adopted:
                listener.release()
            self._adopted = self.names = ()
            for listener, _ in self._inherited.values():
                listener.release()
            self._inherited = {}
