"""The pid file: whole, ours, and never somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asgi_arbiter.arbiter.pidfile import APPRENTICE, Pidfile, _names_us, is_arbiter
from asgi_arbiter.config.errors import InvalidSetting


def taken(_pid: int) -> bool:
    return True


def free(_pid: int) -> bool:
    return False


def test_it_holds_the_pid_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    Pidfile(str(tmp_path / "app.pid"), 4711).create()
    assert (tmp_path / "app.pid").read_text() == "4711\n"
    assert os.listdir(tmp_path) == ["app.pid"]


def test_it_is_removed_at_the_end(tmp_path: Path) -> None:
    pidfile = Pidfile(str(tmp_path / "app.pid"), 4711)
    pidfile.create()
    pidfile.remove()
    assert os.listdir(tmp_path) == []
    pidfile.remove()


def test_a_running_arbiter_is_not_displaced(tmp_path: Path) -> None:
    (tmp_path / "app.pid").write_text("99\n")
    with pytest.raises(InvalidSetting, match=r"belongs to a running arbiter, pid 99"):
        Pidfile(str(tmp_path / "app.pid"), 4711, taken).create()
    assert (tmp_path / "app.pid").read_text() == "99\n"


@pytest.mark.parametrize("content", ["99\n", "", "nonsense", "4711\n", "-5"])
def test_a_stale_file_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "app.pid").write_text(content)
    Pidfile(str(tmp_path / "app.pid"), 4711, free).create()
    assert (tmp_path / "app.pid").read_text() == "4711\n"


def test_our_own_number_from_a_former_container_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "app.pid").write_text("1\n")
    Pidfile(str(tmp_path / "app.pid"), 1, taken).create()


def test_a_successors_file_is_not_removed(tmp_path: Path) -> None:
    pidfile = Pidfile(str(tmp_path / "app.pid"), 4711)
    pidfile.create()
    (tmp_path / "app.pid").write_text("5000\n")
    pidfile.remove()
    assert (tmp_path / "app.pid").read_text() == "5000\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"pidfile: cannot write .*/none/app.pid: No such file"):
        Pidfile(str(tmp_path / "none" / "app.pid"), 4711).create()


def test_a_directory_that_cannot_be_searched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    pidfile = Pidfile("/secret/app.pid", 4711)
    monkeypatch.setattr("os.open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(InvalidSetting, match=r"^pidfile: cannot write /secret/app.pid: Permission denied$"):
        pidfile.create()


def test_a_relative_path_is_kept_when_the_directory_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pidfile = Pidfile("app.pid", 4711)
    pidfile.create()
    monkeypatch.chdir("/")
    pidfile.remove()
    assert os.listdir(tmp_path) == []


def test_a_living_process_that_is_another_program_is_no_arbiter() -> None:
    import psutil

    me = " ".join(psutil.Process().cmdline())
    assert is_arbiter(os.getpid()) == ("asgi-arbiter" in me or "asgi_arbiter" in me)


def test_a_pid_that_nobody_has_is_no_arbiter() -> None:
    assert not is_arbiter(2**22 + 5)


def test_a_successor_takes_the_name_of_its_predecessor_s_file(tmp_path: Path) -> None:
    path = tmp_path / "app.pid"
    old, new = Pidfile(str(path), 4711), Pidfile(str(path) + APPRENTICE, 4712)
    old.create()
    new.create()
    assert sorted(os.listdir(tmp_path)) == ["app.pid", "app.pid.2"]
    new.promote()
    assert path.read_text() == "4712\n" and os.listdir(tmp_path) == ["app.pid"]
    old.remove()  # not its own any more
    assert path.exists()
    new.remove()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        (["asgi-arbiter: arbiter [main:app]"], True),
        (["/srv/app/.venv/bin/python", "/srv/app/.venv/bin/asgi-arbiter", "main:app"], True),
        (["python3", "-P", "-m", "asgi_arbiter", "main:app"], True),
        (["asgi-arbiter: worker 1 gen 1 [main:app]"], False),
        (["vi", "asgi-arbiter.toml"], False),
        (["/srv/asgi-arbiter/bin/python", "-m", "celery"], False),
        ([], False),
    ],
)
def test_a_process_that_only_mentions_us_is_somebody_else(line: list[str], ours: bool) -> None:
    assert _names_us(line) is ours
