"""The three loggers of the server, and who hears them.

``asgi_arbiter.arbiter`` is the parent's, ``asgi_arbiter.worker`` the children's, ``asgi_arbiter.access`` has one line
for each request. The rules:

* `configure` is called by the arbiter before it forks, and by each child with its own identity. It may be called any
  number of times: handlers are replaced, not added, and a destination that stays the same stays open.
* A line is written once. Our loggers do not propagate, unless a logging configuration of the user's takes them over
  (see ``logconfig``).
* Applications write to the loggers of uvicorn and gunicorn (``uvicorn.error``, ``gunicorn.error``), copy their handlers
  and change the formatter of the first one (also that of ``uvicorn.access``), since those servers have set them up. So
  they are lent our handlers, as long as nobody else has set them up.
* Writing goes through a `Sink`: it does not raise and does not wait. `flush` belongs to whoever beats the time (the
  worker's ticker, the arbiter's turn), so that lines kept for a slow reader are not kept until the next one.
* A structured line is ``log.info("ready in %d ms", ms, extra={"event": "worker_ready", "took": ms})``.
"""

from __future__ import annotations

import atexit
import logging
import os
from typing import TYPE_CHECKING, Final

from . import sinks
from .errors import InvalidSetting
from .logformat import Identity, JsonFormatter, TextFormatter
from .loghandlers import HandOver, Identify, Lent, Route, SinkHandler, Steady, reopen_file_handlers
from .records import Record, made

if TYPE_CHECKING:
    from .logconfig import LogConfig
    from .settings import Config

__all__ = [
    "ACCESS",
    "ARBITER",
    "TRACE",
    "WORKER",
    "AccessTarget",
    "access_target",
    "configure",
    "flush",
    "give_to",
    "rename",
    "reopen",
]

ARBITER: Final = "asgi_arbiter.arbiter"
WORKER: Final = "asgi_arbiter.worker"
ACCESS: Final = "asgi_arbiter.access"
TRACE: Final = 5
"""The level below DEBUG, for single messages between server and application."""

_ROOT: Final = "asgi_arbiter"
_SERVERS: Final = ("uvicorn", "gunicorn.error")
"""Loggers of other servers' logs; ``uvicorn.error`` and ``uvicorn.asgi`` lead to the first."""
_ACCESS: Final = "uvicorn.access"
_LEVELS: Final = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
logging.addLevelName(TRACE, "TRACE")


class AccessTarget(Record):
    """Where access lines go."""

    logger: logging.Logger
    """Takes records when somebody wants records."""
    sink: sinks.Sink | None
    """Takes finished lines, the short way; None if only the logger may be used."""
    formatter: TextFormatter | JsonFormatter | None
    """Gives the beginning of a line; None if only the logger may be used."""
    handler: SinkHandler | None = None
    """Ours for the sink; None if only the logger may be used."""
    is_lent: bool = False
    """Whether ``uvicorn.access`` has the handler too, so that taking it away there silences the log."""


class _State(Record, frozen=False):
    configured: bool = False
    identity: Identity = made(lambda: Identity(""))
    open: dict[str, tuple[object, sinks.Sink]] = made(dict)
    captured: bool = False
    server: sinks.Sink | None = None
    access: AccessTarget | None = None


_state = _State()


for _name in (_ROOT, ARBITER, WORKER, ACCESS):
    logging.getLogger(_name).__class__ = Steady


_identify = Identify()


def configure(config: Config, *, identity: str) -> None:
    """Set up the loggers of this process; ``identity`` is what its lines begin with, such as ``arbiter pid=4711``.

    Raises ``InvalidSetting``, ``SourceUnreadable`` or ``MissingExtra``, naming the setting and the file.
    """
    _state.identity = Identity(identity)
    _identify.text = identity
    chosen = _chosen(config.log_config)
    _release()
    if chosen is not None:
        chosen.apply(use_colors=config.use_colors)
    server_route, server_name = chosen.server_route() if chosen else (Route.OWN, "")
    access_route, access_name = chosen.access_route() if chosen else (Route.OWN, "")
    _configure_server(config, server_route, server_name)
    _configure_access(config, access_route, access_name)
    _state.configured = True


def _chosen(given: object) -> LogConfig | None:
    if not given:
        return None
    from . import logconfig  # brings ``logging.config`` and ``configparser``

    return logconfig.read(given) if isinstance(given, (str, dict, logconfig.LogConfig)) else None


def rename(identity: str) -> None:
    """Go on with the same destinations under another identity: a worker that was forked by one whose logs are set up."""
    _state.identity.become(identity)
    _identify.text = identity


def access_target() -> AccessTarget:
    """Where access lines go. Before `configure` (an embedded server) that is the logger, as its owner set it up."""
    return _state.access or AccessTarget(logging.getLogger(ACCESS), None, None)


def reopen() -> None:
    """Open all log files again by their paths, after a rotation. A file that cannot be opened stays as it is."""
    for _, sink in _state.open.values():
        problem = sink.reopen()
        if problem is not None:
            log = logging.getLogger(ARBITER if _state.identity.fields["role"] == "arbiter" else WORKER)
            log.error(
                "log file %s could not be opened again (%s), the old one stays in use",
                sink.path,
                problem.strerror,
                extra={"event": "log_reopen_failed", "path": sink.path},
            )
    reopen_file_handlers()
    if _state.captured and _state.server is not None:
        _capture(_state.server)


def give_to(uid: int, gid: int) -> None:
    """Give the log files to the user that other processes will be, so that they can open them again by their paths."""
    for _, sink in _state.open.values():
        sink.give_to(uid, gid)


def flush(patience: float = 0.0) -> None:
    """Write what was kept for slow readers, waiting at most ``patience`` seconds for each. Cheap if nothing was."""
    for _, sink in _state.open.values():
        sink.flush(patience)


def _release() -> None:
    """Take our handlers off our loggers, and leave those of others where they are."""
    for name in (_ROOT, ARBITER, WORKER, ACCESS, *_SERVERS, _ACCESS):
        logger = logging.getLogger(name)
        found = [handler for handler in logger.handlers if isinstance(handler, (SinkHandler, HandOver))]
        for handler in found:
            logger.removeHandler(handler)
        if found or name.startswith(_ROOT):
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    for name in (ARBITER, WORKER, ACCESS):
        logging.getLogger(name).addFilter(_identify)  # does nothing the second time


def _configure_server(config: Config, route: Route, name: str) -> None:
    root = logging.getLogger(_ROOT)
    _state.server = None
    level = _LEVELS[config.log_level]
    wished = config.log_level != "info"  # the default is no wish, and must not undo the level in a user's file
    if route is Route.FILE:
        for ours in (ARBITER, WORKER) if wished else ():
            logging.getLogger(ours).setLevel(level)
        return
    root.propagate = route is Route.ROOT
    if route is Route.OWN or wished:
        root.setLevel(level)
    if route is Route.OTHER:
        target = logging.getLogger(name)
        if wished:
            target.setLevel(level)
        root.setLevel(target.getEffectiveLevel())
        root.addHandler(HandOver(name))
    elif route is Route.OWN:
        sink = _sink("error_logfile", config.error_logfile or "-", 2, config)
        formatter = _formatter(config, sink)
        sink.announce = formatter.announce
        handler = SinkHandler(sink, formatter)
        root.addHandler(handler)
        for other in _SERVERS:
            _lend(handler, other, level)
        _state.server = sink
        if config.capture_output and sink.path and _state.identity.fields["role"] != "arbiter":
            _capture(sink)


def _lend(handler: logging.Handler, name: str, level: int) -> bool:
    """Set up a logger of another server with our handler, if it is untouched. Whether it was."""
    logger = logging.getLogger(name)
    if logger.handlers or logger.level != logging.NOTSET or not logger.propagate:
        return False
    if type(logger) is logging.Logger:
        logger.__class__ = Lent
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    return True


def _configure_access(config: Config, route: Route, name: str) -> None:
    logger = logging.getLogger(name or ACCESS)
    _state.access = AccessTarget(logger, None, None)
    level = _LEVELS[config.log_level]
    if route in (Route.OTHER, Route.FILE) and level > logging.INFO:
        logger.setLevel(level)
    if route is Route.FILE and logging.getLogger(_ROOT).handlers:
        logger.propagate = logger.propagate and not logger.handlers  # else the line is in the server's log as well
    if route is Route.OTHER or route is Route.FILE:
        return
    logger.propagate = route is Route.ROOT
    # As with uvicorn, --log-level warning silences the requests on the terminal; a file that was asked for is written.
    quiet = config.access_logfile == "-" and level > logging.INFO
    wanted = config.access_log and config.access_logfile and not quiet
    logger.setLevel(logging.INFO if wanted else logging.CRITICAL + 1)
    if route is Route.OWN and wanted:
        sink = _sink("access_logfile", config.access_logfile, 1, config)
        formatter = _formatter(config, sink)
        sink.announce = formatter.announce
        handler = SinkHandler(sink, formatter)
        logger.addHandler(handler)
        is_lent = _lend(handler, _ACCESS, logging.INFO)
        _state.access = AccessTarget(logger, sink, formatter, handler, is_lent)


def _formatter(config: Config, sink: sinks.Sink) -> TextFormatter | JsonFormatter:
    if config.log_format == "json":
        return JsonFormatter(_state.identity)
    colours = config.use_colors
    if colours is None:
        # https://no-color.org: any value but the empty one
        colours = sink.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return TextFormatter(_state.identity, colours=colours and not sink.path)


def _sink(setting: str, target: str, stream: int, config: Config) -> sinks.Sink:
    """The sink for a target, the one that is open if it is still the same."""
    key = f"{stream}" if target == "-" else os.path.abspath(target)
    mark = _mark(stream) if target == "-" and not _state.captured else None
    known = _state.open.get(key)
    if known is not None and (mark is None or known[0] == mark):
        return known[1]
    if target == "-":
        sink = sinks.open_stream(stream)
    else:
        try:
            sink = sinks.open_path(target)
        except OSError as problem:
            raise InvalidSetting(f"{setting}: cannot open {target}: {problem.strerror}") from problem
        _give_away(sink, config)
    _state.open[key] = (mark, sink)
    return sink


def _mark(stream: int) -> tuple[int, int] | None:
    """What a standard stream leads to; it changes when the process becomes a daemon."""
    try:
        status = os.fstat(stream)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _give_away(sink: sinks.Sink, config: Config) -> None:
    """Let the user that the workers become open the file again after a rotation."""
    if os.geteuid() != 0 or not (config.user or config.group):
        return
    import grp
    import pwd

    try:
        user = int(config.user) if config.user.isdecimal() else pwd.getpwnam(config.user).pw_uid if config.user else -1
        group = (
            int(config.group) if config.group.isdecimal() else grp.getgrnam(config.group).gr_gid if config.group else -1
        )
        os.chown(sink.fileno(), user, group)
    except (KeyError, OSError):  # an unknown user is reported where the privileges are dropped
        pass


def _capture(sink: sinks.Sink) -> None:
    """Send standard output and error of this process to a log file."""
    import sys

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    for descriptor in (1, 2):
        os.dup2(sink.fileno(), descriptor)
    _state.captured = True


def _flush_at_exit() -> None:
    flush(0.2)


atexit.register(_flush_at_exit)
