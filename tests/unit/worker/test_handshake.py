"""A handshake that fails: first the alert, then the failure."""

from __future__ import annotations

import logging
import ssl
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.worker.handshake import TellingObject, let_it_tell


def server_side() -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # without a certificate no handshake can succeed
    let_it_tell(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(incoming, outgoing, server_side=True), incoming, outgoing


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="a").do_handshake()
    return outgoing.read()


def test_the_failure_comes_after_the_alert(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asgi_arbiter.worker")
    ours, incoming, outgoing = server_side()
    with pytest.raises(ssl.SSLWantReadError):
        ours.do_handshake()
    assert (outgoing.pending, caplog.records) == (0, [])
    incoming.write(client_hello())
    for _ in range(4):
        with pytest.raises(ssl.SSLWantReadError):
            ours.do_handshake()
    assert outgoing.read()[0] == 21  # RFC 8446 section 5.1: an alert
    for _ in range(2):
        with pytest.raises(ssl.SSLError) as caught:
            ours.do_handshake()
        assert not isinstance(caught.value, ssl.SSLWantReadError)
    (told,) = caplog.messages
    assert told.startswith("a TLS handshake failed: [SSL: NO_SHARED_CIPHER]")


def test_the_owner_of_a_context_may_want_something_else() -> None:
    class Own(ssl.SSLObject):
        pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = Own
    let_it_tell(context)
    assert context.sslobject_class is Own
    fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    let_it_tell(fresh)
    let_it_tell(fresh)
    assert fresh.sslobject_class is TellingObject


def test_undecodable_names_are_not_reported_and_all_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", told.append)
    let_it_tell(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert sys.unraisablehook == told.append
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda *given: None
    let_it_tell(context)
    hook = sys.unraisablehook
    let_it_tell(context)
    assert sys.unraisablehook is hook
    others: list[Any] = [
        SimpleNamespace(exc_type=UnicodeDecodeError, object=object()),
        SimpleNamespace(exc_type=ValueError, object=b"\xff"),
    ]
    for each in (SimpleNamespace(exc_type=UnicodeDecodeError, object=b"\xff"), *others):
        sys.unraisablehook(each)
    assert told == others
