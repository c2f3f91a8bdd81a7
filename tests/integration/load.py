"""Load that counts every request which did not get its whole answer: ``with Load(connect) as load: ...``.

Half of the clients make a connection for each request; the other half keep theirs until the server says that it will
close, and never send a request twice. Whatever goes wrong is a failure with its reason: a refused or reset connection, an
end before the answer, a status other than 200.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .server_process import PATIENCE, eventually
from .wire import Wire

__all__ = ["Load", "tcp", "unix"]

Connect = Callable[[], socket.socket]


def tcp(port: int) -> Connect:
    """Connections to a port of this machine."""
    return lambda: socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def unix(path: str) -> Connect:
    """Connections to a Unix socket."""

    def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect(path)
        return sock

    return connect


class Load:
    """Clients in threads, from entering to leaving the context."""

    def __init__(self, *connects: Connect, clients: int = 2, path: str = "/") -> None:
        self.failures: list[str] = []
        self.answers: set[bytes] = set()
        """The different bodies that came."""
        self.count = 0
        self._path = path
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(connect, keeps), daemon=True)
            for connect in connects
            for keeps in (True, False)
            for _ in range(clients)
        ]

    def wait_more(self, requests: int = 50) -> None:
        """Wait until so many more requests were answered."""
        before = self.count
        eventually(lambda: self.failures or self.count >= before + requests, f"{requests} more answers")

    def _run(self, connect: Connect, keeps: bool) -> None:
        while not self._stop.is_set():
            try:
                with Wire(connect()) as wire:
                    while self._ask(wire, keeps) and not self._stop.is_set():
                        pass
            except (OSError, AssertionError, ValueError) as error:
                kind = "keep-alive" if keeps else "fresh"
                with self._lock:
                    self.failures.append(f"{kind}: {error!r}")

    def _ask(self, wire: Wire, keeps: bool) -> bool:
        """One request; whether the connection may be used again."""
        response = wire.get(self._path, *(() if keeps else ("Connection: close",)))
        assert response.status == 200, response.status
        with self._lock:
            self.count += 1
            self.answers.add(response.body)
        return response.header("connection") != "close"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        if kind is None:
            assert self.failures == [], f"{len(self.failures)} of {self.count} requests failed: {self.failures[:5]}"
