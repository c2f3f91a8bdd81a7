"""The limits of a worker's life."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker import limits as measured
from asgi_arbiter.worker.limits import Limits, resident_memory


def test_without_settings_nothing_is_ever_exceeded() -> None:
    limits = Limits.draw(Config(), lambda: 0.99)
    assert limits.exceeded(served=10**9, age=10**9, memory=10**15) == ""


@pytest.mark.parametrize(
    ("limits", "served", "age", "memory", "reason"),
    [
        (Limits(requests=10), 9, 0.0, 0, ""),
        (Limits(requests=10), 10, 0.0, 0, "max_requests"),
        (Limits(lifetime=60.0), 0, 59.9, 0, ""),
        (Limits(lifetime=60.0), 0, 60.0, 0, "lifetime"),
        (Limits(memory=100), 0, 0.0, 100, ""),
        (Limits(memory=100), 0, 0.0, 101, "memory"),
        (Limits(requests=10, minimum_lifetime=30.0), 99, 29.0, 0, ""),
        (Limits(requests=10, minimum_lifetime=30.0), 99, 30.0, 0, "max_requests"),
        (Limits(requests=10, lifetime=5.0), 10, 6.0, 0, "max_requests"),
    ],
)
def test_the_first_limit_that_is_reached_is_the_reason(
    limits: Limits, served: int, age: float, memory: int, reason: str
) -> None:
    assert limits.exceeded(served=served, age=age, memory=memory) == reason


def test_jitter_is_added_up_to_its_setting() -> None:
    config = Config(
        max_requests=1000,
        max_requests_jitter=100,
        max_worker_lifetime=60.0,
        max_worker_lifetime_jitter=10.0,
        max_worker_memory=500,
        max_worker_memory_jitter=50,
        min_worker_lifetime=3.0,
    )
    assert Limits.draw(config, lambda: 0.0) == Limits(1000, 60.0, 500, 3.0)
    assert Limits.draw(config, lambda: 0.5) == Limits(1050, 65.0, 525, 3.0)


def test_jitter_alone_is_no_limit() -> None:
    config = Config(max_requests_jitter=100, max_worker_lifetime_jitter=10.0, max_worker_memory_jitter=50)
    assert Limits.draw(config, lambda: 0.5) == Limits()


def test_this_process_has_a_plausible_size() -> None:
    assert 2**20 < resident_memory() < 2**36


def test_memory_that_workers_share_counts_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text("5566-7788 ---p 0 00:00 0 [rollup]\nRss:  900 kB\nPss:                 300 kB\nPss_Dirty: 5 kB\n")
    assert measured.proportional_memory(str(rollup)) == 300 * 1024
    assert measured.proportional_memory(str(tmp_path / "nothing")) == 0
    monkeypatch.setattr(measured, "resident_memory", lambda: 1000)
    monkeypatch.setattr(measured, "proportional_memory", lambda: 300)
    assert measured.memory_in_use(500, shares=False) == 1000
    assert measured.memory_in_use(500, shares=True) == 300
    assert measured.memory_in_use(2000, shares=True) == 1000  # not worth the question
    monkeypatch.setattr(measured, "proportional_memory", lambda: 0)
    assert measured.memory_in_use(500, shares=True) == 1000
