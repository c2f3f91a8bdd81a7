"""Which way of writing is chosen for which kind of descriptor."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from asgi_arbiter.config import channels
from asgi_arbiter.config.channels import Closed, for_descriptor, for_path


def test_a_regular_file_is_taken_as_it_is(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "a", os.O_CREAT | os.O_WRONLY)
    channel = for_descriptor(descriptor)
    assert channel.fileno() == descriptor
    assert os.get_blocking(descriptor)
    channel.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_pipe_is_opened_again_and_the_given_descriptor_closed() -> None:
    read, write = os.pipe()
    channel = for_descriptor(os.dup(write))
    assert not os.get_blocking(channel.fileno())
    assert os.get_blocking(write)
    assert channel.send(b"x") == 1
    assert os.read(read, 10) == b"x"
    channel.close()
    os.close(write)
    assert os.read(read, 10) == b""
    os.close(read)


def test_a_polled_pipe_takes_no_more_than_surely_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> int:
        raise FileNotFoundError(descriptor)

    monkeypatch.setattr(channels, "_open_again", refuse)
    read, write = os.pipe()
    channel = for_descriptor(write)
    assert 0 < channel.send(b"x" * 100_000) <= channel.chunk
    with pytest.raises(BlockingIOError):
        while True:
            channel.send(b"x" * 100_000)
    channel.close()
    os.close(read)


def test_a_socket_raises_in_place_of_blocking() -> None:
    left, right = socket.socketpair()
    with left, right:
        channel = for_descriptor(os.dup(left.fileno()))
        with pytest.raises(BlockingIOError):
            while True:
                channel.send(b"x" * 65536)
        assert os.get_blocking(left.fileno())
        channel.close()


def test_a_datagram_socket_gets_one_line_at_a_time() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        channel = for_descriptor(os.dup(left.fileno()))
        assert channel.chunk == 0
        channel.close()


def test_a_path_is_made_and_appended_to_and_not_readable_by_programs_we_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    channel = for_path(str(path))
    channel.send(b"one\n")
    other = for_path(str(path))
    other.send(b"two\n")
    channel.send(b"three\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert not os.get_inheritable(channel.fileno())
    channel.close()
    other.close()


def test_a_directory_is_no_log_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        for_path(str(tmp_path))


def test_names_of_standard_streams_are_descriptors() -> None:
    assert channels._descriptor_named("/dev/stdout") == 1
    assert channels._descriptor_named("/dev/stderr") == 2
    assert channels._descriptor_named("/proc/self/fd/7") == 7
    assert channels._descriptor_named("/dev/fd/x") is None
    assert channels._descriptor_named("/var/log/stdout") is None


def test_a_closed_channel_refuses() -> None:
    channel = Closed()
    with pytest.raises(OSError, match="closed"):
        channel.send(b"x")
    assert channel.fileno() == -1
    channel.close()
