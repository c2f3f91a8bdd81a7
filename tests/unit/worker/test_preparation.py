"""What a worker and a mold do alike before the application is imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import InvalidSetting
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker import preparation, privileges


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The identities under which logs were configured, and the titles; neither happens."""
    told: list[str] = []
    monkeypatch.setattr(logs, "configure", lambda config, *, identity: told.append(identity))
    monkeypatch.setattr(preparation, "set_title", told.append)
    monkeypatch.setattr("sys.path", ["/somewhere"])
    return told


def test_name_logs_environment_directory_and_path_are_set(
    configured: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("FROM_SETTINGS", "before")
    config = Config(app="main:app", chdir=str(tmp_path), raw_env=("FROM_SETTINGS=yes",))
    preparation.settle_in(config, title="asgi-arbiter: mold", identity="mold gen=1")
    assert configured == ["asgi-arbiter: mold", "mold gen=1"]
    assert Path.cwd() == tmp_path
    assert "NOTIFY_SOCKET" not in os.environ
    assert os.environ["FROM_SETTINGS"] == "yes"


def test_a_directory_that_cannot_be_entered_is_one_line(configured: list[str]) -> None:
    with pytest.raises(InvalidSetting, match=r'^chdir: cannot enter "/nowhere": no such file or directory$'):
        preparation.settle_in(Config(app="main:app", chdir="/nowhere"), title="", identity="")


def test_without_user_and_group_no_rights_are_given_up() -> None:
    assert preparation.give_up_rights(Config(app="main:app")) == (None, False)


def test_a_change_of_identity_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "drop", lambda config: True)
    assert preparation.give_up_rights(Config(app="main:app", user="nobody")) == (None, True)
