"""Who the client is, behind proxies."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.protocols.proxy import Trust
from tests.http_support import Client, Recorder, request, run


@pytest.mark.parametrize(
    ("entries", "host", "expected"),
    [
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "127.0.0.2", False),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8, 192.168.0.1",), "192.168.0.1", True),
        (("::1",), "::1", True),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("2001:db8::/32",), "2001:db8::7", True),
        (("*",), "anything", True),
        (("*",), None, True),
        (("unix:",), None, True),
        (("unix",), None, True),
        (("127.0.0.1",), None, False),
        ((), "127.0.0.1", False),
        (("proxy.internal",), "proxy.internal", True),
        (("127.0.0.1",), "not an address", False),
    ],
)
def test_who_is_trusted(entries: tuple[str, ...], host: str | None, expected: bool) -> None:
    trust = Trust(entries)
    assert trust.covers(host) is expected
    assert trust.covers(host) is expected


def seen(*fields: str, peer: Any = ("127.0.0.1", 50000), target: str = "/p?q", **settings: Any) -> dict[str, Any]:
    """The scope of a request that came with these fields."""
    recorder = Recorder()

    async def story() -> None:
        client = Client(recorder, extra={"peername": peer}, **settings)
        await client.say(request(target, "GET", *fields))

    run(story())
    return recorder.scopes[0]


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("1.2.3.4", ("1.2.3.4", 0)),
        ("1.2.3.4:567", ("1.2.3.4", 567)),
        ("6.6.6.6, 1.2.3.4", ("1.2.3.4", 0)),
        ("1.2.3.4, 127.0.0.1", ("1.2.3.4", 0)),
        ("6.6.6.6, 1.2.3.4, 127.0.0.1, ::1", ("1.2.3.4", 0)),
        ("127.0.0.1, ::1", ("127.0.0.1", 0)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]:567", ("2001:db8::1", 567)),
        ("1.2.3.4:99999999", ("1.2.3.4", 0)),
        ("1.2.3.4:" + "9" * 5000, ("1.2.3.4", 0)),
        ("1.2.3.4:_port", ("1.2.3.4", 0)),
        ("", ("127.0.0.1", 50000)),
        (" , ", ("127.0.0.1", 50000)),
        (", 1.2.3.4, , 127.0.0.1,", ("1.2.3.4", 0)),
    ],
)
def test_the_client_is_the_rightmost_hop_that_is_not_trusted(value: str, client: tuple[str, int]) -> None:
    assert seen(f"X-Forwarded-For: {value}")["client"] == client


@pytest.mark.parametrize(
    "hop",
    ["unknown", "_hidden", "unix:", "a.name", "1.2.3.4.5", "[::1", "1.2.3.4 5.6.7.8", "::1]:80", "[::1]80", "1" * 9000],
)
@pytest.mark.parametrize("around", ["{}", "6.6.6.6, {}", "6.6.6.6, {}, 127.0.0.1"])
def test_a_hop_that_is_no_address_is_nobody_we_know(hop: str, around: str) -> None:
    assert seen(f"X-Forwarded-For: {around.format(hop)}")["client"] is None


@pytest.mark.parametrize("hop", ["_edge", "unix:", "a.name"])
def test_a_name_that_is_listed_is_a_trusted_hop(hop: str) -> None:
    trusted = ("127.0.0.1", hop)
    assert seen(f"X-Forwarded-For: 6.6.6.6, 1.2.3.4, {hop}", forwarded_allow_ips=trusted)["client"] == ("1.2.3.4", 0)
    assert seen(f"X-Forwarded-For: {hop}", forwarded_allow_ips=trusted)["client"] is None


@pytest.mark.parametrize(("value", "client"), [("1.2.3.4, 5.6.7.8", ("1.2.3.4", 0)), ("unknown, 5.6.7.8", None)])
def test_where_everybody_is_trusted_the_leftmost_is_the_client(value: str, client: tuple[str, int] | None) -> None:
    assert seen(f"X-Forwarded-For: {value}", forwarded_allow_ips=("*",))["client"] == client


def test_two_fields_are_one_list() -> None:
    scope = seen("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4, 127.0.0.1")
    assert scope["client"] == ("1.2.3.4", 0)


def test_nobody_else_is_believed() -> None:
    fields = (
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "Forwarded: for=1.2.3.4",
    )
    scope = seen(*fields, peer=("9.9.9.9", 1))
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 1), "http")
    assert (b"host", b"a") in scope["headers"]


def test_proxy_headers_can_be_switched_off() -> None:
    scope = seen("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", proxy_headers=False)
    assert (scope["client"], scope["scheme"]) == (("127.0.0.1", 50000), "http")


def test_a_unix_peer_is_believed_when_it_is_listed() -> None:
    fields = ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https")
    assert seen(*fields, peer="", forwarded_allow_ips=("unix:",))["client"] == ("1.2.3.4", 0)
    assert seen(*fields, peer="")["client"] is None


@pytest.mark.parametrize(
    ("value", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("wss", "https"), ("http", "http"), ("gopher", "http")],
)
def test_the_scheme_is_the_one_that_the_client_used(value: str, scheme: str) -> None:
    assert seen(f"X-Forwarded-Proto: {value}")["scheme"] == scheme


def test_host_port_and_prefix_are_the_clients() -> None:
    scope = seen("X-Forwarded-Host: example.org", "X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /api/")
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"example.org:8443"]
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/p", b"/api/p")


@pytest.mark.parametrize(
    "field",
    [
        "X-Forwarded-Port: " + "9" * 5000,
        "X-Forwarded-Host: a b",
        "X-Forwarded-Host: a/b",
        "X-Forwarded-Prefix: api",
        "X-Forwarded-Prefix: /%41",
    ],
)
def test_malformed_values_are_ignored(field: str) -> None:
    scope = seen(field)
    assert (b"host", b"a") in scope["headers"]
    assert scope["path"] == "/p"


@pytest.mark.parametrize(
    ("value", "client", "scheme"),
    [
        ("for=1.2.3.4", ("1.2.3.4", 0), "http"),
        ('for="[2001:db8::1]:567";proto=https;host=b', ("2001:db8::1", 567), "https"),
        ("for=6.6.6.6;proto=http, for=1.2.3.4;proto=https", ("1.2.3.4", 0), "https"),
        ("for=1.2.3.4;proto=https, for=127.0.0.1;proto=http", ("1.2.3.4", 0), "https"),
        ("proto=https", ("127.0.0.1", 50000), "https"),
        ("nonsense", ("127.0.0.1", 50000), "http"),
        (", ,", ("127.0.0.1", 50000), "http"),
        ("for=1.2.3.4;proto=https, ,", ("1.2.3.4", 0), "https"),
        ("for=unknown;proto=https", None, "https"),
        ("for=6.6.6.6, for=_hidden, for=127.0.0.1", None, "http"),
        ('for="_hidden:_port"', None, "http"),
        ('for="1.2.3.4:_port"', ("1.2.3.4", 0), "http"),
        ('for="6.6.6.6, for=1.2.3.4', ("1.2.3.4", 0), "http"),
        # A proxy that does not say who came to it: what is left of its element is no evidence.
        ("for=6.6.6.6, proto=https", ("127.0.0.1", 50000), "https"),
        ("for=6.6.6.6, proto=https, for=::1", ("::1", 0), "https"),
    ],
)
def test_rfc_7239_is_understood(value: str, client: tuple[str, int], scheme: str) -> None:
    scope = seen(f"Forwarded: {value}")
    assert (scope["client"], scope["scheme"]) == (client, scheme)
