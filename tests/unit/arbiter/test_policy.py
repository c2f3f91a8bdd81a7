"""Numbers."""

from __future__ import annotations

import pytest

from asgi_arbiter.arbiter.policy import (
    PULSE_INTERVAL,
    Rules,
    board_slots,
    boot_backoff,
    crash_spacing,
    fork_backoff,
    look_interval,
)
from asgi_arbiter.config import Config
from asgi_arbiter.config.records import as_dict, replace


def test_rules_take_the_settings_of_the_same_names() -> None:
    config = Config(workers=3, timeout=7.0, settle_time=2.5, max_restarts=4)
    rules = as_dict(Rules.from_config(config, molds_rear=True))
    assert rules.pop("molds_rear")  # not a setting, but what the kernel can do
    for name, value in rules.items():
        assert value == getattr(config, name), name


def test_the_defaults_are_those_of_the_settings() -> None:
    assert Rules.from_config(Config()) == Rules()


def test_a_watched_service_settles_at_once() -> None:
    assert Rules.from_config(Config(reload=True, settle_time=5.0)).settle_time == 0.0


def test_a_surge_of_zero_is_one_since_new_comes_before_old() -> None:
    rules = Rules.from_config(replace(Config(), reload_surge=0, recycle_surge=0))
    assert (rules.reload_surge, rules.recycle_surge) == (1, 1)


def test_a_drain_ends_with_the_kill_timeout() -> None:
    rules = Rules(graceful_timeout=30.0, kill_timeout=5.0, quick_timeout=4.0)
    assert rules.drain_budget == 35.0
    assert rules.quick_budget == 9.0


def test_quick_is_never_slower_than_graceful() -> None:
    assert Rules(graceful_timeout=1.0, quick_timeout=5.0, kill_timeout=5.0).quick_budget == 6.0


def test_backoff_doubles_and_has_an_end() -> None:
    assert boot_backoff(0) == 0.0
    assert [boot_backoff(n) for n in (1, 2, 3, 4)] == [0.25, 0.5, 1.0, 2.0]
    assert boot_backoff(50) == boot_backoff(9) == 15.0
    assert [fork_backoff(n) for n in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert fork_backoff(500) == 15.0


def test_restarts_within_the_limit_wait_for_nothing_and_beyond_it_they_are_spread() -> None:
    rules = Rules(max_restarts=10, restart_window=60.0)
    assert crash_spacing(10, rules) == 0.0
    assert crash_spacing(11, rules) == 6.0


def test_no_limit_means_no_spreading() -> None:
    assert crash_spacing(1000, Rules(max_restarts=0)) == 0.0


@pytest.mark.parametrize("timeout", [0.5, 3.0, 30.0, 600.0])
def test_pulses_are_read_seldom_and_often_enough(timeout: float) -> None:
    assert PULSE_INTERVAL <= look_interval(timeout) <= 5.0


def test_the_board_has_room_for_several_generations() -> None:
    assert board_slots(1) == 64
    assert board_slots(100) == 800
