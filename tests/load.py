"""Clients that never ask twice, for tests in which no request may fail: ``with Load(port, "/run/app.sock") as load: ...``.

Four habits, of which each thread has one: a kept connection that is always busy; a new connection for each request; a
kept connection with pauses, in which the server could believe that nobody comes back; a kept connection that posts.
A client lets go of a kept connection when the server announces its end, and only then. Whatever goes wrong is a failure
with its reason: a refused or reset connection, an end before the answer, a status other than 200.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from tests.integration.server_process import PATIENCE, eventually
from tests.integration.wire import Wire

__all__ = ["Load"]

_PAUSE = 0.003
_LONG_PAUSE = 0.3
_HABITS = ("kept", "new", "pausing", "posting")
_BODY = b"x" * 5000
_POST = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY


class Load:
    """Load from entering to leaving the block, where it is asserted that nothing failed."""

    def __init__(
        self,
        *targets: int | str,
        each: int = 4,
        until_refused: bool = False,
        may_fail: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``targets``: ports of 127.0.0.1 and paths of Unix sockets (``\\0name`` for an abstract one), with ``each`` so
        many clients. ``until_refused``: a refused connection is the end and no failure, since the server has been told
        to stop. ``may_fail``: the test looks at ``failures`` itself. ``tls``: of clients that ask for ``localhost``."""
        self.failures: list[str] = []
        self.answers: set[bytes] = set()
        """The different bodies that came in answer to a GET."""
        self.answered = 0
        self._until_refused, self._may_fail, self._tls = until_refused, may_fail, tls
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._forgotten = 0
        self._threads = [
            threading.Thread(target=self._live, args=(target, habit), daemon=True)
            for target in targets
            for habit in itertools.islice(itertools.cycle(_HABITS), each)
        ]

    def wait_more(self, requests: int = 50) -> None:
        """Wait until so many more requests were answered."""
        before = self.answered
        in_vain = lambda: self.failures and not self._may_fail  # noqa: E731
        eventually(lambda: in_vain() or self.answered >= before + requests, f"{requests} more answers")

    def forget(self) -> None:
        """``answers`` is of requests sent from now on."""
        with self._lock:
            self.answers.clear()
            self._forgotten += 1

    def wait(self) -> None:
        """Wait until all clients were refused."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a client still gets answers"

    def _live(self, target: int | str, habit: str) -> None:
        while not self._over.is_set():
            try:
                try:
                    wire = Wire(_encrypted(_connect(target), self._tls))
                except (ConnectionRefusedError, FileNotFoundError):
                    if self._until_refused:
                        return
                    raise
                with wire:
                    self._ask_on(wire, habit)
            except (OSError, AssertionError, ValueError) as error:
                with self._lock:
                    self.failures.append(f"{habit}: {error!r}")

    def _ask_on(self, wire: Wire, habit: str) -> None:
        """Requests on one connection, until the server or the habit ends it."""
        while not self._over.wait(_LONG_PAUSE if habit == "pausing" else _PAUSE):
            forgotten = self._forgotten
            if habit == "posting":
                response = wire.send(_POST).response()
                assert not response.body.startswith(b"x") or response.body == _BODY  # not every application echoes
            else:
                response = wire.get("/", *(("Connection: close",) if habit == "new" else ()))
            assert response.status == 200, response.status
            with self._lock:
                self.answered += 1
                if habit != "posting" and forgotten == self._forgotten:
                    self.answers.add(response.body)
            if response.header("connection") == "close":
                return

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        if kind is None and not self._may_fail:
            asked = self.answered + len(self.failures)
            assert not self.failures, f"{len(self.failures)} of {asked} requests failed: {self.failures[:5]}"


def _encrypted(sock: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    if tls is None:
        return sock
    try:
        return tls.wrap_socket(sock, server_hostname="localhost")
    except OSError:
        sock.close()
        raise


def _connect(target: int | str) -> socket.socket:
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target), timeout=PATIENCE)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    try:
        sock.connect(target)
    except OSError:
        sock.close()
        raise
    return sock
