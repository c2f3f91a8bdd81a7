"""``asgi_arbiter.run``: serve an application until told to stop, with one call. uvicorn's ``run``.

One worker without ``reload`` serves in this process, as ``Server.run`` does. Several workers, ``reload``, and settings
that belong to worker processes (``pidfile``, ``user``, hooks...) start the arbiter, which forks: a script needs no
``if __name__ == "__main__"``, since a ``run`` that is met while the application is imported for another one is passed
over. Both ways Ctrl-C returns to the caller, and a start that failed ends the program with the exit code 3.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from asgi_arbiter.config import ArbiterError, ConfigError, ConflictingSettings, ExitCode

from .public_config import Config
from .public_server import STARTUP_FAILURE, Server, tell

if TYPE_CHECKING:
    from typing import Unpack

    from .public_options import Application, Options

__all__ = ["run"]

log = logging.getLogger("asgi_arbiter.worker")

_NOT_STARTED = (ExitCode.BIND, ExitCode.APP_IMPORT, ExitCode.LIFESPAN, ExitCode.BOOT)
_is_running = False
"""Whether this process, or the one it was forked from, is within ``run``."""


def run(
    app: Application,
    *,
    host: str | None = None,
    port: int | None = None,
    uds: str | os.PathLike[str] | None = None,
    fd: int | None = None,
    **options: Unpack[Options],
) -> None:
    """Serve ``app`` until SIGINT or SIGTERM. ``app`` is an object or ``module:attribute``; several workers and
    ``reload`` need the latter. The options are those of ``Config``.

    Raises:
        ConfigError: the options are wrong or impossible together (``TypeError`` as well for an unknown keyword).
        RuntimeError: an event loop runs in this thread, or workers are wanted from another thread than the main one.
        SystemExit: 3 if the server could not start, else the arbiter's exit code if it failed; the log says why.
    """
    global _is_running
    if _is_running and _is_being_imported(app):
        log.debug("run() is passed over while %s is imported", app, extra={"event": "run_passed_over"})
        return
    config = Config(app, host, port, uds, fd, **options)
    outer, _is_running = _is_running, True
    try:
        if config.for_arbiter:
            _supervise(config)
        else:
            Server(config).run()
    except KeyboardInterrupt:
        pass
    finally:
        _is_running = outer


def _supervise(config: Config) -> None:
    _check(config)
    from .loop import Arbiter

    if not config.settings.app_dir and (home := _home_of_script()):
        config.app_dir = home
    try:
        code = Arbiter(config.checked).run()
    except ConfigError:
        raise
    except ArbiterError as error:
        tell(error)
        code = error.exit_code
    if code is not ExitCode.OK:
        sys.exit(STARTUP_FAILURE if code in _NOT_STARTED else int(code))


def _check(config: Config) -> None:
    wanted = " and ".join(config.for_arbiter)
    if not isinstance(config.app, str):
        raise ConflictingSettings(
            f"Config(), {wanted}: needs the application as an import string, such as run('main:app'), since every worker"
            " imports it anew"
        )
    if config.callback_notify is not None:
        raise ConflictingSettings(
            f"Config(), {wanted}: callback_notify is called in the process that serves, and not by the arbiter's workers;"
            " start what it does in the application's lifespan"
        )
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"run() with {wanted} starts processes, which only the main thread can; call it there")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"run() with {wanted} cannot be called while an event loop runs in this thread")


def _home_of_script() -> str:
    """The directory of the script, if the program can import from there: workers then find the application where the
    program itself would, and not first in the current directory."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    home = os.path.dirname(os.path.abspath(script)) if script else ""
    return home if home and home in (os.path.abspath(path) for path in sys.path) else ""


def _is_being_imported(app: Application) -> bool:
    """Whether the application's module is executing just now, in which case this very call is a line of it."""
    module = sys.modules.get(app.partition(":")[0]) if isinstance(app, str) else None
    # importlib keeps it there until the module is complete, and relies on it itself.
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
