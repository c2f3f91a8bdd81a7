"""The access log: one line when a response has ended, written in a few microseconds.

Text (``--log-format text``), behind the prefix that all lines have::

    127.0.0.1:51934 - "GET /x?y HTTP/1.1" 200 1234B 0.0123s
    127.0.0.1:51936 - "WEBSOCKET /chat" 101 closed=1000 in=3 out=5 12.3456s

With ``--access-log-format`` the line is that format and nothing else; with ``--log-format json`` it is an object. The
rules:

* The short way: as long as nobody but us listens, the line is put together here and given to the sink, and no
  ``LogRecord`` is made. As soon as somebody does (a logging configuration, a handler or a filter that the application
  added to ``asgi_arbiter.access`` or ``uvicorn.access``, another formatter for our handler), records are made, for them
  and for us.
* A record's ``args`` are uvicorn's five (client, method, path with query, HTTP version, status), so that uvicorn's
  ``AccessFormatter`` and filters written for it work; its message is our line; the other values are attributes.
* Nothing that a client sends can forge a line, close a quote or reach the terminal.
* It never raises: the sink does not, and what is formatted here comes from our own protocols.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from . import logs
from .logformat import JsonFormatter, TextFormatter, dump, local_stamp, quote, utc_stamp
from .loghandlers import Identify

if TYPE_CHECKING:
    from .settings import Config

__all__ = ["AccessLog", "AccessRecord"]

# Bytes that may stand in a quoted field as they are. `translate` with this as its second argument leaves the others:
# one call in C where checks by character class take four.
_HARMLESS: Final = bytes(code for code in range(0x20, 0x7F) if chr(code) not in '"\\')
_COLOURS: Final = {1: "97", 2: "32", 3: "33", 4: "31", 5: "91"}


class AccessRecord:
    """What happened to one request, or in one WebSocket connection. One is made for each, so it is a class by hand."""

    __slots__ = (
        "bytes_sent",
        "client",
        "close_code",
        "duration",
        "http_version",
        "kind",
        "messages_in",
        "messages_out",
        "method",
        "request_headers",
        "response_headers",
        "scheme",
        "status",
        "target",
    )

    kind: str
    """``http`` or ``websocket``."""
    client: tuple[str, int] | None
    """Host and port after trusted proxy headers; None where there is none (a Unix socket)."""
    scheme: str
    method: str
    target: bytes
    """The request target as it came, with its query."""
    http_version: str
    status: int
    bytes_sent: int
    """Bytes of the body of the response."""
    duration: float
    """Seconds from the head of the request to the end of the response (of the connection, for a WebSocket)."""
    request_headers: list[tuple[bytes, bytes]]
    response_headers: list[tuple[bytes, bytes]] | None
    close_code: int | None
    messages_in: int
    messages_out: int

    def __init__(
        self,
        kind: str,
        client: tuple[str, int] | None,
        scheme: str,
        method: str,
        target: bytes,
        http_version: str,
        status: int,
        bytes_sent: int,
        duration: float,
        request_headers: list[tuple[bytes, bytes]],
        response_headers: list[tuple[bytes, bytes]] | None = None,
        close_code: int | None = None,
        messages_in: int = 0,
        messages_out: int = 0,
    ) -> None:
        self.kind = kind
        self.client = client
        self.scheme = scheme
        self.method = method
        self.target = target
        self.http_version = http_version
        self.status = status
        self.bytes_sent = bytes_sent
        self.duration = duration
        self.request_headers = request_headers
        self.response_headers = response_headers
        self.close_code = close_code
        self.messages_in = messages_in
        self.messages_out = messages_out


class AccessLog:
    """Writes access records. Made once in each worker, after ``logs.configure``.

    Raises ``InvalidSetting`` if ``access_log_format`` cannot be read.
    """

    def __init__(self, config: Config) -> None:
        target = logs.access_target()
        self._logger = target.logger
        self._sink = target.sink
        form = _form(config.access_log_format)
        self._message = form or _summary
        self._line = _line_maker(target.formatter, form)
        self._own = target.handler
        self._formatter = _RecordFormatter()
        if self._own is not None and self._own.formatter is target.formatter:  # else the application has set one
            self._own.setFormatter(self._formatter)
        # As the loggers are while nobody but us listens.
        self._alone = [target.handler], [filter for filter in self._logger.filters if isinstance(filter, Identify)]
        self._uvicorn = logging.getLogger("uvicorn.access")
        self._is_lent = target.is_lent
        self._lent = [target.handler] if target.is_lent else []
        self.enabled: bool = config.access_log and self._logger.isEnabledFor(logging.INFO)
        """Whether records are wanted at all; the caller need not make them otherwise."""

    def __call__(self, record: AccessRecord) -> None:
        """Write one record."""
        own, logger, uvicorn = self._own, self._logger, self._uvicorn
        if (
            self._sink is None
            or own is None
            or own.formatter is not self._formatter
            or uvicorn.handlers != self._lent
            or uvicorn.filters
            or uvicorn.level > logging.INFO
            or uvicorn.disabled
            or logger.handlers != self._alone[0]
            or logger.filters != self._alone[1]
        ):
            self._by_record(record)
        else:
            self._sink.write(self._line(record))

    def _by_record(self, record: AccessRecord) -> None:
        entry: logging.LogRecord = _LogRecord(self._logger.name, record, self._message(record), self._line)
        uvicorn = self._uvicorn
        if uvicorn is not self._logger:
            if uvicorn.disabled or uvicorn.level > logging.INFO:
                return  # applications silence uvicorn's access log in these two ways
            verdict: bool | logging.LogRecord = uvicorn.filter(entry)
            if not verdict:
                return
            if isinstance(verdict, logging.LogRecord):  # Python 3.12: a filter may answer with another record
                entry = verdict
            self._tell_uvicorns(entry)
        self._logger.handle(entry)

    def _tell_uvicorns(self, entry: logging.LogRecord) -> None:
        """Give a record to those who listen at uvicorn's access log, ourselves excepted."""
        uvicorn, own = self._uvicorn, self._own
        for handler in uvicorn.handlers:
            if handler is not own and handler.level <= logging.INFO:
                handler.handle(entry)
        if not self._is_lent:
            return
        if uvicorn.propagate and uvicorn.parent is not None:  # it was off when the logger was set up
            uvicorn.parent.callHandlers(entry)
        if own is not None and own not in uvicorn.handlers:  # taken away there, in the third way to silence it
            self._logger.removeHandler(own)


class _LogRecord(logging.LogRecord):
    """An access record for the handlers, filters and formatters of Python's logging."""

    def __init__(self, name: str, record: AccessRecord, message: str, line: Callable[[AccessRecord], bytes]) -> None:
        client, path = _client(record.client), _text(record.target)
        args = (client, quote(record.method), path, record.http_version, record.status)
        super().__init__(name, logging.INFO, __file__, 0, '%s - "%s %s HTTP/%s" %d', args, None)
        self._message = message
        self._line = functools.partial(line, record)
        self.__dict__.update(_fields(record))

    def getMessage(self) -> str:
        """The line of the access log, without time and level."""
        return self._message


class _RecordFormatter(logging.Formatter):
    """Gives a record of ours the line that it has on the short way."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record, _LogRecord):
            return record._line().decode("ascii").removesuffix("\n")
        return f"{local_stamp(record.created)} {record.getMessage()}"


def _form(text: str) -> Callable[[AccessRecord], str] | None:
    if not text:
        return None
    from .atoms import compile_format

    return compile_format(text)


def _line_maker(
    formatter: TextFormatter | JsonFormatter | None, form: Callable[[AccessRecord], str] | None
) -> Callable[[AccessRecord], bytes]:
    if isinstance(formatter, JsonFormatter):
        return _json_line(formatter, form)
    if form is not None:
        return lambda record: f"{form(record)}\n".encode()
    prefix = formatter.prefix(logging.INFO, "INFO") if formatter else " "
    if formatter is not None and formatter.colours:
        return lambda record: f"{local_stamp(time.time())}{prefix}{_coloured(record)}\n".encode()
    return lambda record: f"{local_stamp(time.time())}{prefix}{_summary(record)}\n".encode()


def _summary(record: AccessRecord) -> str:
    client, method, target = record.client, record.method, record.target
    if client and client[0] and client[0].isascii() and client[0].isprintable() and ":" not in client[0]:
        who = f"{client[0]}:{client[1]}"
    else:
        who = _client(client)
    path = _text(target) if target.translate(None, _HARMLESS) else target.decode("ascii")
    if record.kind == "http":
        if not method.isalpha():
            method = quote(method)
        return (
            f'{who} - "{method} {path} HTTP/{record.http_version}"'
            f" {record.status} {record.bytes_sent}B {record.duration:.4f}s"
        )
    if record.status != 101:  # refused: an HTTP response
        return f'{who} - "WEBSOCKET {path}" {record.status} {record.bytes_sent}B {record.duration:.4f}s'
    closed = "-" if record.close_code is None else record.close_code
    counts = f"in={record.messages_in} out={record.messages_out}"
    return f'{who} - "WEBSOCKET {path}" 101 closed={closed} {counts} {record.duration:.4f}s'


def _coloured(record: AccessRecord) -> str:
    head, _, tail = _summary(record).rpartition('"')
    status, _, rest = tail.strip().partition(" ")
    return f'{head}" \x1b[{_COLOURS.get(record.status // 100, "0")}m{status}\x1b[0m {rest}'


def _client(client: tuple[str, int] | None) -> str:
    if not client or not client[0]:
        return "-"
    host = quote(client[0])
    return f"[{host}]:{client[1]}" if ":" in host else f"{host}:{client[1]}"


def _text(target: bytes) -> str:
    return quote(target.decode("latin-1"))


def _fields(record: AccessRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "event": "request" if record.kind == "http" else "websocket",
        "client": _client(record.client),
        "scheme": record.scheme,
        "method": record.method,
        "target": record.target.decode("latin-1"),
        "http_version": record.http_version,
        "status": record.status,
        "bytes_sent": record.bytes_sent,
        "duration": round(record.duration, 6),
    }
    if record.kind != "http":
        fields["close_code"] = record.close_code
        fields["messages_in"] = record.messages_in
        fields["messages_out"] = record.messages_out
    return fields


def _json_line(formatter: JsonFormatter, form: Callable[[AccessRecord], str] | None) -> Callable[[AccessRecord], bytes]:
    identity = dump(formatter.identity.fields)[1:-1]
    head = f'"level":"info","logger":"{logs.ACCESS}",{identity},'

    def line(record: AccessRecord) -> bytes:
        fields = _fields(record)
        fields["message"] = form(record) if form else _summary(record)
        return f'{{"ts":"{utc_stamp(time.time())}",{head}{dump(fields)[1:]}\n'.encode()

    return line
