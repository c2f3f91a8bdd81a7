"""Who is the client? Forwarding headers, believed only from peers that the operator trusts.

Trust is decided once per connection from its peer address; a connection from a Unix socket is trusted when ``unix:`` or
``*`` is listed. In a list of hops the rightmost one that is not itself trusted is the client: everything left of it
was written by somebody we do not know.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from .scheme_headers import SchemeHeaders

__all__ = ["Trust", "apply_forwarding"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_CACHE_LIMIT: Final = 1024


class Trust:
    """The set of trusted peers: addresses, networks, literals such as ``unix:``, or ``*`` for everybody."""

    __slots__ = ("_known", "_literals", "_networks", "everybody", "read", "schemes")

    def __init__(self, entries: Iterable[str], schemes: SchemeHeaders | None = None) -> None:
        self.schemes = schemes or SchemeHeaders()
        self.read = _READ | self.schemes.names
        """The names of the fields that a trusted peer may set."""
        self._networks: list[_Network] = []
        self._literals: set[str] = set()
        self._known: dict[str, bool] = {}
        self.everybody = False
        for entry in (item.strip() for text in entries for item in text.split(",")):
            if entry == "*":
                self.everybody = True
            elif entry:
                self._add(entry)

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            self._literals.add("unix" if entry in ("unix", "unix:") else entry)

    def covers(self, host: str | None) -> bool:
        """Whether a peer is trusted; ``None`` is a peer on a Unix socket."""
        if self.everybody:
            return True
        if host is None:
            return "unix" in self._literals
        answer = self._known.get(host)
        if answer is None:
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            answer = self._known[host] = self._decide(host)
        return answer

    def _decide(self, host: str) -> bool:
        if host in self._literals:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def apply_forwarding(scope: dict[str, Any], trust: Trust) -> None:
    """Correct ``client``, ``scheme``, ``server`` host and ``root_path`` of a scope that came through a trusted proxy.

    ``X-Forwarded-*`` goes before RFC 7239 ``Forwarded`` where both are present; malformed values are ignored. Raises
    ``Refusal`` if it cannot be told what the scheme is."""
    values: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in trust.read:
            values[name] = values[name] + b"," + value if name in values else value
    hops, host = _from_x_forwarded(values)
    proto = trust.schemes.claimed(values)
    if not hops and not proto and b"forwarded" in values:
        hops, proto, host = _from_forwarded(values[b"forwarded"], trust)
    if hops:
        client = _client(hops, trust)
        if client is not None:
            scope["client"] = client
    if proto in _SCHEMES:
        scope["scheme"] = _SCHEMES[proto] if scope["type"] == "http" else _WEBSOCKET_SCHEMES[proto]
    _apply_host(scope, host, values.get(b"x-forwarded-port", b""))
    _apply_prefix(scope, values.get(b"x-forwarded-prefix", b""))


_READ: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
    }
)
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def _last(value: bytes) -> str:
    """The item that the nearest proxy appended."""
    return value.rpartition(b",")[2].strip().decode("latin-1")


def _from_x_forwarded(values: dict[bytes, bytes]) -> tuple[list[str], str]:
    hops = [item.strip() for item in values.get(b"x-forwarded-for", b"").decode("latin-1").split(",")]
    return [hop for hop in hops if hop], _last(values.get(b"x-forwarded-host", b""))


def _from_forwarded(value: bytes, trust: Trust) -> tuple[list[str], str, str]:
    """RFC 7239 section 4: elements by comma, pairs by semicolon; the element of the client's own hop counts."""
    elements: list[dict[str, str]] = []
    for text in value.decode("latin-1").split(","):
        pairs = (pair.partition("=") for pair in text.split(";"))
        elements.append({name.strip().lower(): item.strip().strip('"') for name, _, item in pairs})
    hops = [element["for"] for element in elements if element.get("for")]
    chosen = elements[-1]
    for element in reversed(elements):
        chosen = element
        if not trust.covers(_split_port(element.get("for", ""))[0]):
            break
    return hops, chosen.get("proto", "").lower(), chosen.get("host", "")


def _client(hops: list[str], trust: Trust) -> tuple[str, int] | None:
    """The rightmost hop that is not trusted, or the leftmost if all are."""
    for hop in reversed(hops):
        host, port = _split_port(hop)
        if not trust.covers(host):
            return (host, port) if host else None
    if trust.everybody or hops:
        host, port = _split_port(hops[0])
        return (host, port) if host else None
    return None


def _split_port(hop: str) -> tuple[str, int]:
    """``1.2.3.4``, ``1.2.3.4:80``, ``::1``, ``[::1]:80`` or a name, as host and port (0 when there is none)."""
    if hop.startswith("["):
        host, _, rest = hop[1:].partition("]")
        return host, _port(rest.removeprefix(":"))
    if hop.count(":") == 1:
        host, _, rest = hop.partition(":")
        return host, _port(rest)
    return hop, 0


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 65536 else 0


def _apply_host(scope: dict[str, Any], host: str, port: str | bytes) -> None:
    """The Host that the client used, as the application would have seen it without the proxy."""
    if not host or not host.isascii() or any(character <= " " or character in "/@?#," for character in host):
        return
    text = _last(port) if isinstance(port, bytes) else port
    if _port(text) and ":" not in host.rpartition("]")[2]:
        host = f"{host}:{text}"
    headers = [field for field in scope["headers"] if field[0] != b"host"]
    headers.insert(0, (b"host", host.encode("ascii")))
    scope["headers"] = headers


def _apply_prefix(scope: dict[str, Any], prefix: bytes) -> None:
    """The path below which a proxy that strips it has mounted us; it joins ``root_path`` and so the path."""
    text = _last(prefix).rstrip("/")
    if not text.startswith("/") or "%" in text or "?" in text or not text.isascii() or scope["raw_path"] == b"*":
        return
    scope["root_path"] = text + scope["root_path"]
    scope["path"] = text + scope["path"]
    scope["raw_path"] = text.encode("ascii") + scope["raw_path"]
