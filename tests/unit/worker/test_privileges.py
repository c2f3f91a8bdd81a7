"""Giving up rights. What can be tested without losing them."""

from __future__ import annotations

import os
import pwd
from typing import Any

import pytest

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import InvalidSetting
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker import privileges
from asgi_arbiter.worker.privileges import Identity, drop, wanted


@pytest.fixture
def system_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls that would change this process, in order, for a process that seems to be root's."""
    calls: list[tuple[Any, ...]] = []
    for name in ("setgroups", "initgroups", "setgid", "setuid"):
        monkeypatch.setattr(privileges.os, name, lambda *arguments, name=name: calls.append((name, *arguments)))
    monkeypatch.setattr(privileges.os, "geteuid", lambda: 0)
    monkeypatch.setattr(privileges.os, "getegid", lambda: 0)
    return calls


NOBODY = pwd.getpwnam("nobody")


def test_without_user_and_group_nothing_is_wanted() -> None:
    assert wanted(Config()) is None
    assert not drop(Config())


def test_a_user_brings_its_group() -> None:
    assert wanted(Config(user="nobody")) == Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")
    assert wanted(Config(user=str(NOBODY.pw_uid))) == Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")


def test_a_group_of_its_own_replaces_the_users() -> None:
    assert wanted(Config(user="nobody", group="12345")) == Identity(NOBODY.pw_uid, 12345, "nobody")


def test_a_number_without_an_entry_is_taken_as_it_is() -> None:
    assert wanted(Config(user="54321")) == Identity(54321, os.getegid(), "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"user": "no-such-user-xy"}, 'user: there is no user "no-such-user-xy"'),
        ({"group": "no-such-group-xy"}, 'group: there is no group "no-such-group-xy"'),
    ],
)
def test_an_unknown_name_is_one_line(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidSetting, match=f"^{message}$"):
        drop(Config(**settings))  # type: ignore[arg-type]


def test_groups_go_before_the_group_and_the_group_before_the_user(system_calls: list[Any]) -> None:
    assert drop(Config(user="nobody"))
    assert system_calls == [
        ("initgroups", "nobody", NOBODY.pw_gid),
        ("setgid", NOBODY.pw_gid),
        ("setuid", NOBODY.pw_uid),
    ]


@pytest.mark.parametrize(
    "settings", [{"user": "nobody", "initgroups": False}, {"user": str(NOBODY.pw_uid), "initgroups": False}]
)
def test_without_initgroups_the_supplementary_groups_of_root_are_gone_all_the_same(
    settings: dict[str, Any], system_calls: list[Any]
) -> None:
    assert drop(Config(**settings))
    assert system_calls[0] == ("setgroups", [NOBODY.pw_gid])


def test_staying_root_in_name_still_replaces_the_groups(system_calls: list[Any]) -> None:
    assert drop(Config(user="root"))
    assert system_calls[0] == ("initgroups", "root", 0)


def test_only_root_may_change_its_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges.os, "geteuid", lambda: 1000)
    with pytest.raises(InvalidSetting, match=r"^user nobody: only root can change its identity"):
        drop(Config(user="nobody"))


def test_being_the_wanted_user_already_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges.os, "geteuid", lambda: NOBODY.pw_uid)
    monkeypatch.setattr(privileges.os, "getegid", lambda: NOBODY.pw_gid)
    assert not drop(Config(user="nobody"))


def test_a_refusal_of_the_system_is_one_line(system_calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(privileges.os, "setuid", refuse)
    with pytest.raises(InvalidSetting, match=r"^user nobody, group \d+: the system refuses: operation not permitted$"):
        drop(Config(user="nobody"))


def test_log_files_are_given_to_the_user_of_the_workers_by_root_only(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(logs, "give_to", lambda uid, gid: given.append((uid, gid)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    privileges.share_logs(Config())
    privileges.share_logs(Config(user="4711", group="4712"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    privileges.share_logs(Config(user="4711", group="4712"))
    assert given == [(4711, 4712)]
