"""The ASGI types: an application written to the specification fits them."""

from __future__ import annotations

from typing import get_args

from asgi_arbiter.protocols import asgi
from tests.http_support import hello


def test_an_application_takes_scope_receive_and_send() -> None:
    parameters, _ = get_args(asgi.ASGIApplication)
    assert [asgi.Scope, asgi.Receive, asgi.Send] == parameters
    application: asgi.ASGIApplication = hello
    assert application is hello


def test_what_is_exported_is_there() -> None:
    assert all(hasattr(asgi, name) for name in asgi.__all__)
