"""gunicorn's access log format."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from asgi_arbiter.config import InvalidSetting
from asgi_arbiter.config.access import AccessRecord
from asgi_arbiter.config.atoms import compile_format, unknown_atoms


def record(**changes: Any) -> AccessRecord:
    given: dict[str, Any] = {
        "kind": "http",
        "client": ("10.0.0.1", 5000),
        "scheme": "https",
        "method": "GET",
        "target": b"/a%20b?x=1&y=2",
        "http_version": "1.1",
        "status": 200,
        "bytes_sent": 1234,
        "duration": 1.25,
        "request_headers": [(b"host", b"example.org"), (b"user-agent", b"curl/8"), (b"referer", b"http://r/")],
        "response_headers": [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2")],
    }
    return AccessRecord(**(given | changes))


def line(text: str, **changes: Any) -> str:
    return compile_format(text)(record(**changes))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("%(h)s", "10.0.0.1"),
        ("%(l)s", "-"),
        ("%(u)s", "-"),
        ("%(r)s", "GET /a%20b?x=1&y=2 HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(m)s", "GET"),
        ("%(U)s", "/a b"),
        ("%(q)s", "x=1&y=2"),
        ("%(H)s", "HTTP/1.1"),
        ("%(b)s", "1234"),
        ("%(B)s", "1234"),
        ("%(f)s", "http://r/"),
        ("%(a)s", "curl/8"),
        ("%(T)s", "1"),
        ("%(M)s", "1250"),
        ("%(D)s", "1250000"),
        ("%(L)s", "1.250000"),
        ("%(p)s", f"<{os.getpid()}>"),
        ("%({Host}i)s", "example.org"),
        ("%({host}i)s", "example.org"),
        ("%({X-None}i)s", "-"),
        ("%({Content-Type}o)s", "text/plain"),
        ("%({set-cookie}o)s", "a=1, b=2"),
        ("%({REQUEST_METHOD}e)s", "GET"),
        ("%({REMOTE_PORT}e)s", "5000"),
        ("%({HTTP_USER_AGENT}e)s", "curl/8"),
        ("%({wsgi.url_scheme}e)s", "https"),
        ("%({ATOM_OF_NOBODY}e)s", "-"),
        ("%(unknown)s", "-"),
        ("100%%", "100%"),
        ("plain", "plain"),
        ("", ""),
        ("%(D)10d|", "   1250000|"),
        ("%(s)-6s|", "200   |"),
        ("%(L).2f", "1.25"),
        ("%(a)d", "-"),
        ("%(a).3s", "cur"),
    ],
)
def test_every_atom(text: str, shown: str) -> None:
    assert line(text) == shown


def test_the_common_format_of_gunicorn() -> None:
    shown = line('%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"')
    assert re.fullmatch(
        r'10\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}(:\d\d){3} [+-]\d{4}\] "GET /a%20b\?x=1&y=2 HTTP/1\.1" 200 1234'
        r' "http://r/" "curl/8"',
        shown,
    )


def test_what_is_absent_is_a_dash() -> None:
    text = "%(h)s %(f)s %(a)s %({x}o)s %({REMOTE_PORT}e)s %(q)s|"
    assert line(text, client=None, request_headers=[], response_headers=None, target=b"/") == "- - - - - |"


@pytest.mark.parametrize(
    ("value", "user"),
    [
        (b"Basic YWRhOnNlY3JldA==", "ada"),
        (b"basic YWRhOnNlY3JldA==", "ada"),
        (b"Basic !!!", "-"),
        (b"Bearer YWRhOnNlY3JldA==", "-"),
        (b"Basic Ig0KOng=", '\\"\\x0d\\x0a'),
    ],
)
def test_the_user_is_that_of_basic_authentication(value: bytes, user: str) -> None:
    assert line("%(u)s", request_headers=[(b"authorization", value)]) == user


def test_headers_cannot_forge_lines_quotes_or_terminal_sequences() -> None:
    evil = b'x"\r\n10.0.0.9 "GET / HTTP/1.1" 200 \x1b[2J\xff\\'
    changes: dict[str, Any] = {
        "request_headers": [(b"user-agent", evil), (b"referer", evil), (b"x", evil)],
        "response_headers": [(b"y", evil)],
        "target": b"/" + evil + b"?" + evil + b"%0d%0a%22",
        "method": 'G"\n',
        "client": ('h"\n', 1),
    }
    shown = line("%(h)s %(m)s %(r)s %(U)s %(q)s %(f)s %(a)s %({x}i)s %({y}o)s %({PATH_INFO}e)s", **changes)
    assert shown.isascii()
    assert shown.isprintable()
    assert not re.search(r'(?<!\\)"', shown)


def test_a_variable_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYMENT", "blue\n")
    assert line("%({DEPLOYMENT}e)s") == "blue\\x0a"


@pytest.mark.parametrize("text", ["%(h)", "50% of", "%h", "%(h)z", "%({Host)s", "%"])
def test_what_is_no_atom_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidSetting, match="access_log_format: ") as caught:
        compile_format(text)
    assert text[text.index("%") : text.index("%") + 4] in str(caught.value)


def test_atoms_that_are_not_in_the_table_are_found() -> None:
    assert unknown_atoms('%(h)s %% %({Any}i)s "%(zz)s" %(zz)s %(T)d %(x)5.2f') == ["%(zz)s", "%(x)5.2f"]
    assert unknown_atoms("plain") == []
