"""The expressions of the grammar: what each takes and refuses."""

from __future__ import annotations

import pytest

from asgi_arbiter.protocols.grammar import is_authority, is_host, is_target, is_token, is_version, split_absolute_form


@pytest.mark.parametrize("host", [b"", b"a", b"a.b:80", b"[::1]", b"[fe80::1%25eth0]:8000", b"a%20b", b"a:"])
def test_hosts(host: bytes) -> None:
    assert is_host(host)


@pytest.mark.parametrize("host", [b"user@a", b"a b", b"a/b", b"a:x", b"a:123456", b"[::1", b"a\n", b"\xe4"])
def test_what_is_no_host(host: bytes) -> None:
    assert not is_host(host)


@pytest.mark.parametrize(
    ("matches", "good", "bad"),
    [
        (is_token, b"X-A_1~", (b"", b"a b", b"a:", b"a\n", b"\xe9")),
        (is_target, b"/a?b=%20", (b"", b"/a#b", b"/a b", b"/\x7f", b"/\xe9", b"/\n")),
        (is_version, b"HTTP/2.0", (b"HTTP/11", b"http/1.1", b"HTTP/1.1 ", b"HTTP/1.\xd9\xa1")),
        (is_authority, b"a:80", (b"a", b"a:", b"a@b:80", b"a/b:80")),
    ],
)
def test_an_expression_matches_the_whole(matches: object, good: bytes, bad: tuple[bytes, ...]) -> None:
    assert callable(matches)
    assert matches(good)
    assert [text for text in bad if matches(text)] == []


def test_an_absolute_form_is_authority_path_and_query() -> None:
    match = split_absolute_form(b"HTTP://a:1/b?c?d")
    assert match is not None and match.groups() == (b"a:1", b"/b", b"c?d")
    assert split_absolute_form(b"ftp://a/") is None
