"""Bytes to ASGI and back. This module is the registry: names of settings to protocols, imported when they are wanted.

``--http`` and ``--ws`` also take ``module:Class`` of a protocol from elsewhere: an HTTP one is called with the
``ConnectionContext``, a WebSocket one with the context and the ``Upgrade``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config import MissingExtra

if TYPE_CHECKING:
    from .base import ConnectionContext, HeadParser, Upgrade

__all__ = ["resolve_http", "resolve_websocket"]


def resolve_http(name: str) -> Callable[[ConnectionContext], asyncio.Protocol]:
    """What makes the protocol of each accepted connection, for a value of ``--http``.

    Raises ``AppImportError`` for a ``module:Class`` that cannot be imported, ``MissingExtra`` without httptools."""
    if ":" in name:
        found: Callable[[ConnectionContext], asyncio.Protocol] = _import(name)
        return found
    from .connection import HttpConnection

    return partial(HttpConnection, parser_type=_parser_type(name))


def _parser_type(name: str) -> type[HeadParser]:
    if name in ("auto", "httptools"):
        try:
            from .httptools_parser import HttptoolsParser
        except ImportError as error:
            if name == "httptools":
                raise MissingExtra("--http httptools needs the package httptools: pip install httptools") from error
        else:
            return HttptoolsParser
    from .h11_parser import H11Parser

    return H11Parser


def resolve_websocket(name: str) -> Callable[[ConnectionContext, Upgrade], asyncio.Protocol] | None:
    """What takes a connection over after an upgrade, for a value of ``--ws``; None for ``none``."""
    if name == "none":
        return None
    if ":" in name:
        found: Callable[[ConnectionContext, Upgrade], asyncio.Protocol] = _import(name)
        return found
    if name == "wsproto":
        try:
            from .wsproto_websocket import WsprotoProtocol
        except ImportError as error:
            raise MissingExtra("--ws wsproto needs a package: pip install 'asgi-arbiter[wsproto]'") from error
        return WsprotoProtocol
    try:
        from .websocket import WebsocketsProtocol
    except ImportError as error:
        if name == "auto":
            return None  # upgrades are then answered as ordinary requests
        raise MissingExtra("--ws websockets needs a package: pip install websockets") from error
    return WebsocketsProtocol


def _import(name: str) -> Any:
    from asgi_arbiter.config.importer import import_object

    return import_object(name)
