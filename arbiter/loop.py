"""``Arbiter``: from checked settings to an exit code. The order of the start and of the end, and the loop between them.

Rules: whatever can fail because of the operator's settings fails before the first fork, as an ``ArbiterError``; from then
on the fleet decides. The loop is ``turn`` and nothing else.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_arbiter.config import Reach, logs
from asgi_arbiter.config.errors import ArbiterError, ExitCode, InvalidSetting
from asgi_arbiter.config.records import replace
from asgi_arbiter.worker.mailbox import Mailbox
from asgi_arbiter.worker.pulse import PulseBoard
from asgi_arbiter.worker.warmup import warm_up

from . import early, forks, remarks
from .actions import Finish
from .credentials import Credentials
from .effects import Effects
from .events import ConfigLoaded
from .fleet import Fleet
from .forks import Daemon, daemonize, detach
from .handover import Inheritance, Started
from .hooks import Hooks
from .listeners import ListenerSet, activated, urls
from .notify import Notifier
from .pidfile import APPRENTICE, Pidfile
from .policy import Rules, board_slots
from .turn import carry_out, turn
from .upgrade import Upgrade

if TYPE_CHECKING:
    from asgi_arbiter.config import Config
    from asgi_arbiter.config.sources import Loaded

__all__ = ["Arbiter", "compare"]

log = logging.getLogger("asgi_arbiter.arbiter")


class Arbiter:
    """The parent of all workers. One per process."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self._daemon: Daemon | None = None
        self._pidfile: Pidfile | None = None
        self._listeners = ListenerSet()
        self._credentials = Credentials()
        self._started = Started.now()
        self._inheritance: Inheritance | None = None

    def run(self) -> ExitCode:
        """Serve until told to stop, or until nothing could be booted.

        Raises:
            ArbiterError: the settings ask for something that cannot be had; nothing was started.
        """
        code: ExitCode = ExitCode.FAILED
        try:
            self._prepare()
            code = self._supervise()
        except ArbiterError as error:
            code = error.exit_code
            raise
        except early.Ended:
            code = ExitCode.OK
        except Exception:
            # A bug of ours. The workers see the mailbox close, finish what is under way, and leave.
            log.critical("the arbiter failed; please report this", exc_info=True, extra={"event": "internal_error"})
            code = ExitCode.FAILED
        finally:
            self._listeners.keep(None)
            if self._pidfile is not None:
                self._pidfile.remove()
            logs.flush(1.0)
            if self._daemon is not None:
                self._daemon.report(code)
        return code

    # --- before the first fork ---------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        config = self.config
        inheritance = self._inheritance = Inheritance.take(os.environ)
        _check_identity(config)
        if config.chdir:
            _change_directory(config.chdir)
        if config.umask is not None:
            os.umask(config.umask)
        descriptors = activated(os.environ, os.getpid())
        self._notifier = Notifier(os.environ, os.getpid())
        if config.daemon and inheritance is None:  # a successor is in the background already
            self._daemon = daemonize()
            self._notifier.main_pid = os.getpid()
        _set_title(config)
        if config.pidfile:
            self._pidfile = Pidfile(config.pidfile + (APPRENTICE if inheritance else ""), os.getpid())
            self._pidfile.create()
        if inheritance is not None:
            self._listeners.inherit(inheritance, config)
        if descriptors:
            self._listeners.adopt(descriptors, config)
        self._open_logs()
        self._hooks = Hooks(config, os.getpid())
        self._hooks.call("on_starting")
        self._credentials.open(1, config)
        opened = self._listeners.open(1, config)
        self.addresses = urls(opened, config)
        if config.daemon and inheritance is None:
            detach()
            self._open_logs()  # standard error is another file now
        self._say_hello()

    def _open_logs(self) -> None:
        from asgi_arbiter.worker import privileges

        logs.configure(self.config, identity=f"arbiter pid={os.getpid()}")
        privileges.share_logs(self.config)

    def _say_hello(self) -> None:
        from asgi_arbiter import __version__

        config, python = self.config, sys.version.partition(" ")[0]
        where, count = ", ".join(self.addresses), remarks.plural(config.workers, "worker")
        text = (
            f"asgi-arbiter {__version__} pid={os.getpid()} python={python} serves {config.app} on {where} with {count}"
        )
        extra = {"event": "started", "version": __version__, "python": python, "addresses": list(self.addresses)}
        log.info(text, extra=extra)
        for warning in self.loaded.warnings:
            log.warning(warning, extra={"event": "setting_warning"})
        for notice in self.loaded.notices:
            log.info(notice, extra={"event": "setting_notice"})
        if self._listeners.is_activated:
            self._name_passed_sockets()
        if self._inheritance is not None:
            pid, predecessor = os.getpid(), self._inheritance.pid
            log.info(
                "pid=%d leads until the workers of pid=%d serve",
                predecessor,
                pid,
                extra={"event": "successor_started", "pid": pid, "predecessor": predecessor},
            )

    def _name_passed_sockets(self) -> None:
        listeners, config = self._listeners, self.config
        extra = {"event": "activated", "names": list(listeners.names)}
        if any(address.name for address in config.addresses):
            unused = listeners.unused(1)
            if unused:
                text = f"sockets passed by the service manager that no bind names are not served: {', '.join(unused)}"
                log.warning(text, extra=extra)
            return
        pairs = zip(listeners.names, self.addresses, strict=True)
        named = ", ".join(f"{name} ({address})" if name else address for name, address in pairs)
        log.info("sockets passed by the service manager replace `bind`: %s", named, extra=extra)

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _supervise(self) -> ExitCode:
        config, hooks = self.config, self._hooks
        hooks.server.address = self.addresses
        board = PulseBoard(board_slots(config.workers))
        effects = Effects(
            load=self._load,
            listeners=self._listeners,
            board=board,
            notifier=self._notifier,
            hooks=hooks,
            daemon=self._daemon,
            upgrade=self._upgrade(),
            credentials=self._credentials,
        )
        effects.install_signals()
        try:
            hooks.call("when_ready")
            hooks.call("nworkers_changed", config.workers, None)
            self._watch(effects)
            warm_up(config)
            # What stands now is shared with every worker; the collector must not touch, and so copy, its pages.
            gc.collect()
            gc.freeze()
            finish = self._turn_until_finish(effects, board)
            hooks.call("on_exit")
        finally:
            effects.close()
        return finish.code

    def _turn_until_finish(self, effects: Effects, board: PulseBoard) -> Finish:
        fleet = Fleet(
            self.config,
            _rules(self.config),
            now=time.monotonic(),
            slots=board.slots,
            addresses=self.addresses,
            watchdog=self._notifier.watchdog,
            leads=self._inheritance is None,
        )
        finish = carry_out(fleet, effects)
        while finish is None:
            finish = turn(fleet, effects)
            if self._daemon is not None and fleet.complete_at is not None:
                self._daemon.report(ExitCode.OK)
        return finish

    def _upgrade(self) -> Upgrade:
        lifeline = Mailbox(self._inheritance.open_lifeline()) if self._inheritance is not None else None
        promote = self._pidfile.promote if self._pidfile is not None else lambda: None
        return Upgrade(self._started, self._listeners, lifeline, promote)

    def _watch(self, effects: Effects) -> None:
        if self.config.reload:
            from .reloader import Watcher

            effects.watch(Watcher(self.config))

    def _load(self) -> ConfigLoaded:
        """Read the settings again. Raises ``ConfigError``."""
        loaded = self.loaded.reload()
        config, refused = compare(self.config, loaded.config)
        for warning in loaded.warnings:
            if warning not in self.loaded.warnings:
                log.warning(warning, extra={"event": "setting_warning"})
        self.loaded = loaded
        return ConfigLoaded(config, _rules(config), refused)


def _rules(config: Config) -> Rules:
    return Rules.from_config(config, molds_rear=config.preload_app and not forks.adopt_orphans())


def compare(running: Config, fresh: Config) -> tuple[Config, tuple[str, ...]]:
    """The settings that a reload may use, and a sentence for each change that only a restart can bring about."""
    fixed = [name for name, reach in fresh.changed_from(running) if reach is Reach.RESTART]
    refused = tuple(
        f"{name} cannot change on a reload: it stays {getattr(running, name)!r}, restart for {getattr(fresh, name)!r}"
        for name in fixed
    )
    return replace(fresh, **{name: getattr(running, name) for name in fixed}), refused


def _check_identity(config: Config) -> None:
    """Unknown users and groups are told before anything is opened."""
    from asgi_arbiter.worker import privileges

    privileges.wanted(config)


def _change_directory(path: str) -> None:
    try:
        os.chdir(Path(path).expanduser())
    except OSError as error:
        raise InvalidSetting(f"chdir: cannot enter {path}: {error.strerror}") from None


def _set_title(config: Config) -> None:
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"asgi-arbiter: arbiter [{config.proc_name or config.app}]")
