"""Listening sockets: TCP, adopted ones, and who removes what."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.config.address import Address
from asgi_arbiter.config.errors import BindError
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker.listener import Listener, socket_name


def open_tcp(text: str, **settings: Any) -> Listener:
    return Listener.bind(Address.parse(text), Config(**settings))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def test_port_0_takes_a_free_port_and_says_which() -> None:
    listener = open_tcp("127.0.0.1:0")
    port = listener.socket.getsockname()[1]
    assert port > 0
    assert listener.name == f"127.0.0.1:{port}"
    assert str(listener.address) == "127.0.0.1:0"
    listener.close()
    assert listener.fileno() == -1
    assert listener.name == "127.0.0.1:0"
    listener.close()


def test_a_listener_listens_does_not_block_and_stays_behind_at_exec() -> None:
    listener = open_tcp("127.0.0.1:0")
    assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not listener.socket.getblocking()
    assert not os.get_inheritable(listener.fileno())
    assert not listener.adopted
    listener.close()


def test_a_name_with_both_families_is_bound_as_ipv4() -> None:
    listener = open_tcp("localhost:0")
    assert listener.socket.family == socket.AF_INET
    listener.close()


def test_reuse_port_lets_two_listeners_have_one_port() -> None:
    first = open_tcp("127.0.0.1:0", reuse_port=True)
    second = open_tcp(first.name, reuse_port=True)
    assert second.name == first.name
    first.close()
    second.close()


@needs_ipv6
def test_ipv6_names_are_written_in_brackets() -> None:
    listener = open_tcp("[::1]:0")
    assert re.fullmatch(r"\[::1\]:\d+", listener.name)
    listener.close()


@needs_ipv6
def test_all_ipv6_interfaces_take_ipv4_clients_too() -> None:
    listener = open_tcp("[::]:0", bind=("[::]:0",))
    assert not listener.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    listener.close()


@needs_ipv6
def test_both_families_may_be_bound_to_the_same_port(free_port: int) -> None:
    binds = (f"0.0.0.0:{free_port}", f"[::]:{free_port}")
    listeners = [open_tcp(text, bind=binds) for text in binds]
    assert [listener.socket.family for listener in listeners] == [socket.AF_INET, socket.AF_INET6]
    for listener in listeners:
        listener.close()


def test_a_port_in_use_is_one_line_that_names_the_user_and_the_way_out() -> None:
    first = open_tcp("127.0.0.1:0")
    with pytest.raises(BindError) as caught:
        open_tcp(first.name)
    text = str(caught.value)
    assert text.startswith(f"cannot listen on {first.name}: address already in use")
    assert f"by pid {os.getpid()} (" in text
    assert "\n" not in text
    first.close()


def test_an_address_of_no_interface_is_one_line() -> None:
    with pytest.raises(
        BindError, match=r"^cannot listen on 192\.0\.2\.1:0: address not available; no network interface"
    ):
        open_tcp("192.0.2.1:0")


def test_a_name_that_does_not_resolve_is_one_line() -> None:
    with pytest.raises(BindError, match=r"the host name 'nowhere\.invalid' cannot be resolved$"):
        open_tcp("nowhere.invalid:80")


def test_closing_removes_the_socket_file(socket_dir: Path) -> None:
    path = socket_dir / "s"
    listener = Listener.bind(Address.unix(str(path)), Config())
    assert listener.name == f"unix:{path}"
    assert stat.S_ISSOCK(path.stat().st_mode)
    listener.close()
    assert not path.exists()


def test_releasing_leaves_the_socket_file(socket_dir: Path) -> None:
    path = socket_dir / "s"
    listener = Listener.bind(Address.unix(str(path)), Config())
    listener.release()
    listener.close()
    assert path.exists()


def test_a_file_that_was_replaced_meanwhile_is_not_removed(socket_dir: Path) -> None:
    path = socket_dir / "s"
    listener = Listener.bind(Address.unix(str(path)), Config())
    keeper = path.rename(socket_dir / "moved")  # keeps the inode from being given out again
    successor = Listener.bind(Address.unix(str(path)), Config())
    listener.close()
    assert path.exists()
    assert keeper.exists()
    successor.close()


def test_a_process_that_did_not_bind_does_not_remove(socket_dir: Path) -> None:
    path = socket_dir / "s"
    listener = Listener.bind(Address.unix(str(path)), Config())
    listener._owner += 1  # as after a fork
    listener.close()
    assert path.exists()


def test_an_abstract_name_leaves_no_file() -> None:
    name = f"@asgi-arbiter-test-{os.getpid()}"
    listener = Listener.bind(Address.unix(name), Config())
    assert listener.name == f"unix:{name}"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name[1:])
    with pytest.raises(BindError, match="address already in use; stop the other server"):
        Listener.bind(Address.unix(name), Config())
    listener.close()


def adopt(sock: socket.socket) -> Listener:
    return Listener.bind(Address.descriptor(sock.detach()), Config(backlog=7))


def test_a_bound_descriptor_is_made_to_listen() -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    listener = adopt(sock)
    assert listener.adopted
    assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert listener.socket.family == socket.AF_INET
    assert not os.get_inheritable(listener.fileno())
    listener.close()


def test_a_listening_descriptor_is_not_told_to_listen_again(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(socket_dir / "s"))
    sock.listen(1)
    monkeypatch.setattr(socket.socket, "listen", None)
    listener = adopt(sock)
    assert listener.socket.family == socket.AF_UNIX
    listener.close()
    assert (socket_dir / "s").exists()


def test_a_closed_descriptor_is_one_line() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(BindError, match=rf"^cannot listen on fd://{read}: descriptor {read} is not open"):
        Listener.bind(Address.descriptor(read), Config())


def test_a_descriptor_that_is_no_socket_is_one_line_and_stays_open() -> None:
    read, write = os.pipe()
    with pytest.raises(BindError, match="is not a socket"):
        Listener.bind(Address.descriptor(read), Config())
    os.fstat(read)
    os.close(read)
    os.close(write)


def test_a_datagram_socket_is_refused_and_stays_open() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(BindError, match="of type SOCK_DGRAM, a stream is needed"):
            Listener.bind(Address.descriptor(sock.fileno()), Config())
        sock.getsockname()


def test_an_open_connection_is_refused_and_stays_open() -> None:
    first, second = socket.socketpair()
    with first, second:
        with pytest.raises(BindError, match="an open connection, not a listening socket"):
            Listener.bind(Address.descriptor(first.fileno()), Config())
        first.send(b"x")
        assert second.recv(1) == b"x"


def test_refusing_new_connections_keeps_those_in_the_queue() -> None:
    listener = open_tcp("127.0.0.1:0")
    early = socket.create_connection(listener.socket.getsockname())
    listener.refuse_new()
    with socket.socket() as late:
        late.setblocking(False)
        assert late.connect_ex(listener.socket.getsockname()) == errno.EINPROGRESS
        connection, _ = listener.socket.accept()
        early.sendall(b"x")
        connection.settimeout(5)
        assert connection.recv(1) == b"x"
        with pytest.raises(BlockingIOError):
            listener.socket.accept()
    connection.close()
    early.close()
    listener.close()


def test_an_adopted_socket_goes_on_taking_connections_for_its_owner() -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    listener = adopt(sock)
    listener.refuse_new()
    client = socket.create_connection(listener.socket.getsockname(), timeout=5)
    client.close()
    listener.close()


def test_an_unnamed_socket_has_a_name_for_the_log() -> None:
    first, second = socket.socketpair()
    assert socket_name(first) == "unix:(unnamed)"
    first.close()
    second.close()


def test_a_socket_of_a_program_s_own_is_made_to_listen_and_closed_as_that_object() -> None:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    listener = Listener.over(made, backlog=5)
    with socket.create_connection(made.getsockname()):
        assert listener.socket is made
        assert listener.adopted
    listener.close()
    assert made.fileno() == -1
    with pytest.raises(BindError, match="a socket that is closed"):
        Listener.over(made)
