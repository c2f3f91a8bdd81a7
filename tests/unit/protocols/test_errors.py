"""What an application's exception says about its client."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.errors import ClientDisconnected, Refusal, is_departure


class ClientDisconnect(Exception):
    """As Starlette has it."""


def test_what_send_raises_says_that_the_client_left() -> None:
    assert is_departure(ClientDisconnected("gone"))
    assert is_departure(BrokenPipeError())


def test_what_a_framework_makes_of_it_says_the_same() -> None:
    assert is_departure(ClientDisconnect())


def test_a_group_says_it_if_all_its_members_do() -> None:
    gone = ClientDisconnected("gone")
    assert is_departure(ExceptionGroup("task group", [gone, ExceptionGroup("inner", [gone])]))
    assert not is_departure(ExceptionGroup("task group", [gone, KeyError("a mistake")]))


@pytest.mark.parametrize("mistake", [KeyError("a"), FileNotFoundError("b"), RuntimeError("c")])
def test_a_mistake_made_on_the_way_out_stays_a_mistake(mistake: Exception) -> None:
    mistake.__context__ = ClientDisconnected("gone")
    assert not is_departure(mistake)


def test_a_refusal_has_the_phrase_of_its_status() -> None:
    assert str(Refusal(413)) in ("413 Content Too Large", "413 Request Entity Too Large")
    assert Refusal(400, "no host").reason == "no host"
