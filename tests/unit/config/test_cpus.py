from __future__ import annotations

import os
from pathlib import Path

import pytest

from asgi_arbiter.config import cpus


def _tree(root: Path, membership: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path = path.with_name(path.name.replace("_MAX", ".max").replace("_QUOTA", ".cfs_quota_us"))
        path = path.with_name(path.name.replace("_PERIOD", ".cfs_period_us"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture(autouse=True)
def sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "_affinity", lambda: 16)


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert cpus.quota(tmp_path) is None
    assert cpus.available(tmp_path) == 16


def test_a_version_2_quota_limits_the_count(tmp_path: Path) -> None:
    root = _tree(tmp_path, "0::/app\n", app__cpu_MAX="200000 100000\n")
    assert cpus.quota(root) == 2.0
    assert cpus.available(root) == 2


def test_a_part_of_a_cpu_counts_as_one(tmp_path: Path) -> None:
    assert cpus.available(_tree(tmp_path / "a", "0::/\n", cpu_MAX="50000 100000")) == 1
    assert cpus.available(_tree(tmp_path / "b", "0::/\n", cpu_MAX="250000 100000")) == 3


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    assert cpus.quota(_tree(tmp_path, "0::/app\n", app__cpu_MAX="max 100000\n")) is None


def test_a_limit_above_holds_for_the_group_below(tmp_path: Path) -> None:
    root = _tree(tmp_path, "0::/a/b\n", a__cpu_MAX="300000 100000", a__b__cpu_MAX="max 100000")
    assert cpus.quota(root) == 3.0


def test_a_quota_larger_than_the_machine_changes_nothing(tmp_path: Path) -> None:
    assert cpus.available(_tree(tmp_path, "0::/\n", cpu_MAX="9900000 100000")) == 16


def test_inside_a_container_the_mount_is_the_group_itself(tmp_path: Path) -> None:
    root = _tree(tmp_path, "0::/../../docker/0123\n", cpu_MAX="400000 100000")
    assert cpus.quota(root) == 4.0


def test_a_version_1_quota_limits_the_count(tmp_path: Path) -> None:
    root = _tree(
        tmp_path,
        "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n",
        cpu__x__cpu_QUOTA="150000\n",
        cpu__x__cpu_PERIOD="100000\n",
    )
    assert cpus.quota(root) == 1.5
    assert cpus.available(root) == 2


def test_a_version_1_quota_of_minus_one_is_none(tmp_path: Path) -> None:
    root = _tree(tmp_path, "3:cpu:/\n", cpu__cpu_QUOTA="-1\n", cpu__cpu_PERIOD="100000\n")
    assert cpus.quota(root) is None


def test_nonsense_in_the_files_is_ignored(tmp_path: Path) -> None:
    assert cpus.quota(_tree(tmp_path, "garbage\n\n0::/\n", cpu_MAX="lots 0\n")) is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
def test_the_affinity_is_the_process_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5})
    assert cpus.available(tmp_path) == 3


def test_where_the_question_is_forbidden_the_count_of_the_system_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def forbidden(pid: int) -> set[int]:
        raise PermissionError

    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", forbidden, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus.available(tmp_path) == 1
