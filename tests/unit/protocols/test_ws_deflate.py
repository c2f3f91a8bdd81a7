"""The negotiation of permessage-deflate."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.ws_deflate import Deflate, MalformedExtensions, Wishes, negotiate, parse_extensions


def test_a_bare_offer_is_granted_with_the_window_that_the_server_may_choose_for_itself() -> None:
    assert negotiate("permessage-deflate", Wishes()) == Deflate(
        server_max_window_bits=12, response=b"permessage-deflate; server_max_window_bits=12"
    )


def test_what_browsers_offer_limits_both_windows() -> None:
    agreed = negotiate("permessage-deflate; client_max_window_bits", Wishes())
    assert agreed is not None
    assert (agreed.server_max_window_bits, agreed.client_max_window_bits) == (12, 12)
    assert agreed.response == b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"


def test_a_client_that_wants_less_gets_less() -> None:
    agreed = negotiate(
        "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8; "
        "server_no_context_takeover; client_no_context_takeover",
        Wishes(),
    )
    assert agreed is not None
    assert (agreed.server_max_window_bits, agreed.client_max_window_bits) == (9, 8)
    assert agreed.server_no_context_takeover
    assert agreed.client_no_context_takeover
    assert b"server_no_context_takeover" in agreed.response
    assert b"client_no_context_takeover" in agreed.response


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; something_else",
        "x-webkit-deflate-frame",
        "",
    ],
)
def test_an_offer_that_cannot_be_granted_leaves_the_connection_uncompressed(offer: str) -> None:
    assert negotiate(offer, Wishes()) is None


def test_the_next_offer_is_tried() -> None:
    agreed = negotiate(
        'bbf-usp-protocol, permessage-deflate; x=1, permessage-deflate; server_max_window_bits="10"', Wishes()
    )
    assert agreed is not None
    assert agreed.server_max_window_bits == 10


def test_quoted_values_may_hold_commas_and_escapes() -> None:
    assert parse_extensions(r'one; a="x,\"y\""; b, two') == [("one", [("a", 'x,"y"'), ("b", None)]), ("two", [])]


@pytest.mark.parametrize("value", ["permessage-deflate; ", "a b", "=", "a; b=", ", a", 'a; b="x'])
def test_what_does_not_follow_the_grammar_is_an_error(value: str) -> None:
    with pytest.raises(MalformedExtensions):
        negotiate(value, Wishes())


@pytest.mark.parametrize(
    ("offer", "wishes", "response"),
    [
        ("", Wishes(15), ""),
        ("; client_max_window_bits", Wishes(15), "; client_max_window_bits=15"),
        ("; server_max_window_bits=15", Wishes(15), "; server_max_window_bits=15"),
        ("; server_max_window_bits=10", Wishes(15), "; server_max_window_bits=10"),
        ("; server_max_window_bits=10", Wishes(9), "; server_max_window_bits=9"),
        ("; client_max_window_bits=8", Wishes(9), "; server_max_window_bits=9; client_max_window_bits=8"),
        ("", Wishes(15, context_takeover=False), "; server_no_context_takeover; client_no_context_takeover"),
        (
            "; client_no_context_takeover",
            Wishes(11, context_takeover=False),
            "; server_max_window_bits=11; server_no_context_takeover; client_no_context_takeover",
        ),
        ("; server_no_context_takeover", Wishes(15), "; server_no_context_takeover"),
    ],
)
def test_the_server_says_what_it_wishes_and_never_takes_more_than_was_offered(
    offer: str, wishes: Wishes, response: str
) -> None:
    agreed = negotiate("permessage-deflate" + offer, wishes)
    assert agreed is not None
    assert agreed.response.decode() == "permessage-deflate" + response
    assert agreed.server_no_context_takeover == ("server_no_context_takeover" in response)
    assert agreed.client_no_context_takeover == ("client_no_context_takeover" in response)
