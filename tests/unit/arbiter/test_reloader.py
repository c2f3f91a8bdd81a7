"""Watching files: what counts, what changed, and how it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asgi_arbiter.arbiter.reloader import Filter, Watcher, changes, directories, scan
from asgi_arbiter.config import Config


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("main.py", True), ("main.pyc", False), ("main.html", False), (".hidden.py", False), ("~main.py", False)],
)
def test_python_files_count_by_default(name: str, counts: bool) -> None:
    assert Filter(Config())(Path("/app") / name) is counts


def test_more_patterns_can_count() -> None:
    wanted = Filter(Config(reload_includes=("*.html", "*.toml")))
    assert wanted(Path("/app/page.html")) and wanted(Path("/app/main.py"))
    assert not wanted(Path("/app/page.css"))


def test_patterns_and_directories_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "generated").mkdir()
    wanted = Filter(Config(reload_excludes=("test_*.py", "generated")))
    assert not wanted(tmp_path / "test_main.py")
    assert not wanted(tmp_path / "generated" / "deep" / "main.py")
    assert wanted(tmp_path / "main.py")


def test_python_files_can_be_left_out_altogether() -> None:
    wanted = Filter(Config(reload_includes=("*.html",), reload_excludes=("*.py",)))
    assert not wanted(Path("/app/main.py")) and wanted(Path("/app/page.html"))


@pytest.mark.parametrize(
    ("name", "pattern", "counts"),
    [
        (".env", ".env", True),
        (".env.local", ".env.*", True),
        (".env", "*.html", False),
        (".#page.html", "*.html", False),  # an editor's lock
        (".page.html", ".*", True),
        (".main.pyc", "*.pyc", False),
    ],
)
def test_a_dot_file_counts_if_its_pattern_has_the_dot(name: str, pattern: str, counts: bool) -> None:
    assert Filter(Config(reload_includes=(pattern,)))(Path("/app") / name) is counts


def test_every_file_of_an_included_directory_counts(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    wanted = Filter(Config(reload_includes=("templates",)))
    assert wanted(tmp_path / "templates" / "deep" / "page.html") and wanted(tmp_path / "main.py")
    assert not wanted(tmp_path / "templates" / ".page.swp") and not wanted(tmp_path / "page.html")


def test_a_pattern_can_name_a_folder(tmp_path: Path) -> None:
    wanted = Filter(Config(reload_includes=("pages/*.html",), reload_excludes=("tests/*",)))
    assert wanted(tmp_path / "pages" / "a.html") and not wanted(tmp_path / "a.html")
    assert not wanted(tmp_path / "tests" / "test_main.py")


def test_what_is_installed_below_the_project_does_not_count(tmp_path: Path) -> None:
    wanted = Filter(Config())
    assert not wanted(tmp_path / ".venv" / "lib" / "site.py")
    assert not wanted(tmp_path / "web" / "node_modules" / "gyp.py")


def test_a_project_may_live_in_a_folder_that_is_skipped_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "venv").mkdir()
    monkeypatch.chdir(tmp_path / "venv")
    assert Filter(Config())(tmp_path / "venv" / "main.py")


def test_the_current_directory_is_watched_unless_others_are_named(tmp_path: Path) -> None:
    for name in ("one", "two", "one/inner"):
        (tmp_path / name).mkdir()
    assert directories(Config()) == [tmp_path]
    assert directories(Config(reload_dirs=("one", "two", "one/inner"))) == [tmp_path / "one", tmp_path / "two"]
    assert directories(Config(reload_includes=("one", "*.html"))) == [tmp_path]
    assert directories(Config(reload_dirs=("two",), reload_includes=("one",))) == [tmp_path / "two", tmp_path / "one"]
    assert directories(Config(reload_dirs=("no such",))) == [tmp_path]


def test_new_changed_and_removed_files_are_noticed(tmp_path: Path) -> None:
    for name in ("kept.py", "changed.py", "removed.py", "other.txt"):
        (tmp_path / name).write_text("1")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.py").write_text("1")
    wanted = Filter(Config())
    before = scan([tmp_path], wanted)
    assert sorted(Path(path).name for path in before) == ["changed.py", "kept.py", "removed.py"]
    (tmp_path / "changed.py").write_text("12")
    (tmp_path / "removed.py").unlink()
    (tmp_path / "new.py").write_text("1")
    after = scan([tmp_path], wanted)
    assert [Path(path).name for path in changes(before, after)] == ["changed.py", "new.py", "removed.py"]
    assert changes(after, after) == []


def test_paths_come_through_the_pipe_once_and_in_pieces() -> None:
    watcher = Watcher(Config())
    assert watcher.read() == []
    os.write(watcher._writer, b'["a.py", "b.py"]\n["a.py"]\n["c')
    assert watcher.read() == ["a.py", "b.py"]
    os.write(watcher._writer, b'.py"]\n')
    assert watcher.read() == ["c.py"]
    watcher.close_writer()
    assert watcher.read() == [] and watcher.is_closed
    os.close(watcher.reader)
