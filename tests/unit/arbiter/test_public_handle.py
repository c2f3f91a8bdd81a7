"""What a server is told and asked, without its life. (With it: ``test_public_server.py``.)"""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

from asgi_arbiter.arbiter.public_config import Config
from asgi_arbiter.arbiter.public_handle import LAST_WORDS, Handle


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application of a program."""


class Core:
    """Which orders came."""

    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.lifespan = self

    def begin_drain(self, reason: str) -> None:
        self.orders.append(reason)

    def abort(self) -> None:
        self.orders.append("abort")

    def hurry(self, seconds: float) -> None:
        self.orders.append(seconds)


def handle(core: Core | None = None, *, started: bool = False) -> Any:
    made: Any = Handle(Config(app, log_config=None))
    made._core, made.started = core, started
    return made


async def told(server: Any, **orders: bool) -> None:
    server._loop = asyncio.get_running_loop()
    for name, value in orders.items():
        setattr(server, name, value)
    await asyncio.sleep(0)


def test_orders_before_there_is_a_loop_are_remembered() -> None:
    server = handle()
    server.should_exit = server.force_exit = True
    assert (server.should_exit, server.force_exit) == (True, True)


@pytest.mark.parametrize(
    ("started", "orders", "obeyed"),
    [
        (False, {"should_exit": True}, ["shutdown"]),
        (True, {"should_exit": True}, []),
        (True, {"force_exit": True}, []),
        (True, {"should_exit": False, "force_exit": True}, []),
        (True, {"force_exit": True, "should_exit": True}, ["abort", LAST_WORDS]),
    ],
)
def test_an_order_is_obeyed_in_the_loop(started: bool, orders: dict[str, bool], obeyed: list[Any]) -> None:
    core = Core()
    server = handle(core, started=started)
    asyncio.run(told(server, **orders))
    assert core.orders == obeyed
    assert server._told.is_set() is server.should_exit


def test_an_order_after_the_end_of_the_loop_harms_nobody() -> None:
    core = Core()
    server = handle(core)
    asyncio.run(told(server))
    server.should_exit = True
    assert core.orders == []


@pytest.mark.parametrize(
    ("addresses", "port"),
    [
        ((), None),
        (("unix:/run/a.sock",), None),
        (("unix:/run/a.sock", "https://[::1]:8443", "http://127.0.0.1:80"), 8443),
    ],
)
def test_the_port_is_that_of_the_first_tcp_address(addresses: tuple[str, ...], port: int | None) -> None:
    server = handle()
    server.addresses = addresses
    assert server.port == port


def test_who_waits_learns_how_the_start_ended() -> None:
    good, bad = handle(), handle()
    good._outcome.set_result(None)
    bad._outcome.set_exception(RuntimeError("no"))
    good.block_until_started(0)
    asyncio.run(good.wait_started(1))
    with pytest.raises(RuntimeError, match="no"):
        bad.block_until_started(0)
    with pytest.raises(RuntimeError, match="no"):
        asyncio.run(bad.wait_started(1))


def test_before_the_start_there_is_nothing_to_tell() -> None:
    server = handle()
    assert server.snapshot is None
    assert server.server_state.total_requests == 0
    with pytest.raises(TimeoutError):
        server.block_until_started(0)


class Mine(Handle):
    """A subclass with a constructor and an attribute of its own."""

    def __init__(self, config: Config, name: str) -> None:
        super().__init__(config)
        self.name = name


@pytest.mark.parametrize("through", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy, copy.copy])
def test_a_server_can_be_handed_to_another_process_before_its_start(through: Any) -> None:
    one = Mine(Config("main:app", port=5, log_config=None), "mine")
    one.should_exit = True
    other = through(one)
    assert (other.name, other.should_exit, other.config.port) == ("mine", True, 5)
    assert other.server_state.total_requests == 0
    assert set(vars(other)) == set(vars(one))
    one._outcome.set_result(None)
    assert not other._outcome.done()
