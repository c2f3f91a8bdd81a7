"""How much memory there is."""

from __future__ import annotations

from pathlib import Path

from asgi_arbiter.config import memory


def _tree(root: Path, membership: str, limits: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    (root / "proc/meminfo").write_text("MemTotal:       16000 kB\nMemFree:  1 kB\n")
    for name, content in limits.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_without_a_limit_it_is_the_machines(tmp_path: Path) -> None:
    assert memory.available(_tree(tmp_path, "0::/app\n", {"app/memory.max": "max\n"})) == 16000 * 1024


def test_the_smallest_limit_of_the_group_and_those_above_holds(tmp_path: Path) -> None:
    limits = {"a/memory.max": "4096000\n", "a/b/memory.max": "8192000\n", "memory.max": "max\n"}
    assert memory.available(_tree(tmp_path, "0::/a/b\n", limits)) == 4096000


def test_version_1_has_its_own_file_and_a_huge_number_for_none(tmp_path: Path) -> None:
    limits = {"memory/app/memory.limit_in_bytes": "9223372036854771712\n"}
    assert memory.available(_tree(tmp_path / "x", "7:memory:/app\n3:cpu:/app\n", limits)) == 16000 * 1024
    limits = {"memory/app/memory.limit_in_bytes": "5000000\n"}
    assert memory.available(_tree(tmp_path / "y", "7:memory:/app\n", limits)) == 5000000


def test_a_limit_beyond_the_machine_is_none(tmp_path: Path) -> None:
    assert memory.available(_tree(tmp_path, "0::/\n", {"memory.max": str(2**50)})) == 16000 * 1024


def test_where_nothing_is_known_it_is_0(tmp_path: Path) -> None:
    assert memory.available(tmp_path) == 0
