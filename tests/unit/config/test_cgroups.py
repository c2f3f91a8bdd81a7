"""Where the control groups' files are."""

from __future__ import annotations

from pathlib import Path

from asgi_arbiter.config.cgroups import membership, read, upwards


def test_each_line_is_controllers_and_group(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory,cpu:/a:b\n0::/c\n")
    assert list(membership(tmp_path)) == [("memory,cpu", "/a:b"), ("", "/c")]


def test_where_there_are_none_nothing_is_said(tmp_path: Path) -> None:
    assert list(membership(tmp_path)) == []
    assert read(tmp_path / "nothing") == ""


def test_a_group_and_those_above_it_come_from_below() -> None:
    mount = Path("/sys/fs/cgroup")
    assert list(upwards(mount, "/a/b")) == [mount / "a/b", mount / "a", mount]
    assert list(upwards(mount, "/")) == [mount]
