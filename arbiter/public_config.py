"""``asgi_arbiter.Config``: an application and its settings, as a program writes them. Takes every keyword of uvicorn's.

Keywords go through the same table, conversions and rules as settings files (``config``). Rules:

* what only a program can hand over (the application object, a dictionary for logging, functions) is kept beside the
  settings and put into their frozen form at the end;
* ``None`` is "not given", with two exceptions of uvicorn's: ``log_config=None`` leaves logging alone, and
  ``ws_ping_interval=None`` or ``ws_ping_timeout=None`` is off;
* logging is set up when a ``Config`` is made, as uvicorn does it, so that a program can change it afterwards; the root
  logger is not touched;
* attributes can be read under every name of a setting and changed until the server starts; a change is checked at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgi_arbiter.config import AddressKind, InvalidSetting, Loaded, UnknownSetting, configure
from asgi_arbiter.config.records import replace
from asgi_arbiter.config.settings import ADDRESS_PARTS, names, options

from .public_forms import changed_logging, held, spoken, take_log_config

if TYPE_CHECKING:
    import asyncio
    import socket
    import ssl
    from typing import Unpack

    from asgi_arbiter.config import Config as Settings

    from .public_options import Application, Options

__all__ = ["Config", "UnknownKeyword"]

_LIVE = {"callback_notify": None, "timeout_notify": 30.0, "ssl_context_factory": None}
"""Keywords of uvicorn's that are no settings, with their defaults."""
_AS_GIVEN = {"app", "log_config", "log_level", "headers"}
"""Settings that a program reads as it wrote them."""
_ARBITERS = {"Identity", "Hooks"}
"""Sections of settings for a process that belongs to the server alone."""


class UnknownKeyword(UnknownSetting, TypeError):
    """A keyword that no setting has; the message names the nearest one."""


class Config:
    """The application and its settings. ``Config("main:app", port=5000, log_level="info")``.

    Raises:
        UnknownKeyword: (a ``TypeError``) no such keyword.
        ConfigError: a value or a combination of values is impossible; one line that names the keyword.
    """

    def __init__(
        self,
        app: Application,
        host: str | None = None,
        port: int | None = None,
        uds: str | os.PathLike[str] | None = None,
        fd: int | None = None,
        **options: Unpack[Options],
    ) -> None:
        parts = {"host": host, "port": port, "uds": uds, "fd": fd}
        self._given: dict[str, Any] = {"app": app, **parts, **options}
        if "log_config" in options:
            self._given["log_config"] = held(options["log_config"])
        self.checked: Loaded = _Programmed.of(self, self._given)
        """The settings with the source of each, and the warnings."""
        self.loaded = False
        """Whether ``load`` was called."""
        self.loaded_app: Any = None
        """The application, adapted to ASGI 3, once loaded."""
        self.ssl: ssl.SSLContext | None = None
        """The TLS context, once loaded. A program may put its own here."""
        self.configure_logging()
        if not self.for_arbiter:  # else the workers do it
            from asgi_arbiter.config.envfile import load_environment

            load_environment(self.settings)

    # Settings

    @property
    def settings(self) -> Settings:
        """The frozen settings that the server works with."""
        return self.checked.config

    def __getattr__(self, name: str) -> Any:
        given = self.__dict__.get("_given")
        if given is None or name.startswith("__"):
            raise AttributeError(name)
        if name in _LIVE:
            return _LIVE[name] if given.get(name) is None else given[name]
        if name in ADDRESS_PARTS:
            return _address_part(self.settings, name)
        setting = names().get(name)
        if setting is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return given[name] if setting in _AS_GIVEN and name in given else getattr(self.settings, setting)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "log_config":
            value = held(value)
        setting = names().get(name, name)
        if setting != "app" and name not in _LIVE and name not in ADDRESS_PARTS and name not in names():
            object.__setattr__(self, name, value)
            return
        rest = {word: old for word, old in self._given.items() if names().get(word, word) != setting}
        if name in ADDRESS_PARTS:
            rest.pop("bind", None)
        changed = {**rest, name: value}
        self.checked = _Programmed.of(self, changed)
        self._given = changed

    @property
    def is_ssl(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.ssl or self.settings.speaks_tls)

    @property
    def should_reload(self) -> bool:
        """Whether changed files start new workers; ``run`` does that, ``Server`` does not."""
        return isinstance(self.app, str) and self.settings.reload

    @property
    def use_subprocess(self) -> bool:
        """Whether ``run`` starts worker processes."""
        return self.settings.reload or self.settings.workers > 1

    @property
    def asgi_version(self) -> str:
        """The version of the interface to the application, ``"3.0"`` if that is still to be found out."""
        return "2.0" if self.settings.interface == "asgi2" else "3.0"

    @property
    def encoded_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that each response has, but for the date."""
        pairs = (text.partition(":") for text in self.settings.headers)
        given = [(name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, _, value in pairs]
        if not self.settings.server_header or any(name == b"server" for name, _ in given):
            return given
        return [(b"server", b"asgi-arbiter"), *given]

    @property
    def for_arbiter(self) -> tuple[str, ...]:
        """The given settings that only worker processes under an arbiter can have, as ``workers=4``."""
        settings, default = self.settings, type(self.settings)()
        wanted = {"chdir", "preload_app"} | {
            name for name, option in options().items() if option.section in _ARBITERS
        } - {"ssl_context"}
        found = [name for name in sorted(wanted) if getattr(settings, name) != getattr(default, name)]
        numbers = [f"workers={settings.workers}"] if settings.workers > 1 else []
        return (*numbers, *(["reload"] if settings.reload else []), *found)

    # What uvicorn's has as methods

    def configure_logging(self) -> None:
        """Set up our loggers as the settings say. Does nothing with ``log_config=None``."""
        if not self.leaves_logging_alone:
            from asgi_arbiter.config import logs

            logs.configure(self.settings, identity=f"server pid={os.getpid()}")

    @property
    def leaves_logging_alone(self) -> bool:
        """Whether the program has its own configuration of logging."""
        return "log_config" in self._given and self._given["log_config"] is None

    def load(self) -> None:
        """Import the application and make the TLS context. Repeating it does nothing.

        Raises:
            AppImportError: the application cannot be imported; ``traceback_text`` has the user's traceback.
            ConfigError: a certificate or a key cannot be used.
        """
        if self.loaded:
            return
        from asgi_arbiter.config.tls import server_context

        self.loaded_app = self.load_app()
        self.ssl = self.ssl or server_context(self.settings)
        self.loaded = True

    def load_app(self) -> Any:
        """Import the application and return it adapted to ASGI 3. Raises ``AppImportError``."""
        from asgi_arbiter.config.importer import load_application, prepare_path

        if self.settings.app_dir or self.settings.pythonpath:  # else the program's own path holds, as in uvicorn
            prepare_path(self.settings)
        return load_application(self.settings)

    def read_certificates(self) -> ssl.SSLContext:
        """Make the TLS context anew, from the files as they are now.

        Raises:
            ConfigError: something is wrong with them, or there are none; ``ssl`` stays as it is.
        """
        from asgi_arbiter.config.tls import server_context

        fresh = server_context(self.settings)
        if fresh is None:
            raise InvalidSetting("certfile: there are no certificates to be read, it is not set")
        self.ssl = fresh
        return fresh

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """The function that makes the event loop."""
        from asgi_arbiter.worker import loops

        return loops.factory(self.settings.loop)

    def setup_event_loop(self) -> None:
        """Nothing: the loop is chosen by who starts it. Older programs call it."""

    def bind_socket(self) -> socket.socket:
        """A listening socket for ``Server.run(sockets=[...])``; a program that forks may share it.

        Raises:
            BindError: it cannot be opened.
        """
        from asgi_arbiter.worker import Listener

        opened = Listener.bind(self.settings.addresses[0], self.settings).socket
        opened.set_inheritable(True)
        return opened


class _Programmed(Loaded):
    """Settings of a program. A reload has the program's own words again, and the environment of now."""

    program: Config

    @classmethod
    def of(cls, program: Config, given: Mapping[str, Any]) -> _Programmed:
        words = {name: value for name, value in given.items() if name not in _LIVE}
        objects: dict[str, Any] = {}
        if not isinstance(words["app"], str):
            objects["app"] = words.pop("app")
        if "log_config" in words:
            take_log_config(words, objects)
        elif changed := changed_logging():
            objects["log_config"] = changed
        if given.get("ssl_context_factory") is not None:
            objects["ssl_context"] = _factory(program, given["ssl_context_factory"])
        words = {name: spoken(name, value) for name, value in words.items()}
        try:
            loaded = configure(words)
        except UnknownSetting as error:
            raise UnknownKeyword(str(error)) from None
        config = replace(loaded.config, **objects)
        return cls(config, loaded.sources, loaded.warnings, loaded.notices, loaded.invocation, program)

    def reload(self) -> Loaded:
        return _Programmed.of(self.program, self.program._given)


def _factory(program: Config, factory: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    """uvicorn's function for a TLS context, which wants the ``Config`` of the program."""

    def ssl_context_factory(_settings: Settings, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return factory(program, default)

    # Complaints about what it returns or raises call it by this name.
    ssl_context_factory.__qualname__ = getattr(factory, "__qualname__", type(factory).__qualname__)
    return ssl_context_factory


def _address_part(settings: Settings, name: str) -> Any:
    """uvicorn's four attributes for the one address; of several addresses the first."""
    address = settings.addresses[0]
    match name, address.kind:
        case "host", AddressKind.TCP:
            return address.host
        case "port", AddressKind.TCP:
            return address.port
        case "uds", AddressKind.UNIX:
            return address.path
        case "fd", AddressKind.FD:
            return address.fd
    return {"host": "127.0.0.1", "port": 8000}.get(name)
