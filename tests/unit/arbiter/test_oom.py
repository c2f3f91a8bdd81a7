"""Reading the kernel's count of out-of-memory kills."""

from __future__ import annotations

from pathlib import Path

from asgi_arbiter.arbiter.oom import OomCounter


def test_a_rise_is_seen_once(tmp_path: Path) -> None:
    file = tmp_path / "memory.events"
    file.write_text("low 0\noom 0\noom_kill 3\noom_group_kill 0\n")
    counter = OomCounter(file)
    assert not counter.has_risen()
    file.write_text("low 0\noom 1\noom_kill 4\noom_group_kill 0\n")
    assert counter.has_risen()
    assert not counter.has_risen()


def test_where_the_kernel_does_not_tell_nothing_is_claimed(tmp_path: Path) -> None:
    assert not OomCounter(tmp_path / "none").has_risen()
    (tmp_path / "odd").write_text("oom_kill")
    assert not OomCounter(tmp_path / "odd").has_risen()
    (tmp_path / "odd").write_text("oom_kill many")
    assert not OomCounter(tmp_path / "odd").has_risen()


def test_the_own_cgroup_is_looked_for_without_failing() -> None:
    assert OomCounter().has_risen() in (True, False)
