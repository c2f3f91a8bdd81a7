"""The opening handshake."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.errors import MisusedByApplication
from asgi_arbiter.protocols.memo import LIMIT
from asgi_arbiter.protocols.ws_deflate import Wishes
from asgi_arbiter.protocols.ws_handshake import Handshake, HandshakeRefused, _shared, check, response, share
from tests.ws_support import ACCEPT, HANDSHAKE, KEY

Headers = tuple[tuple[bytes, bytes], ...]


def without(name: bytes) -> Headers:
    return tuple(header for header in HANDSHAKE if header[0] != name)


def refused(headers: Headers, method: str = "GET", version: str = "1.1") -> HandshakeRefused:
    with pytest.raises(HandshakeRefused) as caught:
        check(method, version, headers, Wishes())
    return caught.value


def test_the_handshake_of_rfc_6455_section_1_3_is_accepted() -> None:
    assert check("GET", "1.1", HANDSHAKE, Wishes()) == Handshake(accept=ACCEPT)


def test_the_headers_may_be_lists_in_any_case() -> None:
    headers = (
        *without(b"connection"),
        (b"connection", b"keep-alive, UPGRADE"),
        (b"sec-websocket-protocol", b"chat, superchat"),
        (b"sec-websocket-protocol", b"v2.chat"),
    )
    assert check("GET", "1.1", headers, Wishes()).subprotocols == ("chat", "superchat", "v2.chat")


def test_another_method_is_answered_with_405_and_the_right_one() -> None:
    refusal = refused(HANDSHAKE, method="POST")
    assert (refusal.status, refusal.headers) == (405, ((b"allow", b"GET"),))


@pytest.mark.parametrize("version", [b"12", b"14", b"", b"13.0"])
def test_another_version_is_answered_with_426_and_ours(version: bytes) -> None:
    refusal = refused((*without(b"sec-websocket-version"), (b"sec-websocket-version", version)))
    assert (refusal.status, refusal.headers) == (426, ((b"sec-websocket-version", b"13"),))


@pytest.mark.parametrize(
    "headers",
    [
        without(b"sec-websocket-version"),
        (*HANDSHAKE, (b"sec-websocket-version", b"13")),
        without(b"sec-websocket-key"),
        (*HANDSHAKE, (b"sec-websocket-key", KEY)),
        (*without(b"sec-websocket-key"), (b"sec-websocket-key", b"dG9vIHNob3J0")),
        (*without(b"sec-websocket-key"), (b"sec-websocket-key", b"not base64!!!!!!!!!!!!!!")),
        without(b"connection"),
        (*HANDSHAKE, (b"sec-websocket-protocol", b"chat, ")),
        (*HANDSHAKE, (b"sec-websocket-protocol", b"a b")),
        (*HANDSHAKE, (b"sec-websocket-extensions", b"a b")),
        (*HANDSHAKE, (b"content-length", b"5")),
        (*HANDSHAKE, (b"transfer-encoding", b"chunked")),
    ],
)
def test_a_malformed_handshake_is_answered_with_400(headers: Headers) -> None:
    assert refused(headers).status == 400


def test_http_1_0_is_answered_with_400() -> None:
    assert refused(HANDSHAKE, version="1.0").status == 400


def test_another_upgrade_is_answered_with_426() -> None:
    assert refused((*without(b"upgrade"), (b"upgrade", b"h2c"))).status == 426


def test_compression_is_agreed_on_only_where_it_is_wanted() -> None:
    headers = (*HANDSHAKE, (b"sec-websocket-extensions", b"permessage-deflate"))
    assert check("GET", "1.1", headers, Wishes()).deflate is not None
    assert check("GET", "1.1", headers).deflate is None


def test_the_response_has_what_was_agreed_and_what_the_application_adds() -> None:
    headers = (
        *HANDSHAKE,
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"sec-websocket-protocol", b"chat"),
    )
    handshake = check("GET", "1.1", headers, Wishes())
    head = response(handshake, subprotocol="chat", headers=[(b"Set-Cookie", b"a=b")], common=b"date: now\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert lines[-2:] == [b"", b""]
    assert set(lines[1:-2]) == {
        b"upgrade: websocket",
        b"connection: Upgrade",
        b"sec-websocket-accept: " + ACCEPT,
        b"sec-websocket-protocol: chat",
        b"sec-websocket-extensions: permessage-deflate; server_max_window_bits=12",
        b"date: now",
        b"Set-Cookie: a=b",
    }


def test_a_subprotocol_that_was_not_offered_is_an_error_of_the_application() -> None:
    with pytest.raises(MisusedByApplication, match="not among those offered"):
        response(Handshake(ACCEPT, ("chat",)), subprotocol="other")


@pytest.mark.parametrize(
    "header",
    [
        (b"x-split", b"a\r\nset-cookie: b"),
        (b"x-nul", b"a\0"),
        (b"x y", b"a"),
        (b"Sec-WebSocket-Protocol", b"chat"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"sec-websocket-accept", b"x"),
        (b"content-length", b"0"),
    ],
)
def test_a_header_that_would_break_the_handshake_is_an_error_of_the_application(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(MisusedByApplication):
        response(Handshake(ACCEPT, ("chat",)), headers=[header])


def test_equal_fields_of_two_requests_are_one_object_but_for_what_is_personal_or_long() -> None:
    names = (b"user-agent", b"cookie", b"authorization", b"sec-websocket-key", b"x-long")

    def request() -> list[tuple[bytes, bytes]]:
        return [(name, b"a value of its own, " * (100 if name == b"x-long" else 1)) for name in names]

    one, other = request(), request()
    share(one, 0)
    share(other, 0)
    assert one == other == request()
    assert [mine is theirs for mine, theirs in zip(one, other, strict=True)] == [True, False, False, False, False]


def test_what_is_shared_is_bounded_whoever_connects() -> None:
    for number in range(3 * LIMIT):
        share([(b"x-unique", b"%d" % number)], 1)
    assert len(_shared) <= LIMIT
