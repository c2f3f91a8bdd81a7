"""The settings as connections see them."""

from __future__ import annotations

import math

import pytest

from asgi_arbiter.config import Config
from asgi_arbiter.protocols.h11_parser import H11Parser
from asgi_arbiter.protocols.policy import HttpPolicy, ticks


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (0.1, 2), (1, 2), (5, 6), (5.5, 7)])
def test_a_deadline_never_comes_early(seconds: float, expected: int) -> None:
    assert ticks(seconds) == expected


def test_zero_is_no_limit() -> None:
    policy = HttpPolicy(
        Config(limit_request_line=0, limit_request_head=0, limit_request_field_size=0, limit_request_fields=0),
        H11Parser(),
    )
    assert policy.line_limit == policy.head_limit == policy.field_size_limit == policy.field_limit == math.inf
    assert policy.smallest_limit == policy.body_limit == policy.concurrency == math.inf


def test_the_end_of_heads_is_put_together_once_for_each_date() -> None:
    policy = HttpPolicy(Config(), H11Parser())
    date = b"date: x\r\n"
    assert policy.renew_tail(date) == b"date: x\r\nserver: asgi-arbiter\r\n\r\n"
    assert policy.tail_date is date


def test_default_headers_are_lines_with_a_lower_case_name_beside() -> None:
    policy = HttpPolicy(Config(headers=("X-A: b: c", "Y:z")), H11Parser())
    assert policy.default_fields == ((b"x-a", b"X-A: b: c\r\n"), (b"y", b"Y: z\r\n"))
