"""The arithmetic on which every published figure rests."""

from __future__ import annotations

from tests.benchmarks.stats import median_or_none, paired_ratio, spread


def test_a_ratio_is_taken_within_each_round_so_that_a_slow_round_does_not_bend_it() -> None:
    assert paired_ratio([30.0, 60.0, 30.0], [15.0, 30.0, 15.0]) == 2.0
    assert paired_ratio([30.0, 300.0, 30.0], [15.0, 15.0, 15.0]) == 2.0


def test_a_round_that_failed_on_one_side_is_left_out_of_the_ratio() -> None:
    assert paired_ratio([30.0, None, 40.0], [10.0, 10.0, None]) == 3.0
    assert paired_ratio([None], [10.0]) is None
    assert paired_ratio([], []) is None


def test_the_spread_is_the_largest_over_the_smallest() -> None:
    assert spread([10.0, 15.0, 12.0]) == 1.5
    assert spread([]) is None
    assert spread([0.0, 1.0]) is None


def test_the_median_of_nothing_is_nothing() -> None:
    assert median_or_none([]) is None
    assert median_or_none([3.0, 1.0, 2.0]) == 2.0
