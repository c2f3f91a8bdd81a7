"""What stands between the fork and the application: name, logs, environment, rights, import. In this order.

A worker goes through it by itself; with ``--preload`` its mold has gone through it for all workers of a generation, which
is why everything that a change on the disk could break happens here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asgi_arbiter.config.errors import InvalidSetting
from asgi_arbiter.config.records import Record

if TYPE_CHECKING:
    import ssl

    from asgi_arbiter.config import Config
    from asgi_arbiter.protocols.asgi import ASGIApplication

__all__ = ["Prepared", "give_up_rights", "set_title", "settle_in"]

_NOT_FOR_APPLICATIONS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What systemd told the arbiter; a program that the application starts must not take it for itself."""


class Prepared(Record):
    """What a mold has done for its workers."""

    app: ASGIApplication
    tls: ssl.SSLContext | None


def settle_in(config: Config, *, title: str, identity: str) -> None:
    """Name, logs, environment, directory, mask, import path. Raises ``ArbiterError``."""
    from asgi_arbiter.config import logs
    from asgi_arbiter.config.envfile import load_environment
    from asgi_arbiter.config.importer import prepare_path

    set_title(title)
    logs.configure(config, identity=identity)
    for name in _NOT_FOR_APPLICATIONS:
        os.environ.pop(name, None)
    if config.umask is not None:
        os.umask(config.umask)
    _change_directory(config.chdir)
    load_environment(config)
    prepare_path(config)


def give_up_rights(config: Config, tls: ssl.SSLContext | None = None) -> tuple[ssl.SSLContext | None, bool]:
    """The TLS context and whether the identity changed. ``tls`` is what the arbiter has made; the ``ssl_context`` hook
    is called before the rights are given up, since it may read a key that is root's."""
    if config.speaks_tls:
        from asgi_arbiter.config.tls import server_context

        tls = server_context(config, tls)
    if config.user or config.group:
        from . import privileges

        return tls, privileges.drop(config)
    return tls, False


def set_title(title: str) -> None:
    """The name of this process in ``ps``, if setproctitle is installed."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(title)


def _change_directory(path: str) -> None:
    try:
        os.chdir(path or ".")
    except OSError as error:
        raise InvalidSetting(f'chdir: cannot enter "{path}": {(error.strerror or str(error)).lower()}') from None
