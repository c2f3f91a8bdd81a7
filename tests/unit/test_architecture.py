"""The rules that no single module can keep: import direction, forbidden calls, mirror layout, one namespace."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("config", "protocols", "worker", "arbiter")
MAY_IMPORT = {
    "config": {"config"},
    "protocols": {"config", "protocols"},
    "worker": {"config", "protocols", "worker"},
    "arbiter": {"config", "worker", "arbiter"},
}
ONLY_IN_EFFECTS = {
    "fork",
    "forkpty",
    "kill",
    "killpg",
    "waitpid",
    "wait",
    "wait3",
    "wait4",
    "waitid",
    "_exit",
    "posix_spawn",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "execl",
    "execle",
    "execlp",
    "execlpe",
}
MAY_MAKE_PROCESSES = {"arbiter/effects.py", "arbiter/forks.py"}
"""``forks`` is apart from ``effects`` because a mold forks workers too, in a process that has no effects."""
WALL_CLOCK_ALLOWED = {"config/access.py", "config/atoms.py", "config/logformat.py", "worker/ticker.py"}
"""Formatting of log lines and of the Date header; everywhere else time is monotonic."""


def sources() -> Iterator[tuple[str, str, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("*.py")):
            yield folder, f"{folder}/{path.name}", ast.parse(path.read_text(), str(path))


def imported_folders(tree: ast.Module, folder: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "asgi_arbiter" and len(parts) > 1:
                    yield node.lineno, parts[1]
        elif isinstance(node, ast.ImportFrom):
            if node.level > 1:
                yield node.lineno, "a relative import that leaves the folder"
            elif node.level == 1:
                yield node.lineno, folder
            elif node.module == "asgi_arbiter":
                yield from ((node.lineno, alias.name) for alias in node.names if alias.name in FOLDERS)
            elif node.module and node.module.startswith("asgi_arbiter."):
                yield node.lineno, node.module.split(".")[1]


def test_imports_only_point_from_arbiter_to_worker_to_protocols_to_config() -> None:
    wrong = [
        f"{name}:{line} imports {target}"
        for folder, name, tree in sources()
        for line, target in imported_folders(tree, folder)
        if target not in MAY_IMPORT[folder]
    ]
    assert wrong == []


def test_the_four_folders_are_really_read() -> None:
    assert {folder for folder, _, _ in sources()} == set(FOLDERS)


@pytest.mark.parametrize(
    "text", ["import asgi_arbiter.worker", "from asgi_arbiter.arbiter import loop", "from ..worker import server"]
)
def test_the_import_rule_can_fail(text: str) -> None:
    targets = [target for _, target in imported_folders(ast.parse(text), "config")]
    assert targets
    assert not set(targets) <= MAY_IMPORT["config"]


def calls_of_os(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from ((node.lineno, alias.name) for alias in node.names)


def test_processes_are_made_signalled_and_reaped_in_effects_and_forks_alone() -> None:
    wrong = [
        f"{name}:{line} os.{call}"
        for _, name, tree in sources()
        if name not in MAY_MAKE_PROCESSES
        for line, call in calls_of_os(tree)
        if call in ONLY_IN_EFFECTS
    ]
    assert wrong == []


def test_wall_clock_time_is_read_for_log_lines_and_dates_only() -> None:
    wrong = []
    for _, name, tree in sources():
        if name in WALL_CLOCK_ALLOWED:
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "time"
                and node.attr in ("time", "time_ns")
            ):
                wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


def test_each_source_file_has_its_own_unit_test() -> None:
    missing = [
        f"tests/unit/{folder}/test_{path.stem}.py"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).glob("*.py"))
        if path.stem != "__init__" and not (ROOT / "tests/unit" / folder / f"test_{path.stem}.py").exists()
    ]
    assert missing == []


def test_the_folders_are_flat() -> None:
    inside = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert inside == {"arbiter/facade"}


def test_the_packaging_table_names_each_folder_once() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    expected = {"asgi_arbiter": "arbiter/facade"} | {f"asgi_arbiter.{folder}": folder for folder in FOLDERS}
    assert setuptools["package-dir"] == expected
    assert sorted(setuptools["packages"]) == sorted(expected)


def test_the_typing_links_lead_to_the_sources() -> None:
    links = {path.name: path for path in (ROOT / ".typing/asgi_arbiter").iterdir() if path.name != "__pycache__"}
    facade = {path.name for path in (ROOT / "arbiter/facade").iterdir() if path.name != "__pycache__"}
    assert {"__init__.py", "__main__.py", "gunicorn.py", "py.typed"} <= facade
    assert set(links) == {*FOLDERS, *facade}
    for folder in FOLDERS:
        assert links[folder].resolve() == ROOT / folder
    for name in facade:
        assert links[name].resolve() == ROOT / "arbiter/facade" / name


def test_no_source_file_is_loaded_under_two_names() -> None:
    names: dict[str, list[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and any(Path(file).is_relative_to(ROOT / folder) for folder in FOLDERS):
            names.setdefault(str(Path(file).resolve()), []).append(name)
    assert {file: loaded for file, loaded in names.items() if len(loaded) > 1} == {}


def test_only_the_agreed_names_stand_at_the_top_of_the_repository() -> None:
    allowed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", *FOLDERS, "tests", "examples", "systemd"}
    made = {"build", "dist", "asgi_arbiter.egg-info"}
    present = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert present - allowed - made == set()
    assert allowed - present == set()
