"""The files of Unix sockets: stale ones are replaced, living and foreign ones are left alone."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.config.address import Address, AddressKind
from asgi_arbiter.config.errors import BindError
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker.unix_sockets import file_of, inode_of, open_unix


def open_at(path: Path | str, **settings: Any) -> socket.socket:
    return open_unix(Address(AddressKind.UNIX, path=str(path)), Config(**settings))


@pytest.fixture
def path(socket_dir: Path) -> Path:
    return socket_dir / "s"


def test_everybody_may_connect_by_default(path: Path) -> None:
    with open_at(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_the_mode_is_what_the_settings_say_whatever_the_mask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        with open_at(path, uds_permissions=0o660):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(before)


@pytest.mark.parametrize("owner", ["{uid}", "{uid}:{gid}", ":{gid}"])
def test_the_owner_is_what_the_settings_say(path: Path, owner: str) -> None:
    text = owner.format(uid=os.getuid(), gid=os.getgid())
    with open_at(path, uds_owner=text):
        assert (path.stat().st_uid, path.stat().st_gid) == (os.getuid(), os.getgid())


@pytest.mark.parametrize(
    ("owner", "message"),
    [("no-such-user-xy", "there is no user 'no-such-user-xy'"), (":no-such-group-xy", "there is no group")],
)
def test_an_unknown_owner_is_one_line_and_leaves_no_file(path: Path, owner: str, message: str) -> None:
    with pytest.raises(BindError, match=message):
        open_at(path, uds_owner=owner)
    assert not path.exists()


def test_the_file_of_a_dead_server_is_replaced(path: Path) -> None:
    dead = open_at(path)
    dead.close()
    before = inode_of(str(path))
    assert before is not None
    with open_at(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_socket_of_a_living_server_is_left_alone(path: Path) -> None:
    with open_at(path) as living:
        with pytest.raises(BindError, match=r"in use by a living server; stop it first or choose another path$"):
            open_at(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            living.accept()[0].close()


def test_a_living_server_with_a_full_queue_is_still_living(path: Path) -> None:
    with open_at(path, backlog=0):
        clients = []
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            client.connect_ex(str(path))
            clients.append(client)
        with pytest.raises(BindError, match="living server"):
            open_at(path)
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("make", "kind"), [("write", "a regular file"), ("mkdir", "a directory"), ("link", "a symbolic link")]
)
def test_what_is_no_socket_is_never_removed(path: Path, make: str, kind: str) -> None:
    if make == "write":
        path.write_text("precious")
    elif make == "mkdir":
        path.mkdir()
    else:
        path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(BindError, match=f"the path exists and is {kind}, not a socket"):
        open_at(path)
    assert os.path.lexists(path)
    if make == "write":
        assert path.read_text() == "precious"


def test_a_datagram_socket_is_never_removed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(BindError, match="a socket of another type"):
            open_at(path)
        assert path.exists()


def test_a_missing_directory_is_one_line(socket_dir: Path) -> None:
    with pytest.raises(BindError, match=rf"the directory {socket_dir}/missing does not exist$"):
        open_at(socket_dir / "missing" / "s")


def test_a_path_that_is_too_long_says_how_long_it_may_be() -> None:
    with pytest.raises(BindError, match=r"at most 10[37] bytes, this one has 20\d"):
        open_at("/tmp/" + "x" * 200)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_not_writable_is_one_line(socket_dir: Path) -> None:
    socket_dir.chmod(0o500)
    with pytest.raises(BindError, match="permission denied; the directory"):
        open_at(socket_dir / "s")
    socket_dir.chmod(0o700)


def test_an_abstract_name_has_no_file() -> None:
    assert file_of(Address.unix("@name")) == ""
    assert file_of(Address.unix("/run/name")) == "/run/name"


def test_a_file_that_is_not_there_has_no_inode(path: Path) -> None:
    assert inode_of(str(path)) is None
