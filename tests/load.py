"""Clients that never retry, for tests in which no request may fail. Whatever goes wrong is counted.

Four habits, of which each thread has one: a kept connection that is always busy; a new connection for each request; a
kept connection with pauses, in which the server could believe that nobody comes back; a kept connection that posts.
A client lets go of a kept connection when the server announces its end, and only then.
"""

from __future__ import annotations

import http.client
import itertools
import threading
from typing import Self

from tests.integration.server_process import PATIENCE

__all__ = ["Load"]

_PAUSE = 0.003
_LONG_PAUSE = 0.3
_HABITS = ("kept", "new", "pausing", "posting")


class Load:
    """Load on 127.0.0.1 while the block runs. With ``until_refused`` a refused connection is the end and no failure:
    the server has been told to stop."""

    def __init__(self, port: int, *, threads: int = 4, until_refused: bool = False) -> None:
        self.port = port
        self.answered = 0
        self.failures: list[str] = []
        self._until_refused = until_refused
        self._over = threading.Event()
        habits = itertools.islice(itertools.cycle(_HABITS), threads)
        self._threads = [threading.Thread(target=self._ask, args=(habit,), daemon=True) for habit in habits]

    def _ask(self, habit: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self._over.wait(_LONG_PAUSE if habit == "pausing" else _PAUSE):
            try:
                if connection.sock is None:
                    try:
                        connection.connect()
                    except ConnectionRefusedError:
                        if self._until_refused:
                            return
                        raise
                self._once(connection, habit)
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(f"{habit}: {error!r}")
                connection.close()
        connection.close()

    def _once(self, connection: http.client.HTTPConnection, habit: str) -> None:
        if habit == "posting":
            connection.request("POST", "/echo", body=b"x" * 5000)
        else:
            connection.request("GET", "/", headers={"Connection": "close"} if habit == "new" else {})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200
        assert habit != "posting" or body == b"x" * 5000
        if response.will_close:
            connection.close()

    def wait(self) -> None:
        """Until all clients were refused."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a client still gets answers"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
