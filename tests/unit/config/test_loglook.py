"""uvicorn's look of log lines: the formatters, and the dictionary that names them."""

from __future__ import annotations

import copy
import io
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest

import asgi_arbiter.config
from asgi_arbiter.config import loglook
from asgi_arbiter.config.loglook import LOGGING_CONFIG, AccessFormatter, DefaultFormatter, changed


@pytest.fixture
def restored() -> Iterator[None]:
    before = copy.deepcopy(LOGGING_CONFIG)
    yield
    LOGGING_CONFIG.clear()
    LOGGING_CONFIG.update(before)


def record(message: str = "hello", *args: Any, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("asgi_arbiter.access", level, "", 0, message, args, None)


def request(status: int = 200) -> logging.LogRecord:
    return record('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", "/a?b", "1.1", status)


@pytest.mark.parametrize(
    ("level", "plain", "painted"),
    [
        (logging.INFO, "INFO:     x", "\x1b[32mINFO\x1b[0m:     x"),
        (logging.CRITICAL, "CRITICAL: x", "\x1b[91mCRITICAL\x1b[0m: x"),
        (35, "Level 35: x", "Level 35: x"),
    ],
)
def test_the_level_is_padded_and_coloured(level: int, plain: str, painted: str) -> None:
    fmt = "%(levelprefix)s %(message)s"
    assert DefaultFormatter(fmt, use_colors=False).format(record("x", level=level)) == plain
    assert DefaultFormatter(fmt, use_colors=True).format(record("x", level=level)) == painted


@pytest.mark.parametrize(("status", "shown"), [(200, "200 OK"), (404, "404 Not Found"), (799, "799 ")])
def test_a_request_has_uvicorn_s_three_fields(status: int, shown: str) -> None:
    fmt = LOGGING_CONFIG["formatters"]["access"]["fmt"]
    line = AccessFormatter(fmt, use_colors=False).format(request(status))
    assert line == f'INFO:     127.0.0.1:5 - "GET /a?b HTTP/1.1" {shown}'


def test_a_request_is_coloured_where_uvicorn_s_is() -> None:
    fmt = "%(request_line)s %(status_code)s"
    line = AccessFormatter(fmt, use_colors=True).format(request(500))
    assert line == "\x1b[1mGET /a?b HTTP/1.1\x1b[0m \x1b[91m500 Internal Server Error\x1b[0m"


def test_another_record_in_the_access_log_has_empty_fields() -> None:
    formatter = AccessFormatter("%(client_addr)s%(request_line)s%(status_code)s%(message)s", use_colors=False)
    assert formatter.format(record("%d lines were lost", 3)) == "3 lines were lost"


def test_the_record_itself_is_not_changed() -> None:
    one = request()
    before = dict(one.__dict__)
    AccessFormatter("%(levelprefix)s %(status_code)s", use_colors=False).format(one)
    assert {key: one.__dict__[key] for key in before if key != "message"} == {
        key: value for key, value in before.items() if key != "message"
    }


def test_dates_styles_defaults_and_exceptions_work_as_in_any_formatter() -> None:
    formatter = DefaultFormatter(
        "{asctime} {levelprefix} {who} {message}", "%Y", "{", use_colors=False, defaults={"who": "me"}
    )
    one = record()
    one.exc_info = (ValueError, ValueError("x"), None)
    year, rest = formatter.format(one).split(" ", 1)
    assert year.isdigit()
    assert rest == "INFO:     me hello\nValueError: x"


@pytest.mark.parametrize(("formatter", "stream"), [(DefaultFormatter, "stderr"), (AccessFormatter, "stdout")])
def test_colours_are_for_the_terminal_to_which_the_lines_go(
    monkeypatch: pytest.MonkeyPatch, formatter: type[DefaultFormatter], stream: str
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("stdout", "stderr"):
        monkeypatch.setattr("sys." + name, Terminal() if name == stream else io.StringIO())
    assert formatter().use_colors
    monkeypatch.setattr("sys." + stream, None)
    assert not formatter().use_colors


def test_the_dictionary_has_the_shape_of_uvicorn_s() -> None:
    uvicorn_config = pytest.importorskip("uvicorn.config")
    theirs = copy.deepcopy(uvicorn_config.LOGGING_CONFIG)
    theirs["formatters"]["access"]["use_colors"] = None
    renamed = eval(repr(theirs).replace("uvicorn", "asgi_arbiter"))
    assert renamed == LOGGING_CONFIG


def test_the_dictionary_is_public_and_known_when_changed(restored: None) -> None:
    assert asgi_arbiter.config.LOGGING_CONFIG is LOGGING_CONFIG is loglook.LOGGING_CONFIG
    assert changed() is None
    LOGGING_CONFIG["formatters"]["access"]["fmt"] = "%(message)s"
    assert changed() is LOGGING_CONFIG


def test_the_dictionary_can_be_applied() -> None:
    formatters = copy.deepcopy(LOGGING_CONFIG["formatters"])
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "formatters": formatters})
    made = logging.config.DictConfigurator({"version": 1}).configure_formatter(formatters["access"])
    assert isinstance(made, AccessFormatter)
