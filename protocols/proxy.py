"""Who is the client? Forwarding headers, believed only from peers that the operator trusts.

Trust is decided once per connection from its peer address; a connection from a Unix socket is trusted when ``unix:`` or
``*`` is listed. In a list of hops the rightmost one that is not itself trusted is the client: everything left of it
was written by somebody we do not know. A hop that is no address (``unknown``, ``_hidden``, anything malformed) ends the
walk too, unless it is listed as trusted: then nobody can say who the client is, and ASGI's ``client`` is None. The
address of the proxy would be wrong, and would give a stranger whatever is granted to the proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from .scheme_headers import SchemeHeaders

__all__ = ["Trust", "apply_forwarding"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_CACHE_LIMIT: Final = 1024
_LONGEST: Final = 64
"""Characters of an address with a zone, and some. What is longer is not remembered: it may be anything."""


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
            if len(host) > _LONGEST:
                return host in self._literals
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
    hop = _told_last(hops, trust)
    if hop:
        peer, port = _split_port(hop)
        scope["client"] = (peer, port) if len(peer) <= _LONGEST and _is_address(peer) else None
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
    """RFC 7239 section 4: elements by comma, pairs by semicolon; the element of the client's own hop counts. Commas are
    not looked for quotes around them: a client that opens a quotation must not swallow what the proxy appends."""
    elements: list[dict[str, str]] = []
    for text in value.decode("latin-1").split(","):
        if text.strip():
            pairs = (pair.partition("=") for pair in text.split(";"))
            elements.append({name.strip().lower(): item.strip().strip('"') for name, _, item in pairs})
    if not elements:
        return [], "", ""
    hops = [element.get("for", "") for element in elements]
    chosen = elements[_clients_hop(hops, trust)]
    return hops, chosen.get("proto", "").lower(), chosen.get("host", "")


def _clients_hop(hops: Sequence[str], trust: Trust) -> int:
    """The index of the rightmost hop that is not trusted, or of the leftmost if all are."""
    for index in range(len(hops) - 1, 0, -1):
        if not trust.covers(_split_port(hops[index])[0]):
            return index
    return 0


def _told_last(hops: Sequence[str], trust: Trust) -> str:
    """What is said of the client. Empty if nothing is: where a proxy is silent, the one before it is as far as we see."""
    if not hops:
        return ""
    index = _clients_hop(hops, trust)
    return hops[index] or "".join(hops[index + 1 : index + 2])


@lru_cache(_CACHE_LIMIT)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _split_port(hop: str) -> tuple[str, int]:
    """``1.2.3.4``, ``1.2.3.4:80``, ``::1``, ``[::1]:80`` or a name, as host and port (0 when there is none)."""
    if hop.startswith("["):
        host, closed, rest = hop[1:].partition("]")
        return (host, _port(rest.removeprefix(":"))) if closed and rest[:1] in ("", ":") else (hop, 0)
    if hop.count(":") == 1:
        host, _, rest = hop.partition(":")
        return host, _port(rest)
    return hop, 0


def _port(text: str) -> int:
    return int(text) if len(text) <= 5 and text.isascii() and text.isdigit() and int(text) < 65536 else 0


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
