"""Unix sockets: opening them, and the rules for the files that they leave behind.

A socket file is removed before binding only if it is a socket and a ``connect()`` shows that nobody listens. The rules
for removing it afterwards are the ``Listener``'s, which remembers the inode.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from asgi_arbiter.config.errors import BindError

from .bind_errors import refuse

if TYPE_CHECKING:
    from asgi_arbiter.config import Config
    from asgi_arbiter.config.address import Address

__all__ = ["file_of", "inode_of", "open_unix"]

UDS_PERMISSIONS = 0o666
"""The default of uvicorn: whoever may enter the directory may connect."""
_PATH_LIMIT = 107 if sys.platform == "linux" else 103
"""``sizeof(sockaddr_un.sun_path)`` without the final zero byte (unix(7))."""


def file_of(address: Address) -> str:
    """The path of the socket file; empty for an abstract name (``@NAME``, unix(7)), which leaves no file."""
    return "" if address.path.startswith("@") else address.path


def open_unix(address: Address, config: Config) -> socket.socket:
    """A listening Unix socket with the mode and owner of ``config``, over a stale file if there is one.

    Raises:
        BindError: in use, in the way, or not permitted.
    """
    path = file_of(address)
    target = path or "\0" + address.path[1:]
    if len(os.fsencode(target)) > _PATH_LIMIT:
        raise BindError(
            f"cannot listen on {address}: a Unix socket's path has at most {_PATH_LIMIT} bytes, this one has "
            f"{len(os.fsencode(target))}"
        )
    if path:
        _clear_stale(path, address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        sock.bind(target)
        bound = bool(path)
        if bound:
            _set_access(path, address, config)
        sock.listen(config.backlog)
    except (OSError, BindError) as error:
        sock.close()
        if bound:
            Path(path).unlink(missing_ok=True)
        if isinstance(error, BindError):
            raise
        refuse(address, error)
    return sock


def _clear_stale(path: str, address: Address) -> None:
    """Remove what a dead server left behind, and nothing else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        refuse(address, error)
    if not stat.S_ISSOCK(mode):
        raise BindError(f"cannot listen on {address}: the path exists and is {_kind_of(mode)}, not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except BlockingIOError:
            _refuse_alive(address)  # its accept queue is full: busy, hence alive
        except OSError as error:
            if error.errno == errno.EPROTOTYPE:
                raise BindError(
                    f"cannot listen on {address}: the path is a socket of another type (not stream), in use by another program"
                ) from None
            refuse(address, error)
        else:
            _refuse_alive(address)
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        refuse(address, error)


def _refuse_alive(address: Address) -> NoReturn:
    raise BindError(f"cannot listen on {address}: in use by a living server; stop it first or choose another path")


def _set_access(path: str, address: Address, config: Config) -> None:
    """Mode and owner are set between ``bind`` and ``listen``: until then nobody can connect."""
    mode = UDS_PERMISSIONS if config.uds_permissions is None else config.uds_permissions
    Path(path).chmod(mode)
    if not config.uds_owner:
        return
    user, _, group = config.uds_owner.partition(":")
    try:
        os.chown(path, _user_id(user), _group_id(group))
    except LookupError as error:
        raise BindError(f"cannot listen on {address}: uds_owner {config.uds_owner!r}: {error.args[0]}") from None
    except PermissionError:
        raise BindError(
            f"cannot listen on {address}: not permitted to give the socket to {config.uds_owner!r} (uds_owner)"
        ) from None


def _user_id(name: str) -> int:
    import pwd

    if not name:
        return -1
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise LookupError(f"there is no user {name!r}") from None


def _group_id(name: str) -> int:
    import grp

    if not name:
        return -1
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {name!r}") from None


def inode_of(path: str) -> tuple[int, int] | None:
    """Device and inode of the file itself (links are not followed); ``None`` if it cannot be seen."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _kind_of(mode: int) -> str:
    kinds = ((stat.S_ISREG, "a regular file"), (stat.S_ISDIR, "a directory"), (stat.S_ISLNK, "a symbolic link"))
    return next((words for test, words in kinds if test(mode)), "a device or a pipe")
