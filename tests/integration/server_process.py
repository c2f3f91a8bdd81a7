"""A real server process for tests: started as a user starts it, observed from outside, always reaped.

Rules:

* The command runs in a session of its own, so that everything it ever started can be found again, and with an
  environment from which nothing of the machine's own configuration leaks in.
* A test waits for events (a notification, a log line, an exit), never for an amount of time. Every wait is bounded
  by ``PATIENCE``; set ``TEST_PATIENCE=3`` for three times as much on a slow machine.
* When a server is closed, nothing of it may be left: no process, no listening port, no traceback in the log that the
  test did not ask for. Whatever is left is killed, and then the test fails.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Self, TypeVar

import httpx
import psutil

from .wire import Wire

__all__ = [
    "APPS",
    "COMMAND",
    "EXAMPLES",
    "PATIENCE",
    "SCRIPT",
    "TRUSTS_NOBODY",
    "Finished",
    "ServerProcess",
    "clean_environment",
    "eventually",
    "fetch",
    "free_port",
    "refuses",
    "run",
]

PATIENCE = 20.0 * float(os.environ.get("TEST_PATIENCE", "1"))
COMMAND: Sequence[str] = (sys.executable, "-P", "-m", "asgi_arbiter")
SCRIPT = Path(sys.executable).with_name("asgi-arbiter")
APPS = Path(__file__).parent / "apps"
EXAMPLES = Path(__file__).parents[2] / "examples"

# What would change the behaviour of the server under test if it came from the machine that runs the tests.
_FOREIGN = re.compile(
    r"ASGI_ARBITER_|UVICORN_|GUNICORN_|PYTHON|LISTEN_|COVERAGE|COV_"
    r"|(NOTIFY_SOCKET|WATCHDOG_USEC|WATCHDOG_PID|WEB_CONCURRENCY|PORT|FORWARDED_ALLOW_IPS|NO_COLOR|FORCE_COLOR)$"
)

TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

T = TypeVar("T")


def eventually(question: Callable[[], T], what: str, *, within: float = PATIENCE) -> T:
    """Ask until the answer is true and return it; fail with ``what`` when it never is."""
    deadline = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.01)
    return answer


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def refuses(port: int) -> bool:
    """Whether a connection to a port of 127.0.0.1 is refused. At the end of a drain it may also be left without an answer
    for a moment, and asking again would take the kernel a second."""
    with socket.socket() as sock:
        sock.settimeout(0.1)
        return sock.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a fresh login, so to speak, and ``extra``. Bytecode is not written: tests change
    modules within one second, which is the resolution by which Python tells that a cached file is stale."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}


def fetch(url: str, *, verify: ssl.SSLContext = TRUSTS_NOBODY) -> httpx.Response:
    """One GET on a connection of its own, for servers of which there is no ``ServerProcess``."""
    with httpx.Client(trust_env=False, timeout=PATIENCE, verify=verify) as client:
        return client.get(url)


class Finished:
    """What a command that ended by itself left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def text(self) -> str:
        return self.out + self.err

    def __str__(self) -> str:
        return f"<exit code {self.code}>\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def run(
    *arguments: str,
    cwd: Path = APPS,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    **options: Any,
) -> Finished:
    """Run the command until it ends by itself, as for a wrong option or an application that cannot be imported."""
    with ServerProcess(*arguments, cwd=cwd, env=env, command=command, wait=False, quiet=False, **options) as server:
        code = server.wait_exit()
        return Finished(code, server.out, server.err)


class ServerProcess:
    """The running command. A context manager; ``serve`` in ``tests/conftest.py`` is the same as a fixture."""

    alive: ClassVar[set[ServerProcess]] = set()
    """Servers not closed yet: their logs belong to the report of a test that fails meanwhile."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path = APPS,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        pass_fds: Sequence[int] = (),
        wait: bool = True,
        quiet: bool = True,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        **popen: Any,
    ) -> None:
        """``wait``: return when the server said READY=1. ``quiet``: a traceback in the log is a failure.
        ``stdout`` and ``stderr`` replace the files from which ``out``, ``err`` and ``log`` are read."""
        self.arguments = arguments
        self.quiet = quiet
        self.scheme = "https" if any(a.startswith(("--certfile", "--ssl-certfile")) for a in arguments) else "http"
        self.notifications: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="arbiter-"))  # short: it holds a Unix socket
        self.folder.chmod(0o755)
        self._ports: set[tuple[str, int]] = set()
        self._address: tuple[str, int] | None = None
        self._returncode_expected = False
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.bind(str(self.folder / "notify"))
        (self.folder / "notify").chmod(0o777)
        with (self.folder / "out").open("ab") as out, (self.folder / "err").open("ab") as err:
            self.process = subprocess.Popen(
                [*(command or COMMAND), *arguments],
                cwd=cwd,
                env=clean_environment({"NOTIFY_SOCKET": str(self.folder / "notify"), **(env or {})}),
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=err if stderr is None else stderr,
                start_new_session=True,
                **popen,
            )
        ServerProcess.alive.add(self)
        if wait:
            try:
                self.wait_notified("READY=1")
                self.addresses()
            except BaseException as error:
                log = self.log
                self._kill_all()
                self._clean_up()
                raise AssertionError(f"the server did not become ready: {error}\n{log}") from error

    # What it said.

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text(errors="replace")

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text(errors="replace")

    @property
    def log(self) -> str:
        """Everything that it wrote: stdout, then stderr."""
        return self.out + self.err

    def wait_log(self, pattern: str, *, count: int = 1) -> re.Match[str]:
        """Wait until ``pattern`` was logged ``count`` times; the last of these matches."""

        def found() -> re.Match[str] | None:
            matches = list(re.finditer(pattern, self.log))
            return matches[count - 1] if len(matches) >= count else None

        return eventually(found, f"/{pattern}/ in the log, {count} times")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event, with ``--log-format json``."""
        text = f"{self.out}\n{self.err}"  # the last line of either may be half there as yet
        lines = (json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}"))
        return [line for line in lines if line["event"] == name]

    def wait_event(self, name: str, *, count: int = 1) -> dict[str, Any]:
        """Wait for the line of the ``count``-th event of that name, with ``--log-format json``."""
        return eventually(lambda: self.events(name)[count - 1 :], f"event {name}, {count} times")[0]

    def wait_reloaded(self, *, count: int = 1) -> None:
        """Wait until the ``count``-th reload is promoted and the workers that it replaced have ended: they have been
        told to leave by then, but may still answer a connection that came at the same moment. Needs
        ``--log-format json``."""
        self.wait_event("reload_promoted", count=count)
        retired = {event["pid"] for event in self.events("worker_retired")}
        eventually(lambda: not retired & set(self.workers()), f"{retired} have ended")

    def wait_notified(self, line: str) -> None:
        """Wait until a line such as ``READY=1`` arrived on the notify socket; fails when the server ends instead."""
        self.wait_notified_like(re.escape(line))

    def wait_notified_like(self, pattern: str) -> None:
        """The same for a line that matches ``pattern``."""
        deadline, line = time.monotonic() + PATIENCE, pattern
        self._notify.settimeout(0.05)
        while not any(re.fullmatch(pattern, told) for told in self.notifications):
            ended = self.process.poll() is not None
            with contextlib.suppress(TimeoutError):
                self.notifications += self._notify.recv(65536).decode().splitlines()
                continue
            assert not ended, f"it ended with exit code {self.process.returncode} instead of saying {line}"
            assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {line} on the notify socket"

    # Where it listens.

    def addresses(self) -> list[tuple[str, int]]:
        """The TCP addresses on which the arbiter listens, as the kernel knows them."""
        connections = psutil.Process(self.pid).net_connections(kind="tcp")
        found = sorted((c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN)
        self._ports.update(found)
        self._address = found[0] if found else None
        return found

    @property
    def address(self) -> tuple[str, int]:
        """The first of them, asked for once: to ask takes long where there are many connections."""
        return self._address or self.addresses()[0]

    @property
    def port(self) -> int:
        return self.address[1]

    @property
    def base_url(self) -> str:
        host, port = self.address
        return f"{self.scheme}://[{host}]:{port}" if ":" in host else f"{self.scheme}://{host}:{port}"

    def client(self, **options: Any) -> httpx.Client:
        """A client with keep-alive, to be closed by the caller (``with server.client() as client``). It trusts no
        certificate unless it is told (``verify=context``): to load those of the machine takes longer than many a test."""
        own = {"base_url": self.base_url, "trust_env": False, "timeout": PATIENCE, "verify": TRUSTS_NOBODY}
        return httpx.Client(**{**own, **options})

    def get(self, path: str = "/", **options: Any) -> httpx.Response:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.get(path, **options)

    def wire(self) -> Wire:
        """A raw connection, for what no well-behaved client would send."""
        return self.wires(1)[0]

    def wires(self, count: int) -> list[Wire]:
        return [Wire(socket.create_connection(self.address, timeout=PATIENCE)) for _ in range(count)]

    # Who it is.

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[int]:
        """The living children of the arbiter, oldest first."""
        found = []
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.status() != psutil.STATUS_ZOMBIE:
                    found.append((child.create_time(), child.pid))
        return [pid for _, pid in sorted(found)]

    def wait_workers(self, count: int, *, without: Sequence[int] = ()) -> list[int]:
        """Wait until there are exactly ``count`` workers, none of them in ``without``."""

        def settled() -> list[int] | None:
            found = self.workers()
            return found if len(found) == count and not set(found) & set(without) else None

        return eventually(settled, f"{count} workers, none of {list(without)}")

    def left(self) -> list[int]:
        """Processes of this server's session that still run, whoever their parent is by now."""
        found = []
        for pid in psutil.pids():
            with contextlib.suppress(OSError, psutil.Error):
                if os.getsid(pid) == self.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    found.append(pid)
        return found

    # What happens to it.

    def signal(self, number: int) -> None:
        self._returncode_expected = True
        self.process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """As a terminal or systemd does it: to every process at once."""
        self._returncode_expected = True
        os.killpg(self.pid, number)

    def wait_exit(self) -> int:
        """Wait for the arbiter's own end; its exit code, negative after a signal that killed it."""
        self._returncode_expected = True
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {PATIENCE:g} s\n{self.log}") from None

    def close(self) -> None:
        """Stop it with SIGTERM if it still runs, and prove that it left nothing behind."""
        if self not in ServerProcess.alive:
            return
        trouble = []
        try:
            if self.process.poll() is None:
                self.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(PATIENCE)
            if self.process.returncode is None:
                trouble.append(f"did not end within {PATIENCE:g} s of SIGTERM")
            elif self.process.returncode != 0 and not self._returncode_expected:
                trouble.append(f"ended with exit code {self.process.returncode}")
            trouble += self._remains()
            if self.quiet and "Traceback (most recent call last)" in self.log:
                trouble.append("wrote a traceback to its log")
            log = self.log
        finally:
            self._kill_all()
            self._clean_up()
        assert not trouble, f"the server {' and '.join(trouble)}\n{log}"

    def _remains(self) -> list[str]:
        trouble = []
        try:
            eventually(lambda: not self.left(), "no process is left")
        except AssertionError:
            trouble.append(f"left processes behind: {self.left()}")
        for host, port in self._ports:
            try:
                eventually(lambda host=host, port=port: not self._holders(host, port), "the port is free", within=2.0)  # type: ignore[misc]
            except AssertionError:
                trouble.append(f"left {host}:{port} taken by {self._holders(host, port)}")
        return trouble

    def _holders(self, host: str, port: int) -> list[str]:
        """Who of this server, or who that cannot be seen, keeps others from listening there. The kernel gives a port that
        is free again to whoever asks for any, so that a server of another test may have it a moment later."""
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError as error:
                reason = str(error)
            else:
                return []
        pids = {c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port}
        return [
            f"{pid or 'nobody knows whom'} ({reason})" for pid in pids or {None} if pid is None or self._is_ours(pid)
        ]

    def _is_ours(self, pid: int) -> bool:
        """Of this server's session. Its environment does not tell: the title of a process is written over it."""
        try:
            return os.getsid(pid) == self.pid
        except ProcessLookupError:
            return True

    def _kill_all(self) -> None:
        for pid in [self.pid, *self.left()]:
            if pid != self.pid or self.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _clean_up(self) -> None:
        ServerProcess.alive.discard(self)
        self._notify.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        print(f"--- log of {' '.join(self.arguments)}\n{self.log}")
        with contextlib.suppress(AssertionError):  # the first failure is the one to report
            self.close()
