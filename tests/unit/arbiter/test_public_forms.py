"""uvicorn's forms of a value. (Each with its whole way into the settings: ``test_public_config.py``.)"""

from __future__ import annotations

import configparser
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.arbiter.public_forms import changed_logging, held, spoken, take_log_config
from asgi_arbiter.config import InvalidSetting, SourceUnreadable
from asgi_arbiter.config.logconfig import LogConfig


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("log_level", 30, "warning"),
        ("log_level", 31, "error"),
        ("log_level", -1, "trace"),
        ("log_level", True, True),  # no number: the table refuses it
        ("loglevel", 10, "debug"),
        ("headers", [("a", "1"), "b: 2"], ["a:1", "b: 2"]),
        ("headers", {"a": "1"}, ["a:1"]),
        ("headers", "a: 1", "a: 1"),
        ("env_file", Path(".env"), [".env"]),
        ("reload_dirs", "with,comma", ["with,comma"]),
        ("reload_includes", ("a", Path("b")), ["a", "b"]),
        ("reload_excludes", None, None),
        ("ws_ping_interval", None, 0.0),
        ("ws_ping_timeout", 3, 3),
        ("workers", 0, None),
        ("workers", 3, 3),
        ("port", 0, 0),
    ],
)
def test_a_form_is_turned_into_that_of_the_table(name: str, given: Any, said: Any) -> None:
    assert spoken(name, given) == said


@pytest.mark.parametrize("pair", [5, ("a",), ("a", "b", "c"), None])
def test_a_header_that_is_no_pair_is_refused(pair: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"^Config\(\), headers: expected pairs of name and value"):
        spoken("headers", [pair])


INI = "[loggers]\nkeys=root\n[logger_root]\nhandlers=\n"


def test_a_parser_and_an_open_file_are_read_once_and_kept() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(INI)
    for given in (parser, io.StringIO(INI), io.BytesIO(INI.encode())):
        kept = held(given)
        assert isinstance(kept, LogConfig)
        assert kept.names == {""}
        assert held(kept) is kept
    with pytest.raises(SourceUnreadable, match="the file has no section"):
        held(io.StringIO("nonsense = 1"[:0]))


@pytest.mark.parametrize("given", [None, "log.ini", Path("log.ini"), {"version": 1}])
def test_other_forms_are_kept_as_they_are(given: Any) -> None:
    assert held(given) is given


def test_a_path_is_a_word_and_everything_else_an_object() -> None:
    objects: dict[str, Any] = {}
    words: dict[str, Any] = {"log_config": "log.ini", "port": 1}
    take_log_config(words, objects)
    assert (words, objects) == ({"log_config": "log.ini", "port": 1}, {})
    words = {"log_config": {"version": 1}, "port": 1}
    take_log_config(words, objects)
    assert (words, objects) == ({"port": 1}, {"log_config": {"version": 1}})
    words = {"log_config": None}
    take_log_config(words, objects)
    assert words == {}
    assert objects["log_config"]["incremental"] is True


def test_a_logging_configuration_that_nobody_asked_for_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asgi_arbiter.config.loglook", raising=False)
    assert changed_logging() is None
    assert "asgi_arbiter.config.loglook" not in sys.modules


def test_a_logging_configuration_that_the_program_changed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from asgi_arbiter.config import loglook

    assert changed_logging() is None
    monkeypatch.setitem(loglook.LOGGING_CONFIG, "version", 2)
    assert changed_logging() == loglook.LOGGING_CONFIG
