"""The ASGI scopes made from judged heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asgi import HeaderList
    from .request_line import RequestLine

__all__ = ["make_scope", "websocket_scope"]


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


_EXTENSIONS: dict[str, Any] = {"websocket.http.response": {}}


def websocket_scope(scope: dict[str, Any]) -> dict[str, Any]:
    """The ``websocket`` scope of an upgrade request, from its ``http`` scope (ASGI WebSocket specification 2.5)."""
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    del scope["method"]
    tls = scope["extensions"].get("tls")
    scope["extensions"] = _EXTENSIONS.copy()
    if tls is not None:
        scope["extensions"]["tls"] = tls
    return scope
