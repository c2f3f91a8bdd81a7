"""One server process: started on its core, waited for, measured, stopped without fail."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from .environment import Environment
from .machine import cpu_seconds, family, leaves, on_cores
from .peers import Launch, Peer

__all__ = ["Server", "StartFailed", "free_port"]

APPLICATIONS = Path(__file__).parent / "applications"
START_LIMIT = 30.0
STOP_LIMIT = 8.0


class StartFailed(Exception):
    """The server did not answer in time or ended; the message has the end of its output."""


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running server. ``with Server(...) as server:`` starts it, waits for its first answer, and stops it."""

    def __init__(
        self,
        peer: Peer,
        launch: Launch,
        environment: Environment,
        cores: frozenset[int],
        log: Path,
        *,
        prefix: Sequence[str] = (),
        limit: float = START_LIMIT,
    ) -> None:
        self.peer = peer
        self.launch = launch
        self.port = launch.port
        self.log = log
        self.journal = log.with_suffix(".journal")
        self.journal.unlink(missing_ok=True)
        self.started = time.monotonic()
        self.limit = limit
        variables = {
            **os.environ,
            **peer.environment,
            "PYTHONPATH": str(APPLICATIONS),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONHASHSEED": "0",
            "BENCHMARK_JOURNAL": str(self.journal),
        }
        variables.pop("PYTHONSAFEPATH", None)
        with log.open("ab") as output, on_cores(cores):
            self.process = subprocess.Popen(
                [*prefix, str(environment.python), *peer.command(launch)],
                cwd=APPLICATIONS,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            self.wait_for_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for_answer(self) -> float:
        """Seconds from the start of the process to the first complete answer. Raises StartFailed."""
        while time.monotonic() - self.started < self.limit:
            if self.process.poll() is not None:
                raise StartFailed(f"{self.peer.name} ended with {self.process.returncode}: {self.complaint()}")
            try:
                with self.connect() as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: benchmark\r\nConnection: close\r\n\r\n")
                    if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                        return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.002)
        raise StartFailed(f"{self.peer.name} did not answer within {self.limit:.0f} s: {self.complaint()}")

    def connect(self, timeout: float = 5.0) -> socket.socket:
        """A connected client socket, over TLS where the server speaks it."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout)
        if self.launch.certificate is None:
            return connection
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(connection)

    def client(self, timeout: float = 10.0) -> http.client.HTTPConnection:
        """The standard library's HTTP client for this server (plain HTTP only)."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def cpu(self) -> float:
        """CPU seconds of all processes of the server so far."""
        total = 0.0
        for pid in family(self.pid):
            try:
                total += cpu_seconds(pid)
            except OSError:
                continue  # ended while we were looking
        return total

    def workers(self) -> list[int]:
        """The pids that serve requests."""
        return leaves(self.pid)

    def ready_workers(self) -> dict[int, float]:
        """From the journal: pid and monotonic time of every start-up that the application saw, oldest first."""
        if not self.journal.exists():
            return {}
        lines = self.journal.read_text().splitlines()
        return {int(pid): float(when) for pid, when in (line.split() for line in lines)}

    def complaint(self) -> str:
        """The end of what the server wrote."""
        return self.log.read_text(errors="replace")[-1500:].strip() or "(it wrote nothing)"

    def stop(self) -> None:
        """Ask with SIGTERM, then kill whatever is left of the family."""
        members = family(self.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            pass
        for pid in members:
            try:
                if os.getpgid(pid) == self.pid or os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # it left by itself
        self.process.wait()
