"""Request lines beyond the corpus: what is remembered."""

from __future__ import annotations

from asgi_arbiter.protocols import request_line as module
from asgi_arbiter.protocols.request_line import read_request_line


def test_short_lines_are_remembered_and_the_memory_is_bounded() -> None:
    first = read_request_line(b"GET /remembered HTTP/1.1")
    assert read_request_line(b"GET /remembered HTTP/1.1") is first
    for number in range(2000):
        read_request_line(b"GET /%d HTTP/1.1" % number)
        read_request_line(b"GET /" + b"x" * 300 + b"%d HTTP/1.1" % number)
    assert len(module._lines) <= 512
    assert max(map(len, module._lines)) <= 256
