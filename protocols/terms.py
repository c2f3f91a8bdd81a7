"""What a head asks of the connection: the meaning of its fields together (RFC 9110, RFC 9112).

This is the one place that decides how a request is framed and whether its fields contradict each other. A head without
special fields costs one set operation, everything else is the slow path. Pure functions, no connection, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import Refusal
from .fields import FORWARDING
from .grammar import is_host

if TYPE_CHECKING:
    from .asgi import HeaderList
    from .base import HeadParser
    from .request_line import RequestLine

__all__ = ["CHUNKED", "Terms", "inspect"]

CHUNKED: Final = -1
"""``Terms.length`` of a body in the chunked coding."""


class Terms:
    """What a head asks of the connection, beyond being answered. Shared between requests where it can be."""

    __slots__ = ("expects", "forwarded", "keep_alive", "length", "offered", "trailers", "underscored", "upgrade")

    def __init__(
        self,
        *,
        length: int = 0,
        keep_alive: bool = True,
        expects: bool = False,
        offered: bool = False,
        upgrade: bool = False,
        forwarded: bool = False,
        trailers: bool = False,
    ) -> None:
        self.length = length
        """Bytes of the body, or ``CHUNKED``."""
        self.keep_alive = keep_alive
        self.expects = expects
        """The client waits for ``100 Continue`` before it sends the body."""
        self.offered = offered
        """The client offers an upgrade; what comes of that depends on the method."""
        self.upgrade = upgrade
        """The client asks for a WebSocket."""
        self.forwarded = forwarded
        """There are fields that a trusted proxy may have set."""
        self.trailers = trailers
        """The client takes trailer fields (``TE: trailers``)."""
        self.underscored = False
        """There are names with an underscore."""


_no_forwarding = FORWARDING.isdisjoint
_PLAIN: Final = Terms()
_HOSTS_LIMIT: Final = 256
_hosts: set[bytes] = set()
_HOST_LENGTH_LIMIT: Final = 256


def inspect(line: RequestLine, collected: HeadParser) -> Terms:
    """Check what the fields mean together (RFC 9110 sections 7.2, 8.6, 10.1.1; RFC 9112 sections 3.2, 6, 9).

    Raises ``Refusal``: 400, 417 an unknown expectation, 501 an unknown transfer coding."""
    if collected.host not in _hosts:
        _check_host(collected.host, line)
    if line.modern and not collected.special:
        return _PLAIN
    fields = collected.fields
    values = dict(fields)
    if len(values) != len(fields):
        _refuse_duplicates(fields)
    terms = _inspect_special(line, values, fields)
    terms.underscored = collected.underscored
    return terms


def _inspect_special(line: RequestLine, values: dict[bytes, bytes], fields: HeaderList) -> Terms:
    options = _list_items(b"connection", fields) if b"connection" in values else ()
    modern = line.modern
    length = _body_length(modern, values, fields)
    offered = b"upgrade" in options
    return Terms(
        length=length,
        keep_alive=b"close" not in options and (modern or b"keep-alive" in options),
        expects=_expects_continue(modern, values) and length != 0,
        offered=offered,
        upgrade=offered and length == 0 and _asks_for_websocket(line, fields),
        forwarded=not _no_forwarding(values),
        trailers=modern and b"te" in values and b"trailers" in _list_items(b"te", fields),
    )


def _check_host(host: bytes | None, line: RequestLine) -> None:
    """RFC 9112 section 3.2: HTTP/1.1 must have a Host field, and a Host must be valid whatever the version."""
    if host is None:
        if line.modern:
            raise Refusal(400, "The Host field is missing.")
        return
    if not is_host(host):
        raise Refusal(400, "The Host field is malformed.")
    if len(_hosts) >= _HOSTS_LIMIT:
        _hosts.clear()
    if len(host) <= _HOST_LENGTH_LIMIT:
        _hosts.add(host)


def _refuse_duplicates(fields: HeaderList) -> None:
    """RFC 9112 sections 3.2 and 6.3: two Hosts or two Content-Lengths are somebody's attack, even when they agree."""
    names = [name for name, _ in fields]
    if names.count(b"host") > 1:
        raise Refusal(400, "There is more than one Host field.")
    if names.count(b"content-length") > 1:
        raise Refusal(400, "There is more than one Content-Length field.")


def _list_items(wanted: bytes, fields: HeaderList) -> tuple[bytes, ...]:
    """The comma-separated items of all fields of that name, in lower case."""
    return tuple(item.strip(b" \t").lower() for name, value in fields if name == wanted for item in value.split(b","))


def _body_length(modern: bool, values: dict[bytes, bytes], fields: HeaderList) -> int:
    """The framing decision for requests (RFC 9112 section 6.3), strict: what could be read two ways is refused."""
    length = values.get(b"content-length")
    if b"transfer-encoding" in values:
        # Step 1: a coding in HTTP/1.0 is faulty framing (section 6.1), both fields are a smuggling attempt.
        if not modern:
            raise Refusal(400, "HTTP/1.0 has no transfer codings.")
        if length is not None:
            raise Refusal(400, "Content-Length and Transfer-Encoding exclude each other.")
        # Step 2: chunked must be the last coding, once, and it is the only one we know.
        codings = _list_items(b"transfer-encoding", fields)
        if codings[-1] != b"chunked" or codings.count(b"chunked") != 1 or b"" in codings:
            raise Refusal(400, "The transfer coding must end with chunked.")
        if len(codings) > 1:
            raise Refusal(501, "The only transfer coding known here is chunked.")
        return CHUNKED
    # Step 3: a declared length, in digits alone; 18 of them are more bytes than there are.
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 18:
        raise Refusal(400, "The Content-Length is malformed.")
    return int(length)


def _expects_continue(modern: bool, values: dict[bytes, bytes]) -> bool:
    """RFC 9110 section 10.1.1: one expectation is defined, it means nothing in HTTP/1.0, others get 417."""
    expect = values.get(b"expect")
    if expect is None or not modern:
        return False
    if expect.lower() != b"100-continue":
        raise Refusal(417, "The only expectation known here is 100-continue.")
    return True


def _asks_for_websocket(line: RequestLine, fields: HeaderList) -> bool:
    """RFC 6455 section 4.1: a GET of HTTP/1.1 or later. Other upgrades are ignored (RFC 9110 section 7.8)."""
    return line.modern and line.method == "GET" and b"websocket" in _list_items(b"upgrade", fields)
