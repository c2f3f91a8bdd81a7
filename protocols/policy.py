"""What the settings mean for HTTP connections, worked out once per worker.

A connection reads plain attributes here on its hot path; nothing in it looks at ``Config`` again. Durations become
ticks of the worker's one-second ticker: a deadline set now must never come early, so one tick is added.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from .extensions import offered
from .fields import watch_forwarding
from .flow import keep_freed_memory
from .heads import HeadMemory
from .memo import Memo
from .proxy import Trust
from .scheme_headers import SchemeHeaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_arbiter.config import Config

    from .base import AccessWriter, ConnectionContext, HeadParser
    from .cycle import RequestCycle

__all__ = ["HttpPolicy", "policy_of", "ticks"]

_SERVER_LINE: Final = b"server: asgi-arbiter\r\n"


def ticks(seconds: float) -> int:
    """A duration as ticks, rounded up; 0 stays 0 (no deadline)."""
    return math.ceil(seconds) + 1 if seconds > 0 else 0


class HttpPolicy:
    """The settings of HTTP connections, ready for use."""

    __slots__ = (
        "body_least",
        "body_limit",
        "body_ticks",
        "concurrency",
        "default_fields",
        "disconnect_grace",
        "drain_ticks",
        "extensions",
        "field_limit",
        "field_size_limit",
        "head_limit",
        "header_map",
        "header_ticks",
        "heads",
        "keepalive",
        "keepalive_ticks",
        "line_limit",
        "log_response",
        "parser",
        "request_ticks",
        "reset_context",
        "response_heads",
        "root_path",
        "server_line",
        "smallest_limit",
        "tail",
        "tail_date",
        "trust",
        "write_least",
        "write_ticks",
    )

    def __init__(self, config: Config, parser: HeadParser) -> None:
        self.parser = parser
        self.log_response: Callable[[AccessWriter, RequestCycle], None] | None = None
        """``http_log.log_response``, once there was something to log."""
        self.heads = HeadMemory()
        """The fields of HTTP/1.1 heads and what they ask for, by all that follows the request line."""
        self.response_heads: Memo[tuple[Any, ...], tuple[int, list[bytes]]] = Memo()
        """``Field`` flags and encoded lines by the status and fields that the application gave."""
        self.line_limit = config.limit_request_line or math.inf
        self.field_limit = config.limit_request_fields or math.inf
        self.field_size_limit = config.limit_request_field_size or math.inf
        self.head_limit = config.limit_request_head or math.inf
        self.smallest_limit = min(self.line_limit, self.field_size_limit, self.head_limit)
        """A head that is not longer keeps all three limits."""
        self.body_limit = config.limit_request_body or math.inf
        self.concurrency = config.limit_concurrency or math.inf
        self.header_ticks = ticks(config.header_timeout)
        self.body_ticks = ticks(config.body_timeout)
        self.body_least = config.body_min_rate * config.body_timeout
        """Bytes in the time of ``body_ticks``; 0 is no limit."""
        self.write_ticks = ticks(config.write_timeout)
        self.write_least = config.write_min_rate * config.write_timeout
        self.keepalive = config.keepalive > 0
        """0 closes after each response."""
        self.keepalive_ticks = ticks(config.keepalive)
        self.drain_ticks = ticks(config.drain_linger)
        self.request_ticks = ticks(config.request_timeout)
        self.disconnect_grace = config.disconnect_grace_period
        self.header_map = config.header_map
        self.reset_context = config.reset_contextvars
        self.root_path = config.root_path
        self.server_line = _SERVER_LINE if config.server_header else b""
        self.default_fields = tuple(_default_field(text) for text in config.headers)
        self.trust: Trust | None = None
        if config.proxy_headers:
            self.trust = Trust(config.forwarded_allow_ips, SchemeHeaders(config.secure_scheme_headers))
            watch_forwarding(self.trust.read)
        self.tail = self.tail_date = b""
        self.extensions = offered()
        """What every HTTP/1.1 scope offers; copied into each."""

    def renew_tail(self, date_line: bytes) -> bytes:
        """The end of most heads (date, server, empty line), put together once for each date."""
        self.tail_date = date_line
        self.tail = date_line + self.server_line + b"\r\n"
        return self.tail


def policy_of(context: ConnectionContext, parser_type: type[HeadParser]) -> HttpPolicy:
    """The policy of a worker, made when its first connection arrives."""
    policy = context.http_policy
    if policy is None:
        keep_freed_memory()
        policy = context.http_policy = HttpPolicy(context.config, parser_type())
    return policy


def _default_field(text: str) -> tuple[bytes, bytes]:
    """``NAME:VALUE`` as the lower-case name and the whole line."""
    name, _, value = text.partition(":")
    encoded = name.strip().encode("latin-1")
    return encoded.lower(), encoded + b": " + value.strip().encode("latin-1") + b"\r\n"
