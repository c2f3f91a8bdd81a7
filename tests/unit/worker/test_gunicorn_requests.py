"""Requests and responses in the words of gunicorn's hooks and loggers."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.config.access import AccessRecord
from asgi_arbiter.worker.gunicorn_requests import Request, RequestTime, Response, environ


def scope(**more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "raw_path": b"/base/caf%C3%A9",
        "root_path": "/base",
        "query_string": b"a=b",
        "http_version": "1.1",
        "scheme": "https",
        "client": ("203.0.113.9", 4711),
        "headers": [(b"host", b"test"), (b"content-type", b"text/plain"), (b"x-two", b"1"), (b"x-two", b"2")],
        **more,
    }


def test_a_scope_as_a_request() -> None:
    request = Request.of_scope(scope())
    assert (request.method, request.uri, request.path, request.query) == (
        "POST",
        "/caf%C3%A9?a=b",
        "/caf%C3%A9",
        "a=b",
    )
    assert (request.version, request.protocol, request.scheme) == ((1, 1), "HTTP/1.1", "https")
    assert request.headers[0] == ("HOST", "test")
    assert request.scope is not None


def test_an_access_record_as_a_request() -> None:
    record = AccessRecord("http", None, "http", "GET", b"/a%0Ab", "1.0", 200, 5, 0.25, [(b"host", b"t")])
    request = Request.of_record(record)
    assert (request.path, request.query, request.version, request.scope) == ("/a%0Ab", "", (1, 0), None)
    assert request.headers == [("HOST", "t")]


def test_the_environ_is_wsgi_like() -> None:
    variables = environ(Request.of_scope(scope()))
    assert variables["RAW_URI"] == "/caf%C3%A9?a=b"
    assert variables["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert variables["REMOTE_ADDR"] == "203.0.113.9"
    assert variables["HTTP_HOST"] == "test"
    assert variables["CONTENT_TYPE"] == "text/plain"
    assert variables["HTTP_X_TWO"] == "1,2"
    assert variables["wsgi.url_scheme"] == "https"


def test_the_peer_on_a_unix_socket_has_no_address() -> None:
    assert environ(Request.of_scope(scope(client=None)))["REMOTE_ADDR"] == "-"


def test_a_response_takes_over_what_the_application_sends() -> None:
    response = Response()
    response.note({"type": "http.response.start", "status": 404, "headers": [(b"X-A", b"b")]})
    response.note({"type": "http.response.body", "body": b"not", "more_body": True})
    response.note({"type": "http.response.body", "body": b"here"})
    assert (response.status, response.status_code, response.sent) == ("404 Not Found", 404, 7)
    assert response.response_length == 7
    assert response.headers == [("X-A", "b")]


@pytest.mark.parametrize(("status", "text"), [(200, "200 OK"), (499, "499"), (101, "101 Switching Protocols")])
def test_a_status_has_its_reason_where_there_is_one(status: int, text: str) -> None:
    assert Response(status).status == text


def test_a_duration_of_more_than_a_day_keeps_its_seconds() -> None:
    duration = RequestTime(seconds=2 * 86400 + 3.5)
    assert (duration.seconds, duration.microseconds) == (2 * 86400 + 3, 500000)
    assert duration.total_seconds() == 2 * 86400 + 3.5
