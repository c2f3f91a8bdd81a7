"""gunicorn's configuration as ours: what of it concerns a worker, under the names of our table.

gunicorn owns its own settings (addresses, number of workers, user, files); a worker takes the rest. Rules:

* what gunicorn says holds, its defaults included: ``keepalive`` 2, ``limit_request_line`` 4094 and so on;
* but for two settings whose defaults gunicorn documents for other workers and which would take something away from
  people who come from ``UvicornWorker``: 1000 ``worker_connections`` and 3 seconds of ``asgi_disconnect_grace_period``
  count only when they were changed;
* whatever has no effect is named in a warning, by the settings table itself;
* a subclass may set anything else in ``CONFIG_KWARGS``, under any name that our table or uvicorn's ``Config`` has.

``cfg`` is gunicorn's ``Config`` of any version from 20.1, known here by its attributes only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from asgi_arbiter.config import Config
from asgi_arbiter.config.records import Record
from asgi_arbiter.config.settings import names
from asgi_arbiter.config.sources import configure

__all__ = ["Translation", "drain_time", "is_changed", "translate"]

_ALWAYS: Final = (
    "backlog",
    "keepalive",
    "limit_request_line",
    "limit_request_fields",
    "limit_request_field_size",
    "secure_scheme_headers",
    "header_map",
    "forwarder_headers",
    "root_path",
    "asgi_lifespan",
    "websocket_max_message_size",
)
_IF_CHANGED: Final = (
    "worker_connections",
    "asgi_loop",
    "http_parser",
    "http_protocols",
    "http2_cleartext",
    "protocol",
    "permit_obsolete_folding",
    "strip_header_spaces",
    "permit_unconventional_http_method",
    "permit_unconventional_http_version",
    "casefold_http_method",
)
_TLS: Final = ("certfile", "keyfile", "ca_certs", "ciphers")
_HEAD_LIMIT: Final = 65536
_AT_ONCE: Final = 0.001
_QUICK: Final = 0.5
"""Seconds that requests get at SIGQUIT: gunicorn 23 and later kill two seconds after it."""
_RESERVE: Final = 4.0
"""Seconds of the graceful timeout kept for the end: a second from cancelling to cutting, a moment for closing, and the
lifespan shutdown."""


class Translation(Record):
    """Our settings, and what there is to say about gunicorn's."""

    config: Config
    warnings: tuple[str, ...]


def translate(cfg: Any, more: Mapping[str, object], *, max_requests: int, access_log: bool) -> Translation:
    """The settings of a worker under gunicorn's ``cfg``.

    Args:
        more: the class's ``CONFIG_KWARGS``; they go before gunicorn's settings.
        max_requests: with gunicorn's jitter drawn already; 0 is no limit.
        access_log: whether anybody wants the records of requests.

    Raises ``ConfigError``.
    """
    values = dict(_values(cfg))
    values.update(max_requests=max_requests, access_log=access_log, quick_timeout=_QUICK)
    values.update({names().get(word, word): value for word, value in more.items()})
    # The environment is gunicorn's business: it has read WEB_CONCURRENCY and FORWARDED_ALLOW_IPS itself.
    loaded = configure(values, environment={}, title="gunicorn")
    return Translation(loaded.config, loaded.warnings)


def is_changed(cfg: Any, name: str) -> bool:
    """Whether a setting that this gunicorn has is not at its default."""
    setting = cfg.settings.get(name)
    return setting is not None and setting.get() != setting.default


def drain_time(graceful_timeout: float) -> float:
    """Seconds until requests are cancelled: gunicorn kills at the end of ``graceful_timeout``, and by then the
    lifespan shutdown should be over too."""
    return graceful_timeout - min(_RESERVE, graceful_timeout / 2)


def _values(cfg: Any) -> Iterator[tuple[str, object]]:
    """gunicorn's settings by our names."""
    known = cfg.settings
    wanted = [*_ALWAYS, *(name for name in _IF_CHANGED if is_changed(cfg, name))]
    for name in wanted:
        if name in known:
            yield names().get(name, name), known[name].get()
    graceful = float(cfg.graceful_timeout)
    yield "graceful_timeout", drain_time(graceful)
    yield "limit_request_head", _head_limit(cfg.limit_request_line, cfg.limit_request_field_size)
    # Strings, or network objects in 24.1.0. gunicorn trusts every peer on a Unix socket.
    yield "forwarded_allow_ips", [*map(str, cfg.forwarded_allow_ips), "unix:"]
    if is_changed(cfg, "asgi_disconnect_grace_period"):
        yield "disconnect_grace_period", cfg.asgi_disconnect_grace_period or _AT_ONCE
    yield from _proxy_protocol(cfg)
    if cfg.is_ssl:
        yield from _tls(cfg)


def _head_limit(line: int, field: int) -> int:
    """A whole head must have room for the longest line and the longest field that are allowed. gunicorn's own limit,
    the number of fields times the size of the longest, would let each connection hold 800 kB."""
    return max(_HEAD_LIMIT, line + 2 * field + _HEAD_LIMIT // 2) if line and field else 0


def _proxy_protocol(cfg: Any) -> Iterator[tuple[str, object]]:
    mode = cfg.proxy_protocol
    if isinstance(mode, bool):  # until 23, which speak version 1 only
        mode = "v1" if mode else "off"
    if mode != "off":
        yield "proxy_protocol", mode
        yield "proxy_allow_ips", list(map(str, cfg.proxy_allow_ips))


def _tls(cfg: Any) -> Iterator[tuple[str, object]]:
    """``ssl_version`` is left out: gunicorn ignores it since 21, and we negotiate TLS 1.2 and up in any case."""
    for name in _TLS:
        yield name, cfg.settings[name].get()
    yield "cert_reqs", int(cfg.cert_reqs)
