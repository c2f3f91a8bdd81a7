"""The errors of one connection."""

from __future__ import annotations

import pytest

from asgi_arbiter.config import ArbiterError
from asgi_arbiter.protocols.errors import ClientDisconnected, MisusedByApplication, Refusal, is_departure


class WebSocketDisconnect(Exception):
    """As Starlette names it."""


def test_a_refusal_has_a_status_and_a_reason() -> None:
    assert (Refusal(431, "Too much.").status, Refusal(431, "Too much.").reason) == (431, "Too much.")
    assert Refusal(408).reason == "Request Timeout"


def test_none_of_them_could_end_a_worker() -> None:
    assert not any(issubclass(kind, ArbiterError) for kind in (Refusal, ClientDisconnected, MisusedByApplication))


def test_what_send_raises_is_an_oserror() -> None:
    assert issubclass(ClientDisconnected, OSError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientDisconnected(), True),
        (BrokenPipeError(), True),
        (WebSocketDisconnect(), True),
        (ExceptionGroup("", [ClientDisconnected(), WebSocketDisconnect()]), True),
        (ExceptionGroup("", [ClientDisconnected(), ValueError()]), False),
        (FileNotFoundError(), False),
        (RuntimeError("disconnected"), False),
    ],
)
def test_a_departure_is_told_from_a_mistake(error: Exception, expected: bool) -> None:
    assert is_departure(error) is expected
