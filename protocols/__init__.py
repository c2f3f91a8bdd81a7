"""Bytes to ASGI and back. This module is the registry: names of settings to protocols, imported when they are wanted.

``--http`` and ``--ws`` also take ``module:Class`` of a protocol from elsewhere: an HTTP one is called with the
``ConnectionContext``, a WebSocket one with the context and the ``Upgrade``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config import MissingExtra

if TYPE_CHECKING:
    from .base import ConnectionContext, HeadParser, Upgrade

__all__ = ["resolve_http", "resolve_websocket"]


def resolve_http(name: str) -> Callable[[ConnectionContext], asyncio.Protocol]:
    """What makes the protocol of each accepted connection, for a value of ``--http``.

    Raises ``AppImportError`` for a ``module:Class`` that cannot be imported, ``MissingExtra`` for a parser that is not
    installed."""
    if ":" in name:
        found: Callable[[ConnectionContext], asyncio.Protocol] = _import(name)
        return found
    from .connection import HttpConnection

    return partial(HttpConnection, parser_type=_parser_type(name))


def _parser_type(name: str) -> type[HeadParser]:
    if name == "auto":
        for candidate in _PARSERS:
            try:
                return _parser_type(candidate)
            except MissingExtra:
                pass
    module, kind, package, install = _PARSERS[name]
    try:
        found: type[HeadParser] = getattr(import_module(f"{__name__}.{module}"), kind)
    except ImportError as error:
        raise MissingExtra(f"--http {name} needs the package {package}: pip install {install}") from error
    return found


_PARSERS = {
    "httptools": ("httptools_parser", "HttptoolsParser", "httptools", "httptools"),
    "h1c": ("h1c_parser", "H1CParser", "gunicorn_h1c", "'asgi-arbiter[h1c]'"),
    "h11": ("h11_parser", "H11Parser", "h11", "h11"),
}
"""The head parsers in the order in which ``auto`` tries them: module, class, package, what to install."""


def resolve_websocket(name: str) -> Callable[[ConnectionContext, Upgrade], asyncio.Protocol] | None:
    """What takes a connection over after an upgrade, for a value of ``--ws``; None for ``none``."""
    if name == "none":
        return None
    if ":" in name:
        found: Callable[[ConnectionContext, Upgrade], asyncio.Protocol] = _import(name)
        return found
    wanted = ("websockets", "wsproto") if name == "auto" else ("wsproto" if name == "wsproto" else "websockets",)
    for package in wanted:
        if find_spec(package) is not None:
            return _Late(*_WEBSOCKETS[package])
    if name == "auto":
        return None  # upgrades are then answered as ordinary requests
    missing = "'asgi-arbiter[wsproto]'" if name == "wsproto" else "websockets"
    raise MissingExtra(f"--ws {name} needs a package: pip install {missing}")


_WEBSOCKETS = {
    "websockets": ("websocket", "WebsocketsProtocol"),
    "wsproto": ("wsproto_websocket", "WsprotoProtocol"),
}


class _Late:
    """Imports a WebSocket protocol when its first connection comes: most workers never see one, and the library takes
    some 20 ms and 3 MiB."""

    def __init__(self, module: str, name: str) -> None:
        self._where = (module, name)
        self._make: Callable[[ConnectionContext, Upgrade], asyncio.Protocol] | None = None

    def load(self) -> Callable[[ConnectionContext, Upgrade], asyncio.Protocol]:
        """What the import gives; now, for whoever knows that it will be used."""
        if self._make is None:
            module, name = self._where
            self._make = getattr(import_module(f"{__name__}.{module}"), name)
        return self._make

    def __call__(self, context: ConnectionContext, upgrade: Upgrade) -> asyncio.Protocol:
        return self.load()(context, upgrade)


def _import(name: str) -> Any:
    from asgi_arbiter.config.importer import import_object

    return import_object(name)
