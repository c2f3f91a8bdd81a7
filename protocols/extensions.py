"""Which ASGI extensions a connection offers. Rule: only what works on this very connection is advertised.

A dictionary is put together once per worker or, with TLS, once per connection; each scope gets a copy of it.
``http.response.trailers`` is not among them: it is added to the requests whose clients take trailers.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl

__all__ = ["for_http_1_0", "offered", "with_tls"]

_EARLY_HINT: Final = "http.response.early_hint"


def offered() -> dict[str, Any]:
    """What every HTTP/1.1 scope offers. ``http.response.debug`` is a line in the log, so it is there when such lines are
    written: frameworks go to some length to provide what nobody would read otherwise."""
    extensions: dict[str, Any] = {
        _EARLY_HINT: {},
        "http.response.pathsend": {},
        "http.response.zerocopysend": {},
    }
    if logging.getLogger("asgi_arbiter.worker").isEnabledFor(logging.DEBUG):
        extensions["http.response.debug"] = {}
    return extensions


def with_tls(extensions: dict[str, Any], tls: ssl.SSLObject | None) -> dict[str, Any]:
    """The same for a connection that is encrypted; ``tls`` is None where the transport does not tell."""
    if tls is None:
        return extensions
    from .tls_info import describe_tls

    return {**extensions, "tls": describe_tls(tls)}


def for_http_1_0(extensions: dict[str, Any]) -> dict[str, Any]:
    """HTTP/1.0 has no informational responses (RFC 9110 section 15.2)."""
    return {name: value for name, value in extensions.items() if name != _EARLY_HINT}
