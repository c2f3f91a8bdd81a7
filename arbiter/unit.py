"""``asgi-arbiter generate-unit``: a systemd unit for exactly this program, directory, user and options.

What the files in ``systemd/`` have for anybody, with the paths filled in and fitted to the systemd of this machine. Only
text is made; nothing is installed. The options are checked as if the service started, so that a unit that is printed is
one that works; they stand in it as they were given.
"""

from __future__ import annotations

import math
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from asgi_arbiter.config import Config
from asgi_arbiter.config.address import Address, AddressKind
from asgi_arbiter.config.cli import parse
from asgi_arbiter.config.errors import ConfigError, ConflictingSettings
from asgi_arbiter.config.sources import Loaded, load

__all__ = ["USAGE", "generate", "quoted", "systemd_version"]

USAGE = """\
Usage: asgi-arbiter generate-unit [--socket] [OPTIONS] APP

Print a systemd service for APP with this program, directory, user and OPTIONS, or with --socket the socket unit that
opens its addresses. From nothing to running:

  asgi-arbiter generate-unit --workers auto main:app | sudo tee /etc/systemd/system/shop.service
  sudo systemctl daemon-reload && sudo systemctl enable --now shop.service
"""
_NOTIFY_RELOAD = 253
"""The first systemd with Type=notify-reload (systemd.service(5)); an older one would take the unit for Type=simple."""
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")
_MARGIN = 10.0
"""Seconds that the service manager waits beyond our own limits."""


def generate(words: Sequence[str]) -> tuple[str, Loaded]:
    """The unit that ``words`` (the command line behind ``generate-unit``) ask for, and the settings behind it.

    Raises:
        ConfigError: the options are wrong, or make no sense under systemd.
    """
    options = [word for word in words if word != "--socket"]
    line = parse(options)
    loaded = load(line.values, config_file=line.config_file)
    config = loaded.config
    if not config.app:
        raise ConfigError("APP is missing; name the application, as in: asgi-arbiter generate-unit main:app")
    if config.daemon:
        raise ConflictingSettings("daemon: systemd keeps the service in the background itself; leave it out")
    lines = _socket(config) if len(options) < len(words) else _service(config, options)
    return "\n".join(lines) + "\n", loaded


def systemd_version() -> int:
    """The version of this machine's systemd; 0 if it has none."""
    tool = shutil.which("systemctl")
    if tool is None:
        return 0
    try:
        said = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else 0


def quoted(word: str) -> str:
    """A word of a command line as systemd reads it back (systemd.service(5), "Command lines").

    >>> quoted("100%"), quoted("a b")
    ('100%%', '"a b"')
    """
    word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    if word and not re.search(r"""[\s"';]""", word):
        return word
    return '"' + word.replace('"', '\\"') + '"'


# --- the service ------------------------------------------------------------------------------------------------------


def _service(config: Config, options: list[str]) -> list[str]:
    name = _name(config)
    return [
        f"# /etc/systemd/system/{name}.service",
        "[Unit]",
        f"Description={_plain(config.proc_name or config.app)} under asgi-arbiter",
        "After=network.target",
        "",
        "[Service]",
        *_kind(),
        *_identity(config),
        f"WorkingDirectory={_path(Path.cwd())}",
        f"EnvironmentFile=-/etc/default/{name}",
        f"ExecStart={' '.join(quoted(word) for word in [*_program(), *options])}",
        "",
        "# SIGTERM goes to the arbiter alone: it tells its workers, waits for their requests, and leaves.",
        "KillMode=mixed",
        f"TimeoutStartSec={_limit(config.boot_timeout)}",
        f"TimeoutStopSec={_limit(config.drain_delay + config.graceful_timeout + config.kill_timeout)}",
        "Restart=on-failure",
        "RestartSec=1",
        "# Wrong settings (exit code 2) do not mend by themselves.",
        "RestartPreventExitStatus=2",
        "# The arbiter gives signs of life only while the service really serves.",
        "WatchdogSec=30",
        "LimitNOFILE=65536",
        "",
        *_hardening(config),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _program() -> list[str]:
    python = Path(os.path.abspath(sys.executable))  # not resolved: the link is what makes it a virtual environment's
    script = python.with_name("asgi-arbiter")
    return [str(script)] if os.access(script, os.X_OK) else [str(python), "-m", "asgi_arbiter"]


def _kind() -> list[str]:
    version = systemd_version()
    if version >= _NOTIFY_RELOAD:
        return [
            "# `systemctl reload` sends SIGHUP and waits for the outcome.",
            "Type=notify-reload",
            "NotifyAccess=main",
        ]
    return [
        "# From systemd 253 on, Type=notify-reload makes `systemctl reload` wait for the outcome; ExecReload then goes.",
        "Type=notify",
        "NotifyAccess=main",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ]


def _identity(config: Config) -> list[str]:
    user = config.user or _current_user()
    lines = [f"User={_plain(user)}"]
    if config.group:
        lines.append(f"Group={_plain(config.group)}")
    if user in ("root", "0"):
        lines.insert(0, "# Written by root; give it a user of its own, here or with --user.")
    return lines


def _current_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _limit(seconds: float) -> str:
    return f"{math.ceil(seconds + _MARGIN)}" if seconds > 0 else "infinity"


def _hardening(config: Config) -> list[str]:
    """What a web application rarely needs is taken away, as far as the paths of this one allow."""
    places = {Path.cwd(), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    at_home = any(_is_below(place, _HOMES) for place in places)
    temporary = any(_is_below(place, _TEMPORARY) for place in places)
    low = [a for a in config.addresses if a.kind is AddressKind.TCP and 0 < a.port < 1024]
    capability = "CAP_NET_BIND_SERVICE" if low else ""
    written = " ".join(quoted(str(path)) for path in _written(config))
    return [
        "# The file system is read-only for it, but for what stands here; add what your application writes to.",
        f"ReadWritePaths={written}" if written else "#ReadWritePaths=/var/lib/your-application",
        "ProtectSystem=strict",
        f"ProtectHome={'read-only' if at_home else 'yes'}",
        *([] if temporary else ["PrivateTmp=yes"]),
        *(["# For a port below 1024; with the socket unit both lines can be empty."] if low else []),
        *([f"AmbientCapabilities={capability}"] if low else []),
        f"CapabilityBoundingSet={capability}",
        *_FIXED,
    ]


_FIXED = (
    "NoNewPrivileges=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "RemoveIPC=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
    "UMask=0027",
)
"""The same in ``systemd/*.service``; a test compares them."""


def _written(config: Config) -> list[Path]:
    """The directories that the settings let the server itself write to."""
    files = [config.pidfile, config.error_logfile, config.access_logfile]
    files += [address.path for address in config.addresses if address.kind is AddressKind.UNIX]
    paths = [Path.cwd() / config.chdir / file for file in files if file not in ("", "-") and not file.startswith("@")]
    return sorted({path.parent for path in paths if not _is_below(path.parent, ("/dev", "/proc"))})


def _is_below(path: Path, roots: Iterable[str]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


# --- the socket -------------------------------------------------------------------------------------------------------


def _socket(config: Config) -> list[str]:
    name = _name(config)
    addresses = config.addresses
    mode = 0o666 if config.uds_permissions is None else config.uds_permissions
    unix = [f"SocketMode=0{mode:o}"] if any(a.kind is AddressKind.UNIX for a in addresses) else []
    user, _, group = config.uds_owner.partition(":")
    return [
        f"# /etc/systemd/system/{name}.socket",
        "# systemd opens the addresses and keeps them while the service restarts: connections wait instead of being",
        "# refused, and the service needs no privilege for a port below 1024.",
        "[Unit]",
        f"Description=Socket of {_plain(config.proc_name or config.app)}",
        "",
        "[Socket]",
        *(f"ListenStream={_stream(address)}" for address in addresses),
        "BindIPv6Only=ipv6-only",
        f"Backlog={config.backlog}",
        "NoDelay=yes",
        *unix,
        *([f"SocketUser={_plain(user)}"] if user else []),
        *([f"SocketGroup={_plain(group)}"] if group else []),
        "",
        "[Install]",
        "WantedBy=sockets.target",
    ]


def _stream(address: Address) -> str:
    if address.kind is AddressKind.UNIX:
        path = address.path if address.path.startswith("@") else str(Path.cwd() / address.path)
        return path.replace("%", "%%")
    if address.kind is AddressKind.FD:
        raise ConflictingSettings(f"bind: {address} is a descriptor, which systemd cannot open; name the address")
    host = {"": "0.0.0.0", "*": "0.0.0.0", "localhost": "127.0.0.1"}.get(address.host, address.host)
    if ":" in host:
        return f"[{host}]:{address.port}"
    if not re.fullmatch(r"[\d.]+", host):
        raise ConflictingSettings(f"bind: systemd opens IP addresses and no names such as {host}")
    return f"{host}:{address.port}"


# --- words ------------------------------------------------------------------------------------------------------------


def _name(config: Config) -> str:
    """A file name for the unit: what the process is called, or else its directory."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", config.proc_name or Path.cwd().name).strip("-.")
    return slug or "asgi-arbiter"


def _plain(text: str) -> str:
    return text.replace("%", "%%").replace("\n", " ")


def _path(path: Path) -> str:
    return str(path).replace("%", "%%")
