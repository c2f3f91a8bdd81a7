"""The log writer against real pipes, sockets, files and a full device."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_arbiter.config import channels, sinks
from asgi_arbiter.config.sinks import BACKLOG, Sink, open_path, open_stream

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc or /dev/full")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            pass


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except BlockingIOError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def refuse(descriptor: int) -> int:
    raise PermissionError(descriptor)


def fill(sink: Sink, line: bytes = b"x" * 99 + b"\n") -> int:
    """Write until a line is dropped; how many were accepted."""
    count = 0
    while not sink.lost:
        sink.write(line)
        count += 1
        assert count < 100_000
    return count - 1


def test_a_line_reaches_a_pipe(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    sink.write(b"hello\n")
    assert read_all(read) == b"hello\n"
    assert sink.lost_total == 0


@linux
def test_the_shared_description_of_an_inherited_pipe_stays_blocking(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    fill(sink)
    assert os.get_blocking(write)
    assert not os.get_blocking(sink.fileno())
    assert read


def test_a_full_pipe_keeps_lines_in_order_drops_beyond_the_backlog_and_says_so_later(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    number = 0
    while not sink.lost:
        sink.write(b"%08d %s\n" % (number, b"y" * 200))
        number += 1
    sink.write(b"also lost\n")
    assert sink.lost == 2
    received = b""
    while not sink.flush():
        received += read_all(read)
    received += read_all(read)
    kept = received.splitlines()
    assert [int(line[:8]) for line in kept] == list(range(number - 1))
    assert sum(map(len, kept)) > BACKLOG
    sink.write(b"back\n")
    assert read_all(read) == b"2 log lines were lost: the reader was too slow\nback\n"
    assert (sink.lost, sink.lost_total) == (0, 2)


def test_a_line_longer_than_the_pipe_is_finished_before_the_next(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    long = b"z" * 150_000 + b"\n"
    sink.write(long)
    sink.write(b"next\n")
    received = b""
    while not sink.flush():
        received += read_all(read)
    received += read_all(read)
    assert received == long + b"next\n"


def test_a_line_too_long_to_keep_ends_early_but_ends(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    sink.write(b"z" * (BACKLOG * 3) + b"\n")
    received = b""
    while not sink.flush():
        received += read_all(read)
    received += read_all(read)
    sink.write(b"next\n")
    received += read_all(read)
    assert received.endswith(b"z\nnext\n")
    assert received.count(b"\n") == 2


def test_a_closed_pipe_loses_lines_and_raises_nothing(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    os.close(read)
    for _ in range(3):
        sink.write(b"nobody reads this\n")
    assert sink.lost == sink.lost_total == 3


def test_lines_that_waited_for_a_reader_who_left_are_counted(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    accepted = fill(sink)
    os.close(read)
    assert sink.flush()
    assert 0 < sink.lost < accepted
    sink.write(b"more\n")
    assert sink.lost == sink.lost_total > 2000


def test_a_second_refusal_counts_each_line_once(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sink = open_stream(write)
    os.close(read)
    sink.write(b"one\n")
    sink.write(b"two\n    with a traceback\n    of two lines\n")
    sink.write(b"three\n")
    assert sink.lost == 3


@linux
def test_a_fifo_whose_reader_returns_hears_how_much_it_missed(tmp_path: Path) -> None:
    path = tmp_path / "log.fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = open_path(str(path))
    sink.write(b"one\n")
    os.close(reader)
    sink.write(b"two\n")
    sink.write(b"three\n")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink.write(b"four\n")
    assert read_all(reader).splitlines()[-2:] == [b"2 log lines were lost: the reader had gone away", b"four"]
    os.close(reader)


@linux
def test_a_fifo_without_a_reader_can_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "log.fifo"
    os.mkfifo(path)
    sink = open_path(str(path))
    sink.write(b"early\n")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert read_all(reader) == b"early\n"
    os.close(reader)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_full_socket_neither_blocks_nor_changes_its_flags(kind: socket.SocketKind) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left, right:
        sink = open_stream(left.fileno())
        sink.write(b"first\n")
        assert right.recv(100) == b"first\n"
        fill(sink)
        assert os.get_blocking(left.fileno())
        received = b""
        right.setblocking(False)
        while not sink.flush():
            received += right.recv(1 << 20)
        with contextlib.suppress(BlockingIOError):
            while True:
                received += right.recv(1 << 20)
        assert set(received.splitlines()) == {b"x" * 99}
        sink.close()


def test_a_closed_socket_raises_nothing() -> None:
    left, right = socket.socketpair()
    sink = open_stream(left.fileno())
    right.close()
    sink.write(b"one\n")
    sink.write(b"two\n")
    assert sink.lost == 2
    left.close()
    sink.close()


@linux
def test_a_full_disk_keeps_then_drops_then_reports() -> None:
    sink = open_path("/dev/full")
    accepted = fill(sink)
    assert accepted * 100 <= BACKLOG
    sink.path = os.devnull
    assert sink.reopen() is None
    read, write = os.pipe()
    os.dup2(write, sink.fileno())
    sink.write(b"room again\n")
    assert read_all(read).endswith(b"1 log line was lost: no space was left on the device\nroom again\n")
    os.close(read)
    os.close(write)


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\n")
    sink = open_path(str(path))
    sink.write(b"new\n")
    assert path.read_bytes() == b"old\nnew\n"


def test_an_open_file_follows_its_path_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    sink = open_path(str(path))
    sink.write(b"before\n")
    path.rename(tmp_path / "a.log.1")
    sink.write(b"still the old one\n")
    assert sink.reopen() is None
    sink.write(b"after\n")
    assert (tmp_path / "a.log.1").read_bytes() == b"before\nstill the old one\n"
    assert path.read_bytes() == b"after\n"


def test_a_relative_path_is_reopened_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = open_path("a.log")
    monkeypatch.chdir("/")
    (tmp_path / "a.log").unlink()
    assert sink.reopen() is None
    assert (tmp_path / "a.log").exists()


def test_the_old_file_stays_in_use_when_the_path_cannot_be_opened_again(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = open_path(str(folder / "a.log"))
    folder.rename(tmp_path / "moved")
    problem = sink.reopen()
    assert isinstance(problem, FileNotFoundError)
    sink.write(b"line\n")
    assert (tmp_path / "moved" / "a.log").read_bytes() == b"line\n"


def test_a_stream_that_is_closed_from_the_start_is_a_sink_that_drops() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    sink = open_stream(write)
    sink.write(b"line\n")
    assert sink.lost == 1
    assert not sink.isatty()
    sink.close()


def test_no_log_gets_the_number_of_a_closed_standard_stream(tmp_path: Path, pipe: tuple[int, int]) -> None:
    saved = os.dup(0)
    os.close(0)
    try:
        sinks_made = [open_stream(pipe[1]), open_path(str(tmp_path / "a.log"))]
        assert all(sink.fileno() > 2 for sink in sinks_made)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def test_a_sink_that_was_closed_drops_and_raises_nothing(tmp_path: Path) -> None:
    sink = open_path(str(tmp_path / "a.log"))
    sink.close()
    sink.write(b"line\n")
    sink.close()
    assert sink.lost == 1
    assert sink.flush()


def test_dev_stderr_by_name_is_the_descriptor_and_not_an_opened_file(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        sink = open_path(f"/dev/fd/{file.fileno()}")
        sink.write(b"one\n")
        os.write(file.fileno(), b"two\n")
        sink.write(b"three\n")
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\nthree\n"


def test_where_a_pipe_cannot_be_opened_again_it_is_polled(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = pipe
    monkeypatch.setattr(channels, "_open_again", refuse)
    sink = open_stream(write)
    assert os.get_blocking(sink.fileno())
    accepted = fill(sink)  # would hang if a write could block
    received = b""
    while not sink.flush():
        received += read_all(read)
    os.set_blocking(read, False)
    received += read_all(read)
    assert received == (b"x" * 99 + b"\n") * accepted


def test_a_forked_child_does_not_write_what_its_parent_kept(pipe: tuple[int, int]) -> None:
    _, write = pipe
    sink = open_stream(write)
    fill(sink)
    assert not sink.flush()
    sink._lock.acquire()
    sinks._start_afresh_in_child()
    assert sink.flush()
    assert sink.lost == 0
    assert sink._lock.acquire(blocking=False)


def test_a_descriptor_is_not_inherited_by_programs(tmp_path: Path) -> None:
    sink = open_path(str(tmp_path / "a.log"))
    assert fcntl.fcntl(sink.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_file_can_be_given_to_another_user_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda fd, uid, gid: given.append((fd, uid, gid)))
    sink = open_path(str(tmp_path / "log"))
    sink.give_to(4711, 4712)
    assert given == [(sink.fileno(), 4711, 4712)]
    open_path("/dev/null").give_to(4711, 4712)
    sink.close()
    sink.give_to(4711, 4712)
    assert len(given) == 1
