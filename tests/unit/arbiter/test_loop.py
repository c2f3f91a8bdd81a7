"""What surrounds the loop: which changes a reload may make, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.arbiter import Arbiter
from asgi_arbiter.arbiter import loop as module
from asgi_arbiter.arbiter.loop import compare
from asgi_arbiter.config import Config
from asgi_arbiter.config.errors import BindError, ExitCode, InvalidSetting
from asgi_arbiter.config.sources import configure


def test_the_arbiter_is_imported_when_it_is_asked_for() -> None:
    assert Arbiter is module.Arbiter


def test_a_reload_may_change_workers_and_addresses() -> None:
    running, fresh = Config(workers=2, bind=("127.0.0.1:1",)), Config(workers=4, bind=("127.0.0.1:2",))
    assert compare(running, fresh) == (fresh, ())


def test_what_needs_a_restart_keeps_its_old_value_and_is_refused_by_name() -> None:
    running, fresh = Config(pidfile="a.pid", workers=2), Config(pidfile="b.pid", workers=4)
    config, (sentence,) = compare(running, fresh)
    assert config == Config(pidfile="a.pid", workers=4)
    assert sentence == "pidfile cannot change on a reload: it stays 'a.pid', restart for 'b.pid'"


def arbiter(**settings: Any) -> Arbiter:
    return module.Arbiter(configure({"app": "main:app", **settings}))


def test_an_unknown_user_is_refused_before_anything_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSetting, match="nosuchuser"):
        arbiter(user="nosuchuser").run()


def test_a_directory_that_cannot_be_entered_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="chdir"):
        module._change_directory(str(tmp_path / "none"))


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No title, no logging set up, no fleet."""
    monkeypatch.setattr(module, "_set_title", lambda config: None)
    monkeypatch.setattr(module.logs, "configure", lambda config, identity: None)


def test_an_address_in_use_is_an_error_and_the_pidfile_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quiet: None
) -> None:
    def fail(*_: object) -> None:
        raise BindError("cannot listen on 127.0.0.1:80: address in use")

    monkeypatch.setattr(module.ListenerSet, "open", fail)
    with pytest.raises(BindError, match="address in use"):
        arbiter(pidfile=str(tmp_path / "app.pid")).run()
    assert list(tmp_path.iterdir()) == []


def test_the_socket_and_the_pidfile_are_removed_at_the_end(
    monkeypatch: pytest.MonkeyPatch, short_path: Path, quiet: None
) -> None:
    seen: list[str] = []

    def supervise(self: Arbiter) -> ExitCode:
        seen.extend(sorted(path.name for path in short_path.iterdir()))
        return ExitCode.BOOT

    monkeypatch.setattr(module.Arbiter, "_supervise", supervise)
    code = arbiter(bind=f"unix:{short_path}/app.sock", pidfile=str(short_path / "app.pid")).run()
    assert code is ExitCode.BOOT
    assert seen == ["app.pid", "app.sock"]
    assert list(short_path.iterdir()) == []


def test_a_bug_of_ours_is_logged_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, short_path: Path, quiet: None, caplog: pytest.LogCaptureFixture
) -> None:
    def supervise(self: Arbiter) -> ExitCode:
        raise KeyError("a bug")

    monkeypatch.setattr(module.Arbiter, "_supervise", supervise)
    assert arbiter(bind=f"unix:{short_path}/app.sock").run() is ExitCode.FAILED
    assert any(record.levelname == "CRITICAL" for record in caplog.records)
