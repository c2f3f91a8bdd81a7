"""The one table of servers: what is installed, in which version, and how each is started the same way.

Every server: loopback, access log off, uvloop where there is a choice, its own defaults otherwise. To measure another
version or another server, change this table and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["COMMON", "OURS", "PEERS", "REFERENCE", "Launch", "Peer", "arbiter"]

REFERENCE = "uvicorn"
"""The server that all ratios refer to."""
OURS = "asgi-arbiter"

COMMON = (
    "uvloop==0.23.0",
    "httptools==0.9.0",
    "h11==0.16.0",
    "websockets==17.4",
    "click==8.5.1",
    "psutil==7.2.2",
    "setproctitle==1.3.8",
    "fastapi==0.165.0",
)
"""What several servers share, pinned so that all of them run on the same libraries."""


@dataclass(frozen=True)
class Launch:
    """How one server is to be started: everything that may differ between workloads."""

    app: str
    port: int
    workers: int = 1
    certificate: Path | None = None
    """A PEM file with certificate and key: TLS when given."""
    preload: bool = False
    idle: bool = False
    """Thousands of idle connections follow: keep-alive of two minutes, and no limit below them."""


@dataclass(frozen=True)
class Peer:
    """One server: its pinned requirements and its command line."""

    name: str
    command: Callable[[Launch], list[str]]
    """Arguments of the Python interpreter."""
    requirements: tuple[str, ...] = ()
    preloads: bool = False
    reloads: bool = False
    """Whether SIGHUP replaces the workers."""
    note: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def _uvicorn(launch: Launch) -> list[str]:
    command = ["-m", "uvicorn", "--port", str(launch.port), "--no-access-log", "--log-level", "warning"]
    command += ["--loop", "uvloop", "--workers", str(launch.workers)]
    if launch.certificate:
        command += ["--ssl-certfile", str(launch.certificate), "--ssl-keyfile", str(launch.certificate)]
    if launch.idle:
        command += ["--timeout-keep-alive", "120"]
    return [*command, launch.app]


def _gunicorn(worker_class: str, *extra: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        arguments = ["-m", "gunicorn", "-k", worker_class, "-w", str(launch.workers), *extra]
        arguments += ["-b", f"127.0.0.1:{launch.port}", "--log-level", "warning", "--no-control-socket"]
        if launch.certificate:
            arguments += ["--certfile", str(launch.certificate), "--keyfile", str(launch.certificate)]
        if launch.idle:
            arguments += ["--keep-alive", "120", "--worker-connections", "20000", "--backlog", "8192"]
        if launch.preload:
            arguments.append("--preload")
        return [*arguments, launch.app]

    return command


def _granian(launch: Launch) -> list[str]:
    command = ["-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--port", str(launch.port)]
    command += ["--workers", str(launch.workers), "--no-access-log", "--log-level", "warning"]
    if launch.certificate:
        command += ["--ssl-certificate", str(launch.certificate), "--ssl-keyfile", str(launch.certificate)]
    if launch.idle:
        command += ["--backlog", "8192", "--backpressure", "20000", "--http1-header-read-timeout", "60000"]
    return [*command, launch.app]


def _hypercorn(launch: Launch) -> list[str]:
    command = ["-m", "hypercorn", "-k", "uvloop", "-w", str(launch.workers), "-b", f"127.0.0.1:{launch.port}"]
    command += ["--log-level", "warning"]
    if launch.certificate:
        command += ["--certfile", str(launch.certificate), "--keyfile", str(launch.certificate)]
    if launch.idle:
        command += ["--keep-alive", "120", "--backlog", "8192"]
    return [*command, launch.app]


def _h2corn(launch: Launch) -> list[str]:
    command = ["-m", "h2corn", "-b", f"127.0.0.1:{launch.port}", "-w", str(launch.workers), "--loop", "uvloop"]
    command += ["--no-access-log"]
    if launch.certificate:
        command += ["--certfile", str(launch.certificate), "--keyfile", str(launch.certificate)]
    if launch.idle:
        command += ["--backlog", "8192"]
    return [*command, launch.app]


def arbiter(http: str) -> Callable[[Launch], list[str]]:
    """Ours with one of its parsers: what else is installed beside it must not change what is measured."""

    def command(launch: Launch) -> list[str]:
        arguments = ["-m", "asgi_arbiter", "-w", str(launch.workers), "--bind", f"127.0.0.1:{launch.port}"]
        arguments += ["--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", http]
        if launch.certificate:
            arguments += ["--certfile", str(launch.certificate), "--keyfile", str(launch.certificate)]
        if launch.idle:
            arguments += ["--keep-alive", "120", "--backlog", "8192"]
        if launch.preload:
            arguments.append("--preload")
        return [*arguments, launch.app]

    return command


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("uvicorn", _uvicorn, ("uvicorn==0.54.0",), reloads=True),
        Peer(OURS, arbiter("httptools"), preloads=True, reloads=True, note="built from this checkout"),
        Peer(
            f"{OURS}-h1c",
            arbiter("h1c"),
            ("gunicorn_h1c==0.6.9",),
            preloads=True,
            reloads=True,
            note="the same with the parser of the extra h1c",
        ),
        Peer("granian", _granian, ("granian==2.8.7",), reloads=True),
        Peer(
            "gunicorn-asgi",
            _gunicorn("asgi", "--asgi-loop", "uvloop"),
            ("gunicorn==27.0.1", "gunicorn_h1c==0.6.9"),
            preloads=True,
            reloads=True,
            note="with its C parser",
        ),
        Peer(
            "gunicorn-uvicorn",
            _gunicorn("uvicorn_worker.UvicornWorker"),
            ("gunicorn==27.0.1", "uvicorn-worker==0.4.0"),
            preloads=True,
            reloads=True,
        ),
        Peer("h2corn", _h2corn, ("h2corn==2.0.0",), reloads=True),
        Peer("hypercorn", _hypercorn, ("hypercorn==0.18.0",)),
    )
}
