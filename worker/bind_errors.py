"""What the kernel answers when a socket cannot be opened, as one line for the operator."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from asgi_arbiter.config.address import AddressKind
from asgi_arbiter.config.errors import BindError

if TYPE_CHECKING:
    from asgi_arbiter.config.address import Address

__all__ = ["explain", "refuse"]


def refuse(address: Address, error: OSError) -> NoReturn:
    """Raise the ``BindError`` for what the kernel answered."""
    raise BindError(f"cannot listen on {address}: {explain(address, error)}") from None


def explain(address: Address, error: OSError) -> str:
    """The kernel's answer as half a sentence for the operator, with the way out where there is one."""
    code = error.errno
    if code == errno.EADDRINUSE:
        return "address already in use" + _user_of(address)
    if code in (errno.EACCES, errno.EPERM):
        if address.kind is AddressKind.TCP and address.port < 1024:
            return (
                "permission denied; a port below 1024 needs root, the capability CAP_NET_BIND_SERVICE or socket "
                "activation by systemd"
            )
        return "permission denied" + (_directory_hint(address) if address.kind is AddressKind.UNIX else "")
    if code == errno.EADDRNOTAVAIL:
        if address.kind is AddressKind.UNIX:
            return "address not available"
        return "address not available; no network interface of this machine has it"
    if code == errno.EAFNOSUPPORT:
        return "this machine does not support IPv6" if ":" in address.host else "address family not supported"
    if code in (errno.ENOENT, errno.ENOTDIR) and address.kind is AddressKind.UNIX:
        return f"the directory {Path(address.path).parent} does not exist"
    if code == errno.EROFS:
        return "the file system is read-only"
    return (error.strerror or str(error)).lower()


def _directory_hint(address: Address) -> str:
    return f"; the directory {Path(address.path).parent or '.'} must be writable for this user"


def _user_of(address: Address) -> str:
    """Who has the address, as far as this user may see; otherwise how to find out."""
    if address.kind is not AddressKind.TCP:
        return "; stop the other server first or choose another name"
    advice = "; stop it first or choose another --bind"
    try:
        import psutil
    except ImportError:
        return advice
    try:
        for connection in psutil.net_connections("tcp"):
            port = getattr(connection.laddr, "port", 0)
            if connection.status == psutil.CONN_LISTEN and port == address.port and connection.pid:
                return f" by pid {connection.pid} ({psutil.Process(connection.pid).name()}){advice}"
    except (OSError, psutil.Error):
        pass
    return f" (ss -ltnp 'sport = :{address.port}' shows by whom){advice}"
