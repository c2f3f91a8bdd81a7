"""Sockets of an embedded server. (Served by one: ``tests/integration/test_embedded.py``.)"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from asgi_arbiter.arbiter.public_sockets import BoundServer, opened, urls
from asgi_arbiter.config import BindError, Config


def open_descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))


def test_the_sockets_of_the_program_replace_the_settings() -> None:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        [listener] = opened([made], Config(bind=("192.0.2.1:1",)))
        assert listener.socket is made
    assert opened([], Config(bind=("192.0.2.1:1",))) == []


def test_a_descriptor_is_copied(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(short_path / "x"))
        [listener] = opened(None, Config(bind=(f"fd://{made.fileno()}",)))
        assert listener.fileno() != made.fileno()
        assert urls([listener], encrypted=False) == (f"unix:{short_path / 'x'}",)
        listener.close()
        assert made.fileno() >= 0


def test_a_failure_leaves_nothing_open(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        before = open_descriptors()
        for bad in (f"fd://{file.fileno()}", "fd://9999", "192.0.2.1:1"):
            with pytest.raises(BindError):
                opened(None, Config(bind=("127.0.0.1:0", bad)))
            assert open_descriptors() == before
        assert not file.closed
    closed = socket.socket()
    closed.close()
    with pytest.raises(BindError):
        opened([closed], Config())


def test_addresses_are_written_as_a_client_writes_them() -> None:
    [listener] = opened(None, Config(bind=("127.0.0.1:0",)))
    port = listener.socket.getsockname()[1]
    assert urls([listener], encrypted=True) == (f"https://127.0.0.1:{port}",)
    bound = BoundServer(listener)
    assert bound.is_serving()
    assert bound.sockets == (listener.socket,)
    listener.close()
    assert not bound.is_serving()
    assert bound.sockets == ()
