"""Bytes in a window of waiting."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.pace import Pace


def seconds_until_too_slow(rate: float, *, window: int = 10, needed: int = 1000, ahead: int = 0) -> int | None:
    """How long a party that moves ``rate`` bytes in each second, after ``ahead`` at once, is waited for."""
    pace, total = Pace(window, needed, 0), float(ahead)
    for second in range(1, 100):
        total += rate
        if pace.is_too_slow(int(total)):
            return second
    return None


@pytest.mark.parametrize(("rate", "second"), [(0, 10), (1, 10), (99, 10), (100, None), (5000, None)])
def test_who_moves_too_little_in_a_window_is_too_slow(rate: float, second: int | None) -> None:
    assert seconds_until_too_slow(rate) == second


def test_a_fast_beginning_counts_in_its_own_window_only() -> None:
    assert seconds_until_too_slow(1, ahead=1_000_000) == 20
