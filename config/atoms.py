"""gunicorn's access log format: ``%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"``.

`compile_format` reads a format once and returns a function from an `AccessRecord` to a line. The atoms:

==============  ============================================================================
``h``           the client's address (after trusted proxy headers)
``l``           ``-``
``u``           the user name of basic authentication
``t``           the time, ``[30/Jul/2026:14:03:22 +0200]``
``r``           the request line, ``GET /a?b HTTP/1.1``
``m U q H``     its method, path (decoded), query and protocol
``s``           the status
``B`` ``b``     bytes of the response body
``f`` ``a``     the headers Referer and User-Agent
``T M D L``     the duration in whole seconds, milliseconds, microseconds, and as decimal seconds
``p``           the process id, ``<4711>``
``{Name}i``     a request header
``{Name}o``     a response header
``{NAME}e``     a CGI variable of the request (``REMOTE_PORT``, ``HTTP_HOST``), else of the environment
==============  ============================================================================

What is absent prints ``-``, and so does an atom that is not in the table. Everything that a client had a hand in is
escaped (`quote`): a header cannot end a quoted field, a line, or begin a terminal sequence.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from .errors import InvalidSetting
from .logformat import clf_stamp, quote

if TYPE_CHECKING:
    from .access import AccessRecord

__all__ = ["compile_format", "unknown_atoms"]

Atom = Callable[["AccessRecord"], "str | int | None"]
_Piece = Callable[["AccessRecord"], str]

_TOKEN: Final = re.compile(
    r"%(?:%|\((?P<name>\{[^{}]*\}[ieo]|[^(){}]*)\)(?P<flags>[-#0 +]*\d*(?:\.\d+)?)(?P<type>[a-zA-Z]))"
)


def compile_format(text: str) -> Callable[[AccessRecord], str]:
    """A format to a function that makes one line (without its newline).

    Raises ``InvalidSetting`` with the place of the first thing that is no atom.
    """
    pieces: list[_Piece] = []
    at = 0
    for token in _TOKEN.finditer(text):
        _add_literal(pieces, text[at : token.start()], text, at)
        at = token.end()
        if token["name"] is None:
            pieces.append(_literal("%"))
        else:
            pieces.append(_piece(token["name"], token["flags"], token["type"], text))
    _add_literal(pieces, text[at:], text, at)

    def line(record: AccessRecord) -> str:
        return "".join([piece(record) for piece in pieces])

    return line


def unknown_atoms(text: str) -> list[str]:
    """The atoms of a format that are not in the table, as they are written."""
    tokens = {token["name"]: token[0] for token in _TOKEN.finditer(text) if token["name"] is not None}
    return [written for name, written in tokens.items() if not name.startswith("{") and name not in _ATOMS]


def _add_literal(pieces: list[_Piece], literal: str, text: str, at: int) -> None:
    stray = literal.find("%")
    if stray >= 0:
        raise InvalidSetting(
            f"access_log_format: found {text[at + stray : at + stray + 12]!r}, expected an atom such as %(h)s or %({{Host}}i)s, or %% for a percent sign"
        )
    if literal:
        pieces.append(_literal(literal))


def _literal(text: str) -> _Piece:
    return lambda record: text


def _piece(name: str, flags: str, kind: str, text: str) -> _Piece:
    if kind not in "srdifgeFGE":
        raise InvalidSetting(f"access_log_format: %({name}){flags}{kind} ends in {kind!r}, expected s or d")
    atom = _atom(name)
    if kind == "s" and not flags:

        def plain(record: AccessRecord) -> str:
            value = atom(record)
            return "-" if value is None else str(value)

        return plain
    template = f"%{flags}{kind}"

    def formatted(record: AccessRecord) -> str:
        value: str | int | float | None = atom(record)
        if value is None:
            value = "-"
        elif kind not in "sr" and isinstance(value, str):
            value = _number(value)
        try:
            return template % (value,)
        except (TypeError, ValueError):  # %(s)d of what is no number
            return "-"

    return formatted


def _number(value: str) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value


def _atom(name: str) -> Atom:
    if name.startswith("{"):
        inner, kind = name[1:-2], name[-1]
        if kind == "e":
            return _variable(inner)
        wanted = inner.lower().encode("latin-1", "replace")
        if kind == "i":
            return lambda record: _header(record.request_headers, wanted)
        return lambda record: _header(record.response_headers or (), wanted)
    return _ATOMS.get(name, _absent)


def _absent(record: AccessRecord) -> None:
    return None


def _header(headers: list[tuple[bytes, bytes]] | tuple[()], wanted: bytes) -> str | None:
    found = [value for name, value in headers if name.lower() == wanted]
    return quote(b", ".join(found).decode("latin-1")) if found else None


def _variable(name: str) -> Atom:
    upper = name.upper()
    if upper in _CGI:
        return _CGI[upper]
    if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") or upper.startswith("HTTP_"):
        wanted = upper.removeprefix("HTTP_").replace("_", "-").lower().encode("latin-1", "replace")
        return lambda record: _header(record.request_headers, wanted)
    value = os.environ.get(name)
    found = None if value is None else quote(value)
    return lambda record: found


def _host(record: AccessRecord) -> str | None:
    return quote(record.client[0]) if record.client and record.client[0] else None


def _port(record: AccessRecord) -> int | None:
    return record.client[1] if record.client else None


def _user(record: AccessRecord) -> str | None:
    import base64
    import binascii

    for name, value in record.request_headers:
        if name.lower() == b"authorization" and value[:6].lower() == b"basic ":
            try:
                user, _, _ = base64.b64decode(value[6:].strip(), validate=True).partition(b":")
            except (binascii.Error, ValueError):
                return None
            return quote(user.decode("latin-1")) or None
    return None


def _target(record: AccessRecord) -> str:
    return quote(record.target.decode("latin-1"))


def _path(record: AccessRecord) -> str:
    return quote(unquote_to_bytes(record.target.partition(b"?")[0]).decode("latin-1"))


def _query(record: AccessRecord) -> str:
    return quote(record.target.partition(b"?")[2].decode("latin-1"))


def _protocol(record: AccessRecord) -> str:
    return f"HTTP/{record.http_version}"


def _method(record: AccessRecord) -> str:
    return quote(record.method)


def _request(record: AccessRecord) -> str:
    return f"{_method(record)} {_target(record)} {_protocol(record)}"


_ATOMS: Final[dict[str, Atom]] = {
    "h": _host,
    "l": _absent,
    "u": _user,
    "t": lambda record: clf_stamp(time.time()),
    "r": _request,
    "s": lambda record: record.status,
    "m": _method,
    "U": _path,
    "q": _query,
    "H": _protocol,
    "b": lambda record: record.bytes_sent,
    "B": lambda record: record.bytes_sent,
    "f": lambda record: _header(record.request_headers, b"referer"),
    "a": lambda record: _header(record.request_headers, b"user-agent"),
    "T": lambda record: int(record.duration),
    "D": lambda record: int(record.duration * 1_000_000),
    "M": lambda record: int(record.duration * 1_000),
    "L": lambda record: f"{record.duration:.6f}",
    "p": lambda record: f"<{os.getpid()}>",
}
_CGI: Final[dict[str, Atom]] = {
    "REQUEST_METHOD": _method,
    "RAW_URI": _target,
    "REQUEST_URI": _target,
    "PATH_INFO": _path,
    "QUERY_STRING": _query,
    "SERVER_PROTOCOL": _protocol,
    "REMOTE_ADDR": _host,
    "REMOTE_PORT": _port,
    "WSGI.URL_SCHEME": lambda record: record.scheme,
}
