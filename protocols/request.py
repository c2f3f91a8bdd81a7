"""Request heads: the grammar, the rules beyond it, and the ASGI scope made from a head.

This is the one place that decides what a valid request is (RFC 9110, RFC 9112). A parser library turns a block of bytes
into fields; whatever it lets through is checked here, and whatever it refuses is judged again by ``strict_fields``, so
that every parser ends with the same verdict. Pure functions, no connection, no I/O.

Rules:

* a request line is judged by itself and remembered (the same few lines arrive again and again);
* a head without special fields costs one dictionary and one set operation, everything else is the slow path;
* every refusal is a ``Refusal`` with the status that RFC 9110 names for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from .errors import Refusal

if TYPE_CHECKING:
    from .asgi import HeaderList
    from .base import HeadParser
    from .policy import HttpPolicy

__all__ = [
    "CHUNKED",
    "FieldCollector",
    "RequestLine",
    "Terms",
    "check_sizes",
    "inspect",
    "make_scope",
    "parse_request_line",
    "read_request_line",
    "strict_fields",
    "websocket_scope",
]

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_is_token = re.compile(TOKEN).fullmatch
# RFC 9112 section 3.2: visible characters only; a fragment never travels, so "#" is refused.
_is_target = re.compile(rb"[!-\"$-~]+").fullmatch
_is_version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
_absolute_form = re.compile(rb"(?i:https?)://([^/?]*)([^?]*)(?:\?(.*))?").fullmatch
_is_authority = re.compile(rb"[^/?@]+:[0-9]+").fullmatch
# RFC 3986 section 3.2.2, RFC 9110 section 7.2: uri-host [":" port]; never user information.
_is_host = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9\-._~]+)?\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]{0,5})?"
).fullmatch
# RFC 9112 section 5: each field line is a name, a colon without space before it, a value without controls, CR LF.
_field_lines = re.compile(rb"\r\n(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)(?=\r\n)").findall

CHUNKED: Final = -1
"""``Terms.length`` of a body in the chunked coding."""


class RequestLine:
    """A valid request line. Shared between requests: nobody changes one."""

    __slots__ = ("authority", "http_version", "is_head", "method", "modern", "path", "query", "raw_path", "target")

    def __init__(self, method: str, target: bytes, modern: bool) -> None:
        self.method = method
        """As it came: methods are case-sensitive (RFC 9110 section 9.1)."""
        self.is_head = method == "HEAD"
        self.target = target
        self.modern = modern
        """HTTP/1.1, as against HTTP/1.0."""
        self.http_version = "1.1" if modern else "1.0"
        self.authority: bytes | None = None
        """The authority of an absolute-form target, which replaces the Host field (RFC 9112 section 3.2.2)."""
        raw_path, _, query = target.partition(b"?")
        self.place(raw_path, query)

    def place(self, raw_path: bytes, query: bytes) -> None:
        """Set path and query, decoding the path as ASGI asks: per-cent decoded, then UTF-8."""
        self.raw_path = raw_path
        self.query = query
        text = raw_path.decode("ascii")
        self.path = unquote(text) if "%" in text else text


def parse_request_line(line: bytes) -> RequestLine:
    """Judge a request line without its CR LF (RFC 9112 section 3).

    Raises ``Refusal``: 400 malformed, 501 CONNECT, 505 a version other than 1.0 and 1.1."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Refusal(400, "The request line is malformed.")
    method, target, version = parts
    # From left to right, so that the verdict is the same when the line arrives in pieces.
    if not _is_token(method):
        raise Refusal(400, "The method is malformed.")
    if not _is_target(target):
        raise Refusal(400, "The request target is malformed.")
    if version != b"HTTP/1.1" and version != b"HTTP/1.0":
        if _is_version(version):
            raise Refusal(505, "This server speaks HTTP/1.1 and HTTP/1.0.")
        raise Refusal(400, "The request line is malformed.")
    if method == b"CONNECT":
        # A tunnel is a proxy's business; nothing an ASGI application answers could open one.
        if not _is_authority(target):
            raise Refusal(400, "CONNECT needs a target of host and port.")
        raise Refusal(501, "This server is not a proxy.")
    result = RequestLine(method.decode("ascii"), target, version == b"HTTP/1.1")
    if target[0] != 47:  # "/": the origin form, which nearly every request has
        _place_other_forms(result, method, target)
    return result


def _place_other_forms(line: RequestLine, method: bytes, target: bytes) -> None:
    """RFC 9112 sections 3.2.2 (absolute form) and 3.2.4 (asterisk form)."""
    if target == b"*":
        if method != b"OPTIONS":
            raise Refusal(400, "Only OPTIONS may have the target *.")
        return
    match = _absolute_form(target)
    if match is None:
        raise Refusal(400, "The request target is malformed.")
    authority, path, query = match.groups()
    if not authority or not _is_host(authority):
        raise Refusal(400, "The request target names no valid host.")
    line.authority = authority
    line.place(path or b"/", query or b"")


_LINES_LIMIT: Final = 512
_LINE_LENGTH_LIMIT: Final = 256
_lines: dict[bytes, RequestLine] = {}


def read_request_line(line: bytes) -> RequestLine:
    """As ``parse_request_line``, remembering the answers for short lines (saves about a microsecond per request)."""
    known = _lines.get(line)
    if known is not None:
        return known
    result = parse_request_line(line)
    if len(line) <= _LINE_LENGTH_LIMIT:
        if len(_lines) >= _LINES_LIMIT:
            # Dropping everything is cheaper than any order of use, and bounds what hostile clients can fill.
            _lines.clear()
        _lines[line] = result
    return result


def strict_fields(block: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a whole head (up to and with the empty line) as they are spelt: the grammar itself.

    No bare CR or LF, no folding, no NUL or other control characters, no space around the name. Raises ``Refusal`` 400.
    Twice as slow as httptools and the reference for every parser."""
    start = block.find(b"\r\n")
    found: list[tuple[bytes, bytes]] = _field_lines(block, start, len(block) - 2)
    # A match runs from one CR LF to the next, so if there are as many matches as line ends, no byte is unaccounted for.
    if len(found) != block.count(b"\r\n", start) - 2 or 10 in block[:start] or 13 in block[:start]:
        raise Refusal(400, "A header field is malformed.")
    return found


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


FORWARDING: Final = {
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
}
_SPECIAL: Final = FORWARDING | {
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"te",
    b"transfer-encoding",
    b"upgrade",
}
_no_forwarding = FORWARDING.isdisjoint
_ORDINARY_LIMIT: Final = 1024
_ordinary: dict[bytes, bytes] = {}

_PLAIN: Final = Terms()
_HOSTS_LIMIT: Final = 256
_hosts: set[bytes] = set()


def watch_forwarding(names: Collection[bytes]) -> None:
    """Have ``Terms.forwarded`` tell of fields of these names too (lower case), which proxies of this worker may set."""
    if not FORWARDING.issuperset(names):
        FORWARDING.update(names)
        _SPECIAL.update(names)
        _ordinary.clear()


class FieldCollector:
    """Collects the fields of a head as a parser finds them, telling at once whether any of them concerns us.

    Most heads have a Host and names that mean nothing to the server. Names are looked up as they are spelt: the answer
    is the name in lower case, and no second look at the fields is needed where every name is ordinary."""

    __slots__ = ("fields", "framed", "host", "special", "underscored")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a new head."""
        self.fields: HeaderList = []
        self.host: bytes | None = None
        """The value of the first Host field."""
        self.special = False
        """There are fields beyond Host that ``inspect`` has to look at."""
        self.framed = False
        """There is a Content-Length or a Transfer-Encoding."""
        self.underscored = False
        """There are names with an underscore."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, as it came (httptools calls its callback by this name)."""
        lower = _ordinary_get(name)
        if lower is None:
            lower = self._look_at(name, value)
        # RFC 9110 section 5.5: white space around a value is not part of it (llhttp leaves it at the end).
        self.fields.append((lower, value.rstrip()))

    def _look_at(self, name: bytes, value: bytes) -> bytes:
        lower = name.lower()
        if lower == b"host" and self.host is None:
            self.host = value.rstrip()
        elif lower != b"connection" or value != b"keep-alive":
            self.special = True
            if lower == b"content-length" or lower == b"transfer-encoding":
                self.framed = True
            elif 95 in lower:
                self.underscored = True
            elif lower not in _SPECIAL and len(lower) < 64:
                if len(_ordinary) >= _ORDINARY_LIMIT:
                    _ordinary.clear()
                _ordinary[name] = lower
        return lower


_ordinary_get = _ordinary.get


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
    if not _is_host(host):
        raise Refusal(400, "The Host field is malformed.")
    if len(_hosts) >= _HOSTS_LIMIT:
        _hosts.clear()
    if len(host) <= _LINE_LENGTH_LIMIT:
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


def make_scope(
    line: RequestLine,
    fields: HeaderList,
    root_path: str,
    client: tuple[str, int] | None,
    server: tuple[str, int | None] | None,
    scheme: str,
    state: dict[str, Any],
    extensions: dict[str, Any],
) -> dict[str, Any]:
    """An ``http`` scope (ASGI HTTP specification 2.5, "HTTP Connection Scope"). The path includes ``root_path``."""
    raw_path = line.raw_path
    path = line.path
    if line.authority is not None:
        fields = [(b"host", line.authority), *(field for field in fields if field[0] != b"host")]
    if root_path and raw_path != b"*":
        path = root_path + path
        raw_path = root_path.encode() + raw_path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": line.http_version,
        "server": server,
        "client": client,
        "scheme": scheme,
        "method": line.method,
        "root_path": root_path,
        "path": path,
        "raw_path": raw_path,
        "query_string": line.query,
        "headers": fields,
        "state": state.copy(),
        "extensions": extensions.copy(),
    }


def websocket_scope(scope: dict[str, Any]) -> dict[str, Any]:
    """The ``websocket`` scope of an upgrade request, from its ``http`` scope (ASGI WebSocket specification 2.5)."""
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    del scope["method"]
    tls = scope["extensions"].get("tls")
    scope["extensions"] = {"websocket.http.response": {}}
    if tls is not None:
        scope["extensions"]["tls"] = tls
    return scope


def check_sizes(block: bytes, line_end: int, policy: HttpPolicy) -> None:
    """The limits on the bytes of a head. Raises ``Refusal``: 414 (RFC 9110 section 15.5.15), 431 (RFC 6585)."""
    if line_end > policy.line_limit:
        raise Refusal(414, "The request line is too long.")
    if len(block) > policy.head_limit:
        raise Refusal(431, "The head of the request is too large.")
    if max(map(len, block[line_end + 2 :].split(b"\r\n"))) > policy.field_size_limit:
        raise Refusal(431, "A header field is too large.")
