"""Requests and responses as gunicorn's hooks and loggers know them, made from ASGI scopes and access records.

They see what they see under gunicorn's own workers: header names in upper case, a request line in text, a status with
its reason, a WSGI-like ``environ``. What is asked for seldom is made when it is asked for. The path is never decoded:
a line feed in it must not reach a log.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asgi_arbiter.config.access import AccessRecord

__all__ = ["Request", "RequestTime", "Response", "environ"]

_Fields = Iterable[tuple[bytes, bytes]]


class Request:
    """gunicorn's ``req``."""

    def __init__(
        self, method: str, uri: str, http_version: str, scheme: str, client: tuple[str, int] | None, fields: _Fields
    ) -> None:
        self.method = method
        self.uri = uri
        """The request target as it came."""
        self.scheme = scheme
        self.remote_addr = client
        """Host and port of the client, behind trusted proxies; None where there is none."""
        self.peer_addr = client
        self.scope: dict[str, Any] | None = None
        """The ASGI scope, for hooks; None for loggers."""
        self.path, _, self.query = uri.partition("?")
        self.fragment = ""
        self._http_version = http_version
        self._fields = fields

    @classmethod
    def of_scope(cls, scope: dict[str, Any]) -> Request:
        """The request of an ``http`` or ``websocket`` scope."""
        path = scope["raw_path"].decode("latin-1").removeprefix(scope["root_path"])
        query = scope["query_string"].decode("latin-1")
        request = cls(
            scope.get("method", "GET"),
            f"{path}?{query}" if query else path,
            scope["http_version"],
            scope["scheme"],
            scope["client"],
            scope["headers"],
        )
        request.scope = scope
        return request

    @classmethod
    def of_record(cls, record: AccessRecord) -> Request:
        """The request that an access record is about."""
        target = record.target.decode("latin-1")
        return cls(record.method, target, record.http_version, record.scheme, record.client, record.request_headers)

    @property
    def protocol(self) -> str:
        """``HTTP/1.1``."""
        return f"HTTP/{self._http_version}"

    @property
    def version(self) -> tuple[int, int]:
        """``(1, 1)``."""
        major, _, minor = self._http_version.partition(".")
        return int(major), int(minor or 0)

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """Names in upper case, and values."""
        return [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in self._fields]


class Response:
    """gunicorn's ``resp``."""

    def __init__(self, status: int = 0, fields: _Fields = (), sent: int = 0) -> None:
        self.status_code = status
        self.sent = sent
        """Bytes of the body."""
        self._fields = fields

    @property
    def status(self) -> str:
        """``200 OK``."""
        try:
            return f"{self.status_code} {HTTPStatus(self.status_code).phrase}"
        except ValueError:
            return str(self.status_code)

    @property
    def response_length(self) -> int:
        """The same as ``sent``."""
        return self.sent

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """Names as the application wrote them, and values."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._fields]

    def note(self, message: dict[str, Any]) -> None:
        """Take over what an ASGI message of the application says."""
        if message["type"] == "http.response.start":
            self.status_code = message["status"]
            self._fields = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))


class RequestTime(datetime.timedelta):
    """A duration whose ``seconds`` do not begin anew each day: a WebSocket may be open for longer."""

    @property
    def seconds(self) -> int:
        """Whole seconds."""
        return self.days * 86400 + super().seconds


def environ(request: Request) -> dict[str, Any]:
    """The WSGI-like variables that loggers and ``post_request`` hooks read."""
    host, port = request.remote_addr or ("", 0)
    variables: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": request.uri,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_PROTOCOL": request.protocol,
        "REMOTE_ADDR": host or "-",
        "REMOTE_PORT": str(port),
        "wsgi.url_scheme": request.scheme,
    }
    for name, value in request.headers:
        key = name.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        variables[key] = f"{variables[key]},{value}" if key in variables else value
    return variables
