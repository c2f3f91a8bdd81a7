"""What the connections of one worker share, and what travels in an upgrade."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_arbiter.config import Config
from asgi_arbiter.protocols.base import ConnectionContext, Upgrade
from tests.http_support import hello


def test_a_new_context_has_done_nothing_and_limits_nothing() -> None:
    loop = asyncio.new_event_loop()
    context = ConnectionContext(hello, Config(), loop)
    loop.close()
    assert (context.in_flight, context.completed, context.tick, context.request_limit) == (0, 0, 0, -1)
    assert (context.draining, context.date_header, context.http_policy) == ("", b"", None)
    context.on_request_limit()
    with pytest.raises(AttributeError):
        context.misspelt = 1  # type: ignore[attr-defined]


def test_an_upgrade_needs_everything_by_name() -> None:
    arguments: dict[str, Any] = {
        "scope": {},
        "method": "GET",
        "target": b"/",
        "http_version": "1.1",
        "transport": None,
        "leftover": b"x",
        "started": 1.0,
    }
    upgrade = Upgrade(**arguments)
    assert {name: getattr(upgrade, name) for name in arguments} == arguments
    del arguments["leftover"]
    with pytest.raises(TypeError):
        Upgrade(**arguments)
