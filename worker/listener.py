"""Listening sockets: bound, adopted, inherited, and the rules for the files of Unix sockets.

Used by the arbiter (which binds before it forks) and by the embedded server. Rules:

* a socket file is removed before binding only if it is a socket and a ``connect()`` shows that nobody listens;
  a living server's socket and anything that is not a socket are left alone;
* a socket file is removed afterwards only by the process that bound it, and only if the file is still the one it made;
* adopted sockets (``fd://N``, systemd) are never unlinked, and ``listen()`` is not called on one that listens already;
* no socket passes to a program that the application starts; only ``fork`` inherits;
* every failure is a ``BindError`` of one line that names the address and, where there is one, the way out.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config.address import Address, AddressKind
from asgi_arbiter.config.errors import BindError

from .bind_errors import refuse
from .unix_sockets import file_of, inode_of, open_unix

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["Listener", "socket_name"]


class Listener:
    """One listening socket. ``close`` and ``release`` end it in this process; both may be repeated."""

    __slots__ = ("_inode", "_owner", "_path", "address", "adopted", "inherited", "socket")

    def __init__(self, sock: socket.socket, address: Address, *, adopted: bool, path: str = "") -> None:
        sock.setblocking(False)
        sock.set_inheritable(False)
        self.socket = sock
        self.address = address
        """The address as it was asked for; ``name`` has what came of it (a real port instead of 0)."""
        self.adopted = adopted
        """The socket belongs to somebody else (systemd, a parent), who may go on using it."""
        self.inherited = False
        """Another arbiter opened it; workers that were forked before we led do not know that it is ours by now."""
        self._path = path
        self._owner = os.getpid()
        self._inode = inode_of(path) if path else None

    @classmethod
    def bind(cls, address: Address, config: Config) -> Listener:
        """Open what ``address`` says, with the socket options of ``config``.

        Raises:
            BindError: it cannot be opened; the message is one line.
        """
        if address.name:
            raise BindError(f"cannot listen on {address}: only the command asgi-arbiter takes sockets by their name")
        if address.kind is AddressKind.FD:
            return cls.adopt(address.fd, address=address, backlog=config.backlog)
        if address.kind is AddressKind.UNIX:
            return cls(open_unix(address, config), address, adopted=False, path=file_of(address))
        return cls(_open_tcp(address, config), address, adopted=False)

    @classmethod
    def adopt(cls, fd: int, *, address: Address | None = None, backlog: int = 2048) -> Listener:
        """Take over an open descriptor: bound, of type stream, listening or not yet.

        Raises:
            BindError: it is closed, not a socket, a connection, or of another type.
        """
        address = address or Address.descriptor(fd)
        sock = _socket_of(fd, address)
        try:
            _make_listen(sock, address, backlog)
        except BaseException:
            sock.detach()  # not ours to close
            raise
        return cls(sock, address, adopted=True)

    @classmethod
    def inherit(cls, fd: int, address: Address, *, inode: tuple[int, int] | None = None) -> Listener:
        """Share a listening socket of another arbiter's, which goes on owning it until ``own``.

        Raises:
            BindError: the descriptor is closed or no socket.
        """
        path = file_of(address) if address.kind is AddressKind.UNIX else ""
        listener = cls(_socket_of(fd, address), address, adopted=True, path=path)
        listener._owner, listener._inode, listener.inherited = 0, inode, True
        return listener

    def own(self, *, adopted: bool) -> None:
        """From now on this process answers for the socket file, unless the socket is ``adopted`` from somebody else."""
        self._owner, self.adopted = os.getpid(), adopted

    @property
    def inode(self) -> tuple[int, int] | None:
        """Device and inode of the file that ``close`` would remove."""
        return self._inode

    @property
    def name(self) -> str:
        """What it is bound to, for log lines: ``127.0.0.1:8000``, ``[::1]:8000``, ``unix:/run/app.sock``."""
        return socket_name(self.socket) if self.socket.fileno() >= 0 else str(self.address)

    @classmethod
    def over(cls, sock: socket.socket, *, backlog: int = 2048) -> Listener:
        """Serve on a socket that a program made: bound, listening or not yet. ``close`` closes this very object.

        Raises:
            BindError: it is closed, a connection, or of another type.
        """
        if sock.fileno() < 0:
            raise BindError("cannot listen on a socket that is closed")
        address = Address.descriptor(sock.fileno())
        _make_listen(sock, address, backlog)
        return cls(sock, address, adopted=True)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close, and remove the socket file if this process made it and it is still the same file."""
        if self._path and self._owner == os.getpid() and self._inode is not None:
            if inode_of(self._path) == self._inode:
                try:
                    Path(self._path).unlink()
                except OSError:
                    pass  # the directory became read-only or vanished: nothing left to be tidy about
            self._inode = None
        self.socket.close()

    def release(self) -> None:
        """Close without removing the socket file: a worker's copy, or a socket that a successor goes on using."""
        self._inode = None
        self.socket.close()

    def reclaim(self) -> None:
        """Undo a ``refuse_new`` and prevent another, for good: the workers of an arbiter that was killed take themselves
        for the last ones, and we serve on with the same socket."""
        if sys.platform == "linux" and self.socket.family in (socket.AF_INET, socket.AF_INET6):
            for option in (_SO_DETACH_FILTER, _SO_LOCK_FILTER):
                try:
                    self.socket.setsockopt(socket.SOL_SOCKET, option, 1)
                except OSError:
                    pass  # there was none to detach

    def refuse_new(self) -> None:
        """Let no further connection into the accept queue, in all processes that share the socket; those in the queue
        stay. For the last drain before the socket closes for good, so that the queue can be emptied first.

        Linux only (elsewhere nothing happens), and never for an adopted socket: its owner goes on using it.
        A filter that drops every packet is the one way that keeps the queue: ``shutdown()`` would reset it.
        """
        if sys.platform == "linux" and not self.adopted and self.socket.family in (socket.AF_INET, socket.AF_INET6):
            try:
                _drop_packets(self.socket)
            except OSError:
                pass  # a kernel without socket filters: a connection may be reset at the very end, nothing worse


def socket_name(sock: socket.socket) -> str:
    """The bound address of a socket as a user would write it."""
    bound = sock.getsockname()
    if sock.family == socket.AF_INET6:
        return f"[{bound[0]}]:{bound[1]}"
    if sock.family == socket.AF_INET:
        return f"{bound[0]}:{bound[1]}"
    if isinstance(bound, bytes):
        bound = os.fsdecode(bound)
    return "unix:" + (bound.replace("\0", "@", 1) if bound else "(unnamed)")


# TCP


def _open_tcp(address: Address, config: Config) -> socket.socket:
    host = "0.0.0.0" if address.host in ("", "*") else address.host
    family, sockaddr = _resolve(host, address)
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        refuse(address, error)
    try:
        # Without it a restart would have to wait for the connections of the last run to leave TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if config.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, _reuse_port_option(address), 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, _shares_port_with_v4(address, config))
        sock.bind(sockaddr)
        sock.listen(config.backlog)
    except OSError as error:
        sock.close()
        refuse(address, error)
    except BaseException:
        sock.close()
        raise
    return sock


def _resolve(host: str, address: Address) -> tuple[socket.AddressFamily, Any]:
    """A name with addresses of both families is bound as IPv4, as uvicorn and gunicorn do; two binds give both."""
    name = host.encode() if host.isascii() else host  # text would be encoded by tables that take long to load
    try:
        found = socket.getaddrinfo(name, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise BindError(f"cannot listen on {address}: the host name {host!r} cannot be resolved") from None
    family, _, _, _, sockaddr = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, sockaddr


def _shares_port_with_v4(address: Address, config: Config) -> bool:
    """``[::]`` takes IPv4 clients too, unless another bind of ours wants the same port for IPv4."""
    others = (Address.parse(text) for text in config.bind)
    return any(o.kind is AddressKind.TCP and ":" not in o.host and o.port == address.port for o in others)


def _reuse_port_option(address: Address) -> int:
    option: int | None = getattr(socket, "SO_REUSEPORT", None)
    if option is None:
        raise BindError(f"cannot listen on {address}: this system has no SO_REUSEPORT; leave out --reuse-port")
    return option


# Adopted descriptors


def _socket_of(fd: int, address: Address) -> socket.socket:
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        if error.errno == errno.ENOTSOCK:
            raise BindError(f"cannot listen on {address}: descriptor {fd} is not a socket") from None
        if error.errno == errno.EBADF:
            raise BindError(f"cannot listen on {address}: descriptor {fd} is not open in this process") from None
        refuse(address, error)


def _make_listen(sock: socket.socket, address: Address, backlog: int) -> None:
    if sock.type != socket.SOCK_STREAM:
        raise BindError(f"cannot listen on {address}: the socket is of type {_type_name(sock)}, a stream is needed")
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        raise BindError(f"cannot listen on {address}: neither a TCP nor a Unix socket")
    if _is_listening(sock):
        return
    try:
        sock.getpeername()
    except OSError:
        pass
    else:
        raise BindError(f"cannot listen on {address}: the descriptor is an open connection, not a listening socket")
    try:
        sock.listen(backlog)
    except OSError as error:
        refuse(address, error)


def _is_listening(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:  # macOS does not answer; listen() again is harmless there but for the backlog
        return False


def _type_name(sock: socket.socket) -> str:
    kind = sock.type
    return kind.name if isinstance(kind, socket.SocketKind) else str(kind)


# Linux socket filter

_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _SO_LOCK_FILTER = 26, 27, 44


def _drop_packets(sock: socket.socket) -> None:
    """Attach the classic BPF program ``ret #0`` (socket(7), SO_ATTACH_FILTER)."""
    import ctypes

    program = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))
