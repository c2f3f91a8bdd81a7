"""Addresses to listen on: parsing and printing. Pure; opening them is the listener's business.

The forms are ``HOST:PORT``, ``HOST`` (port 8000), ``:PORT`` (all IPv4 interfaces), ``[IPv6]:PORT``, a bare IPv6 address,
``unix:PATH``, ``unix:@NAME`` (Linux's abstract namespace), ``fd://N``, and ``fd://NAME`` for the sockets that the service
manager passes under that name.
"""

from __future__ import annotations

import re
from enum import Enum

from .errors import InvalidSetting
from .records import Record

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "UNIX_PATH_LIMIT", "Address", "AddressKind"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
UNIX_PATH_LIMIT = 107
"""Bytes of ``sockaddr_un.sun_path`` on Linux without the final zero (macOS has 103)."""


_PASSED_NAME = "[!-9;-~]{0,254}[!-/;-~][!-9;-~]{0,254}"
"""What sd_listen_fds_with_names(3) allows (ASCII without blanks and colons), unless it is a number."""


class AddressKind(Enum):
    """What an address names."""

    TCP = "tcp"
    UNIX = "unix"
    FD = "fd"


class Address(Record):
    """One address to listen on. ``str()`` gives it as it is written for ``--bind``; ``url`` as a client writes it."""

    kind: AddressKind
    host: str = ""
    """Host name or IP address without brackets (TCP)."""
    port: int = 0
    """0 takes a free port (TCP)."""
    path: str = ""
    """Socket file; an abstract name begins with ``@`` (Unix)."""
    fd: int = -1
    """Number of an inherited descriptor; -1 for sockets that are known by their name."""
    name: str = ""
    """What the service manager calls its sockets (systemd: ``FileDescriptorName=``)."""

    @classmethod
    def tcp(cls, host: str, port: int) -> Address:
        """A TCP address. Raises ``InvalidSetting`` for an impossible host or port."""
        if not 0 <= port <= 65535:
            raise InvalidSetting(f"port {port} is not between 0 and 65535")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if re.search(r"[\s/\[\]@?#]", bare):
            raise InvalidSetting(f'"{host}" is neither a host name nor an IP address')
        if ":" in bare and not _is_ipv6(bare):
            hint = f"; a host with its port is --bind {host}" if bare.count(":") == 1 else ""
            raise InvalidSetting(f'"{host}" is not an IPv6 address{hint}')
        return cls(AddressKind.TCP, host=bare, port=port)

    @classmethod
    def unix(cls, path: str) -> Address:
        """A Unix socket. Raises ``InvalidSetting`` for a path that the kernel cannot take."""
        if not path or path == "@":
            raise InvalidSetting("the path of the Unix socket is missing")
        if "\0" in path:
            raise InvalidSetting(f"the path of the Unix socket has a zero byte; write an abstract name as @{path[1:]}")
        size = len(path.encode("utf-8", "surrogateescape"))
        if size > UNIX_PATH_LIMIT:
            raise InvalidSetting(
                f"the path of the Unix socket has {size} bytes, the system allows {UNIX_PATH_LIMIT}: {path}"
            )
        return cls(AddressKind.UNIX, path=path)

    @classmethod
    def descriptor(cls, fd: int) -> Address:
        """An inherited descriptor. Raises ``InvalidSetting`` for a negative number."""
        if fd < 0:
            raise InvalidSetting(f"a file descriptor cannot be {fd}")
        return cls(AddressKind.FD, fd=fd)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address as it is written for ``--bind``. Raises ``InvalidSetting`` with one line."""
        text = text.strip()
        if not text:
            raise InvalidSetting("the address is empty")
        if text.startswith("unix:"):
            path = text[5:]
            return cls.unix("/" + path.lstrip("/") if path.startswith("//") else path)
        if text.startswith("fd://"):
            return cls._parse_descriptor(text[5:], text)
        if "://" in text:
            text = _without_scheme(text)
        return cls._parse_tcp(text)

    @classmethod
    def _parse_descriptor(cls, text: str, whole: str) -> Address:
        if re.fullmatch("[0-9]{1,9}", text):
            return cls.descriptor(int(text))
        if not re.fullmatch(_PASSED_NAME, text):
            raise InvalidSetting(
                f'"{whole}" is not fd://N with N a number, nor fd://NAME of a socket passed by systemd'
            )
        return cls(AddressKind.FD, name=text)

    @classmethod
    def _parse_tcp(cls, text: str) -> Address:
        if text.startswith("["):
            host, closed, rest = text[1:].partition("]")
            if not closed or not host or (rest and not rest.startswith(":")):
                raise InvalidSetting(f'"{text}" is not [IPv6]:PORT')
            return cls.tcp(host, _port(rest[1:], text) if rest else DEFAULT_PORT)
        if text.count(":") > 1:
            return cls.tcp(text, DEFAULT_PORT)
        host, colon, port = text.partition(":")
        return cls.tcp(host or "0.0.0.0", _port(port, text) if colon else DEFAULT_PORT)

    @property
    def url(self) -> str:
        """The address as a client would write it, without the TLS question: ``http://127.0.0.1:8000``."""
        return f"http://{self}" if self.kind is AddressKind.TCP else str(self)

    def __str__(self) -> str:
        if self.kind is AddressKind.UNIX:
            return f"unix:{self.path}"
        if self.kind is AddressKind.FD:
            return f"fd://{self.name or self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _without_scheme(text: str) -> str:
    """``tcp://`` is gunicorn's and means nothing; other schemes are a misunderstanding worth a sentence."""
    scheme, _, rest = text.partition("://")
    if scheme == "tcp":
        return rest
    raise InvalidSetting(f'"{text}" is a URL; write {rest.rstrip("/") or "HOST:PORT"}')


def _is_ipv6(text: str) -> bool:
    from ipaddress import IPv6Address  # not every start needs it

    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _port(text: str, whole: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise InvalidSetting(f'"{text}" in "{whole}" is not a port number')
    return int(text)
