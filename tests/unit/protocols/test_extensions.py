"""What is offered, and where."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest

from asgi_arbiter.protocols.extensions import for_http_1_0, offered, with_tls
from tests.http_support import Recorder, request, talk


def test_debug_is_offered_where_its_lines_are_written(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("asgi_arbiter.worker")
    with caplog.at_level(logging.INFO, logger.name):
        assert "http.response.debug" not in offered()
    with caplog.at_level(logging.DEBUG, logger.name):
        assert "http.response.debug" in offered()


def test_each_scope_has_a_copy() -> None:
    seen = Recorder()
    talk("httptools", seen, request() + request())
    first, second = (scope["extensions"] for scope in seen.scopes)
    assert first == second == offered()
    assert first is not second


def test_http_1_0_has_no_early_hints() -> None:
    assert "http.response.early_hint" in offered()
    assert "http.response.early_hint" not in for_http_1_0(offered())
    assert "http.response.pathsend" in for_http_1_0(offered())


def test_an_encrypted_transport_that_does_not_tell_offers_no_tls() -> None:
    assert with_tls({"a": {}}, None) == {"a": {}}


def test_tls_is_described_once_for_all_requests_of_a_connection(handshake: Any) -> None:
    seen = Recorder()
    server: ssl.SSLObject = handshake(ssl.TLSVersion.TLSv1_3)[0]
    talk("httptools", seen, request() + request(), extra={"sslcontext": server.context, "ssl_object": server})
    first, second = (scope["extensions"]["tls"] for scope in seen.scopes)
    assert first is second
    assert first["tls_version"] == 0x0304
