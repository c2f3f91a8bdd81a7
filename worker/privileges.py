"""Giving up root's rights: group, supplementary groups, user, in this order.

Supplementary groups are always replaced: a process that is ``nobody`` and still in root's groups has given up little.
Whatever needs the rights (privileged ports, TLS keys, log files) must be open before.
"""

from __future__ import annotations

import grp
import os
import pwd
from typing import TYPE_CHECKING

from asgi_arbiter.config import logs
from asgi_arbiter.config.errors import InvalidSetting
from asgi_arbiter.config.records import Record

if TYPE_CHECKING:
    from asgi_arbiter.config import Config

__all__ = ["Identity", "drop", "share_logs", "wanted"]


class Identity(Record):
    """Who to become."""

    uid: int
    gid: int
    name: str
    """The user's name, for its groups; empty for a number without an entry."""


def wanted(config: Config) -> Identity | None:
    """The identity that ``user`` and ``group`` name; ``None`` if neither is set. A user without a group brings its own.

    Raises:
        InvalidSetting: there is no such user or group.
    """
    if not (config.user or config.group):
        return None
    uid, gid, name = os.geteuid(), os.getegid(), ""
    if config.user:
        uid, gid, name = _user(config.user)
    if config.group:
        gid = _group(config.group)
    return Identity(uid, gid, name or _name_of(uid))


def drop(config: Config) -> bool:
    """Become who ``config`` wants. Whether anything changed.

    Raises:
        InvalidSetting: there is no such user or group, or this process may not become it.
    """
    identity = wanted(config)
    if identity is None or (identity.uid, identity.gid) == (os.geteuid(), os.getegid()) != (0, 0):
        return False
    if os.geteuid() != 0:
        who = f"user {config.user}" if config.user else f"group {config.group}"
        raise InvalidSetting(f"{who}: only root can change its identity; start as root or leave the setting out")
    try:
        if config.initgroups and identity.name:
            os.initgroups(identity.name, identity.gid)
        else:
            os.setgroups([identity.gid])
        os.setgid(identity.gid)
        os.setuid(identity.uid)
    except OSError as error:
        raise InvalidSetting(
            f"user {config.user or identity.uid}, group {config.group or identity.gid}: the system refuses: "
            f"{(error.strerror or str(error)).lower()}"
        ) from None
    return True


def share_logs(config: Config) -> None:
    """Give the log files, which root has opened, to the user of the workers: they open them again after a rotation."""
    identity = wanted(config)
    if identity is not None and os.geteuid() == 0:
        logs.give_to(identity.uid, identity.gid)


def _user(text: str) -> tuple[int, int, str]:
    try:
        entry = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    except KeyError:
        if text.isdecimal():
            return int(text), os.getegid(), ""  # containers run as numbers without an entry
        raise InvalidSetting(f'user: there is no user "{text}"') from None
    return entry.pw_uid, entry.pw_gid, entry.pw_name


def _group(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise InvalidSetting(f'group: there is no group "{text}"') from None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
