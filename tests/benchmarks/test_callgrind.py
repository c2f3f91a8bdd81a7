"""Reading callgrind's dumps and keeping the figures of a release."""

from __future__ import annotations

import pytest

from tests.benchmarks import callgrind

KEPT = [
    {"release": "0.1", "python": "3.13.0", "instructions": {"asgi-arbiter": {"hello": 60000}}},
    {"release": "0.2", "python": "3.13.0", "instructions": {"asgi-arbiter": {"hello": 64000}}},
]


def test_the_total_of_a_dump_is_its_totals_line_and_not_the_summary_of_the_part() -> None:
    assert callgrind.total("events: Ir\nsummary: 0\nfn=(1)\n3 5\ntotals: 72458412\n") == 72458412


def test_a_dump_without_a_total_is_an_error() -> None:
    with pytest.raises(ValueError, match="no total"):
        callgrind.total("events: Ir\n")


def test_five_percent_above_the_newest_release_is_a_complaint() -> None:
    assert callgrind.compare(KEPT, "3.13.0", {"asgi-arbiter": {"hello": 67000}}) == []
    (complaint,) = callgrind.compare(KEPT, "3.13.0", {"asgi-arbiter": {"hello": 67300}})
    assert complaint == "hello: 67,300 instructions per request, 64,000 in the last release"


def test_another_python_or_another_server_is_not_compared() -> None:
    assert callgrind.compare(KEPT, "3.11.2", {"asgi-arbiter": {"hello": 999999}}) == []
    assert callgrind.compare(KEPT, "3.13.0", {"uvicorn": {"hello": 999999}}) == []


def test_a_release_is_kept_once_per_python() -> None:
    kept = callgrind.record(KEPT, "0.2", "3.13.0", {"asgi-arbiter": {"hello": 1}})
    assert [entry["release"] for entry in kept] == ["0.1", "0.2"]
    assert kept[-1]["instructions"] == {"asgi-arbiter": {"hello": 1}}
    assert len(callgrind.record(KEPT, "0.2", "3.11.2", {})) == 3


def test_a_request_is_complete() -> None:
    get = callgrind.request_bytes("GET / HTTP/1.1", ("A: b",))
    assert get == b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nA: b\r\n\r\n"
    post = callgrind.request_bytes("POST / HTTP/1.1", body=b"abc")
    assert post.endswith(b"\r\nContent-Length: 3\r\n\r\nabc")


def test_the_answer_to_a_post_ends_with_what_was_sent() -> None:
    request, end = callgrind.WORKLOADS["post"]
    assert request.endswith(end)
