"""The set of listeners: opened once, kept while used, closed when nobody needs them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.arbiter.handover import Inheritance
from asgi_arbiter.arbiter.listeners import ListenerSet, activated, urls
from asgi_arbiter.config import Address, Config
from asgi_arbiter.config.errors import BindError
from asgi_arbiter.config.records import replace


class FakeListener:
    numbers = iter(range(10, 10_000))

    inherited = False

    def __init__(self, address: Address) -> None:
        self.name = str(address)
        self.number = next(self.numbers)
        self.closed = False

    def fileno(self) -> int:
        return self.number

    def close(self) -> None:
        self.closed = True


class Opened:
    """What was opened, and what cannot be."""

    def __init__(self, *impossible: str) -> None:
        self.all: dict[str, FakeListener] = {}
        self.impossible = impossible

    def bind(self, address: Address, config: Config) -> Any:
        if str(address) in self.impossible:
            raise BindError(f"cannot listen on {address}")
        assert str(address) not in self.all or self.all[str(address)].closed, "opened twice"
        self.all[str(address)] = FakeListener(address)
        return self.all[str(address)]

    def set(self) -> ListenerSet:
        return ListenerSet(self.bind)

    def alive(self) -> list[str]:
        return [name for name, listener in self.all.items() if not listener.closed]


def config(*bind: str) -> Config:
    return Config(bind=bind)


A, B, C = "127.0.0.1:8001", "127.0.0.1:8002", "unix:/run/app.sock"


def test_each_address_is_opened_once_in_order() -> None:
    opened = Opened()
    listeners = opened.set().open(1, config(A, C, A))
    assert [listener.name for listener in listeners] == [A, C]


def test_a_reload_opens_what_is_new_and_keeps_the_rest() -> None:
    opened = Opened()
    listeners = opened.set()
    before = listeners.open(1, config(A, B))
    after = listeners.open(2, config(B, C))
    assert after[0] is before[1]
    assert opened.alive() == [A, B, C]
    listeners.keep(2)
    assert opened.alive() == [B, C]


def test_a_rejected_reload_closes_what_it_had_opened() -> None:
    opened = Opened()
    listeners = opened.set()
    listeners.open(1, config(A))
    listeners.open(2, config(A, B))
    listeners.keep(1)
    assert opened.alive() == [A]
    assert [listener.name for listener in listeners.of(1)] == [A]


def test_if_one_address_cannot_be_opened_no_new_one_is_kept() -> None:
    opened = Opened(C)
    listeners = opened.set()
    listeners.open(1, config(A))
    with pytest.raises(BindError):
        listeners.open(2, config(A, B, C))
    assert opened.alive() == [A]


def test_a_worker_closes_what_its_generation_does_not_use() -> None:
    opened = Opened()
    listeners = opened.set()
    listeners.open(1, config(A))
    listeners.open(2, config(B))
    assert listeners.others(2) == (opened.all[A].fileno(),)
    assert listeners.others(1) == (opened.all[B].fileno(),)


def test_a_child_that_serves_nobody_can_close_them_all() -> None:
    opened = Opened()
    listeners = opened.set()
    listeners.open(1, config(A))
    listeners.open(2, config(A, B))
    assert listeners.descriptors() == (opened.all[A].fileno(), opened.all[B].fileno())


def test_at_the_end_everything_is_closed_and_it_may_be_repeated() -> None:
    opened = Opened()
    listeners = opened.set()
    listeners.open(1, config(A, B))
    listeners.keep(None)
    listeners.keep(None)
    assert opened.alive() == []


def test_addresses_are_told_as_a_client_writes_them() -> None:
    opened = Opened()
    listeners = opened.set().open(1, config(A, C))
    assert urls(listeners, config(A, C)) == (f"http://{A}", C)
    assert urls(listeners, Config(certfile="cert.pem")) == (f"https://{A}", C)


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:admin"}, [(3, "web"), (4, "admin")]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"}, [(3, "web"), (4, "unknown")]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, [(3, "")]),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, []),
        ({"LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "many"}, []),
        ({}, []),
    ],
    ids=str,
)
def test_passed_sockets_are_ours_only_if_they_are_meant_for_us(
    variables: dict[str, str], found: list[tuple[int, str]]
) -> None:
    environ = {**variables, "OTHER": "kept"}
    assert activated(environ, 7) == found
    assert environ == {"OTHER": "kept"}


def test_passed_sockets_replace_the_addresses_and_are_released_at_the_end() -> None:
    import socket

    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        listeners = Opened().set()
        listeners.adopt([(passed.dup().detach(), "web")], config(A))
        assert listeners.is_activated
        (listener,) = listeners.open(1, config(A))
        assert listener.name.endswith(str(passed.getsockname()[1]))
        assert listeners.others(1) == ()
        listeners.keep(1)
        assert listeners.of(1) == (listener,)
        listeners.keep(None)
        assert listener.fileno() == -1


@pytest.fixture
def passed() -> Iterator[ListenerSet]:
    """Three sockets that the service manager has passed; two of them have the same name."""
    listeners = Opened().set()
    descriptors = []
    for name in ("web", "admin", "web"):
        with socket.create_server(("127.0.0.1", 0)) as made:
            descriptors.append((made.dup().detach(), name))
    listeners.adopt(descriptors, config(A))
    yield listeners
    listeners.keep(None)
    assert not listeners.is_activated


def test_an_address_may_mean_passed_sockets_by_their_name(passed: ListenerSet) -> None:
    web, admin, other = passed._adopted
    assert passed.open(1, config(A)) == (web, admin, other)
    assert passed.open(2, config("fd://web")) == (web, other)
    assert passed.unused(2) == ("admin",)
    assert passed.others(2) == (admin.fileno(),)
    mixed = passed.open(3, config(B, "fd://admin"))
    assert [mixed[0].name, mixed[1]] == [B, admin]


def test_passed_sockets_stay_open_for_the_reload_that_names_them(passed: ListenerSet) -> None:
    web, admin, other = passed._adopted
    passed.open(1, config("fd://web"))
    passed.open(2, config("fd://admin"))
    passed.keep(2)
    assert passed.of(2) == (admin,)
    assert passed.open(3, config(A)) == (web, admin, other)
    assert passed.open(4, config(B, "fd://web"))[1:] == (web, other)
    passed.keep(3)
    assert passed.of(3) == (web, admin, other)


def test_a_name_that_was_not_passed_is_told_with_those_that_were(passed: ListenerSet) -> None:
    with pytest.raises(BindError) as refused:
        passed.open(1, config(A, "fd://wep"))
    assert str(refused.value) == (
        "cannot listen on fd://wep: the service manager passed no socket of that name (passed: web, admin)"
    )
    with pytest.raises(BindError, match=r"\(passed: none\)"):
        Opened().set().open(1, config("fd://web"))


def test_a_successor_knows_passed_sockets_by_their_names(passed: ListenerSet) -> None:
    given = Inheritance(1, 0, (), tuple(os.dup(fd) for fd in passed.activated()), passed.names)
    successor = ListenerSet()
    successor.inherit(given, config("fd://admin"))
    (listener,) = successor.open(1, config("fd://admin"))
    assert listener.name == passed._adopted[1].name
    successor.keep(None)


# Upgrades


@pytest.fixture
def handed(short_path: Path) -> Iterator[tuple[ListenerSet, ListenerSet, Path]]:
    """The sets of an arbiter and of its successor, which shares a Unix socket and a TCP socket with it."""
    path = short_path / "app.sock"
    settings = Config(bind=(f"unix:{path}", "127.0.0.1:0"))
    old, new = ListenerSet(), ListenerSet()
    old.open(1, settings)
    passed = tuple(replace(each, fd=os.dup(each.fd)) for each in old.passed())
    new.inherit(Inheritance(1, 0, passed), settings)
    new.open(1, settings)
    yield old, new, path
    new.keep(None)
    old.keep(None)


def test_a_successor_listens_where_its_predecessor_does(handed: tuple[ListenerSet, ListenerSet, Path]) -> None:
    old, new, _ = handed
    assert [each.name for each in new.of(1)] == [each.name for each in old.of(1)]
    assert all(each.adopted for each in new.of(1))  # its workers must not close them to others


def test_a_successor_that_fails_leaves_the_socket_file(handed: tuple[ListenerSet, ListenerSet, Path]) -> None:
    old, new, path = handed
    new.keep(None)
    assert path.exists()
    old.keep(None)
    assert not path.exists()


def test_after_the_handover_only_the_successor_removes_the_file(handed: tuple[ListenerSet, ListenerSet, Path]) -> None:
    old, new, path = handed
    taken = new.own()
    assert set(taken) == {f"unix:{path}", "127.0.0.1:0"}
    old.hand_over(taken)
    assert path.exists() and old.descriptors() == ()
    assert not any(each.adopted for each in new.of(1))
    new.keep(None)
    assert not path.exists()


def test_what_the_successor_does_not_want_any_more_is_closed_and_removed(short_path: Path) -> None:
    path = short_path / "app.sock"
    old, new = ListenerSet(), ListenerSet()
    old.open(1, Config(bind=(f"unix:{path}",)))
    settings = Config(bind=("127.0.0.1:0",))
    new.inherit(Inheritance(1, 0, tuple(replace(each, fd=os.dup(each.fd)) for each in old.passed())), settings)
    new.open(1, settings)
    assert len(new.others(1)) == 1  # not for its workers
    taken = new.own()
    assert taken == () and new.others(1) == ()
    old.hand_over(taken)
    assert not path.exists()
    new.keep(None)


def test_sockets_of_the_service_manager_are_passed_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        new = ListenerSet()
        new.inherit(Inheritance(1, 0, (), (os.dup(server.fileno()),)), Config())
        assert new.is_activated and new.activated()
        new.keep(None)


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters")
def test_orphans_of_a_predecessor_cannot_close_what_a_successor_serves(
    handed: tuple[ListenerSet, ListenerSet, Path],
) -> None:
    old, new, _ = handed
    tcp = old.of(1)[1]
    tcp.refuse_new()
    new.own()
    new.reclaim()
    tcp.refuse_new()  # once more, by one that was late
    with socket.create_connection(tcp.socket.getsockname(), timeout=10):
        pass
