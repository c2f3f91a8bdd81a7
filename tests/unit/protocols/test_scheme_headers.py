"""What trusted proxies say about the scheme, and when it is believed."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.config.settings import Config
from asgi_arbiter.protocols.errors import Refusal
from asgi_arbiter.protocols.fields import FieldCollector, watch_forwarding
from asgi_arbiter.protocols.proxy import Trust, apply_forwarding
from asgi_arbiter.protocols.request_line import parse_request_line
from asgi_arbiter.protocols.scheme_headers import SchemeHeaders
from asgi_arbiter.protocols.terms import inspect

DEFAULT = SchemeHeaders(Config().secure_scheme_headers)


@pytest.mark.parametrize(
    ("field", "value", "scheme"),
    [
        (b"x-forwarded-proto", b"https", "https"),
        (b"x-forwarded-proto", b"HTTPS", "https"),
        (b"x-forwarded-proto", b"wss", "https"),
        (b"x-forwarded-proto", b"ws", "http"),
        (b"x-forwarded-proto", b"http", "http"),
        (b"x-forwarded-proto", b"http, https", "https"),
        (b"x-forwarded-proto", b"gopher", ""),
        (b"x-forwarded-proto", b"", ""),
        (b"x-forwarded-protocol", b"ssl", "https"),
        (b"x-forwarded-protocol", b"https", "http"),
        (b"x-forwarded-ssl", b"on", "https"),
        (b"x-forwarded-ssl", b"off", "http"),
        (b"x-somebody-elses", b"https", ""),
    ],
)
def test_each_of_the_default_fields_has_its_own_word_for_tls(field: bytes, value: bytes, scheme: str) -> None:
    assert DEFAULT.claimed({field: value}) == scheme


def test_fields_that_agree_are_fine_and_fields_that_contradict_each_other_are_refused() -> None:
    assert DEFAULT.claimed({b"x-forwarded-proto": b"https", b"x-forwarded-ssl": b"on"}) == "https"
    with pytest.raises(Refusal) as refused:
        DEFAULT.claimed({b"x-forwarded-proto": b"http", b"x-forwarded-ssl": b"on"})
    assert refused.value.status == 400


def test_a_word_that_is_no_scheme_contradicts_nothing() -> None:
    assert DEFAULT.claimed({b"x-forwarded-proto": b"gopher", b"x-forwarded-ssl": b"off"}) == "http"


def test_fields_that_were_not_chosen_say_nothing() -> None:
    only = SchemeHeaders([("X-Scheme", "Secure")])
    assert only.claimed({b"x-forwarded-proto": b"https"}) == ""
    assert only.claimed({b"x-scheme": b"secure"}) == "https"


def test_x_forwarded_proto_with_another_word_for_tls_is_no_scheme_by_name() -> None:
    other = SchemeHeaders([("X-Forwarded-Proto", "tls")])
    assert other.claimed({b"x-forwarded-proto": b"tls"}) == "https"
    assert other.claimed({b"x-forwarded-proto": b"https"}) == "http"


def is_noticed(*fields: tuple[bytes, bytes]) -> bool:
    head = FieldCollector()
    for name, value in fields:
        head.on_header(name, value)
    return inspect(parse_request_line(b"GET / HTTP/1.1"), head).forwarded


def test_a_chosen_field_is_noticed_even_when_it_was_taken_for_an_ordinary_one_before() -> None:
    fields = ((b"Host", b"test"), (b"X-My-Own-Scheme", b"tls"))
    assert not is_noticed(*fields)
    assert not is_noticed(*fields)  # from the memory of ordinary names
    watch_forwarding([b"x-my-own-scheme"])
    assert is_noticed(*fields)
    assert is_noticed(*fields)


def scope(*fields: tuple[bytes, bytes], kind: str = "http") -> dict[str, Any]:
    scheme = "http" if kind == "http" else "ws"
    return {"type": kind, "scheme": scheme, "client": ("127.0.0.1", 1), "headers": list(fields)}


def test_the_scheme_reaches_the_scope_of_requests_and_of_websockets() -> None:
    trust = Trust(["*"], SchemeHeaders([("X-Scheme", "tls")]))
    for kind, expected in (("http", "https"), ("websocket", "wss")):
        found = scope((b"x-scheme", b"tls"), (b"x-forwarded-for", b"10.9.8.7"), kind=kind)
        apply_forwarding(found, trust)
        assert found["scheme"] == expected
        assert found["client"] == ("10.9.8.7", 0)


def test_without_a_choice_x_forwarded_proto_alone_tells() -> None:
    found = scope((b"x-forwarded-proto", b"https"), (b"x-forwarded-ssl", b"off"))
    apply_forwarding(found, Trust(["*"]))
    assert found["scheme"] == "https"
