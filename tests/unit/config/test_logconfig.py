"""Files of --log-config: reading, complaining, routing."""

from __future__ import annotations

import builtins
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asgi_arbiter.config import InvalidSetting, MissingExtra, SourceUnreadable, logconfig
from asgi_arbiter.config.logconfig import LogConfig, read
from asgi_arbiter.config.loghandlers import Route

INI = """
[loggers]
keys = root, web

[handlers]
keys =

[formatters]
keys =

[logger_root]
handlers =

[logger_web]
qualname = uvicorn.error
handlers =
"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    logconfig._cached = None
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level
    logconfig._cached = None


def write(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def names(*given: str) -> LogConfig:
    return LogConfig("x", {}, frozenset(given))


def test_json_yaml_and_ini_are_read_and_their_loggers_known(tmp_path: Path) -> None:
    content = {"version": 1, "root": {}, "loggers": {"uvicorn": {}}}
    assert read(write(tmp_path, "a.json", json.dumps(content))).names == {"", "uvicorn"}
    assert read(write(tmp_path, "a.yml", "version: 1\nloggers: {a: {}}\n")).names == {"a"}
    assert read(write(tmp_path, "a.YAML", "version: 1\n")).names == set()
    assert read(write(tmp_path, "a.ini", INI)).names == {"", "uvicorn.error"}
    assert read({"version": 1, "loggers": {"b": {}}}).names == {"b"}


def test_an_applied_file_configures_logging(tmp_path: Path) -> None:
    config = {"version": 1, "disable_existing_loggers": False, "loggers": {"test.applied": {"level": "ERROR"}}}
    read(write(tmp_path, "a.json", json.dumps(config))).apply()
    assert logging.getLogger("test.applied").level == logging.ERROR


def test_an_ini_file_knows_where_it_is(tmp_path: Path) -> None:
    text = INI.replace("[handlers]\nkeys =", "[handlers]\nkeys = f").replace(
        "[logger_root]\nhandlers =",
        "[handler_f]\nclass = FileHandler\nargs = ('%(here)s/out.log', 'a', None, True)\n\n[logger_root]\nhandlers = f",
    )
    read(write(tmp_path, "a.ini", text)).apply()
    (handler,) = logging.root.handlers
    assert isinstance(handler, logging.FileHandler)
    assert handler.baseFilename == str(tmp_path.resolve() / "out.log")
    handler.close()


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.json", "{", "is not valid JSON: Expecting property name"),
        ("a.json", "[1]", "must hold a mapping with the key version, found a list"),
        ("a.yaml", "a: [", "is not valid YAML"),
        ("a.yaml", "", "must hold a mapping with the key version, found nothing"),
        ("a.ini", "x = 1", "is not a valid ini file"),
        ("a.toml", "[a]\nx = 1\n", "has no section"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(SourceUnreadable) as caught:
        read(path)
    assert str(caught.value).startswith(f"log_config: {path} ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SourceUnreadable, match="log_config: cannot read /no/such: No such file or directory"):
        read("/no/such")


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff")
    with pytest.raises(SourceUnreadable, match="is not UTF-8 text"):
        read(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "version"),
        ({"version": 1, "handlers": {"h": {"class": "no.such.Handler"}}}, "'h': Cannot resolve 'no.such.Handler'"),
        ({"version": 1, "loggers": {"x": {"level": "LOUD"}}}, "Unknown level: 'LOUD'"),
        ({"version": 1, "handlers": {"h": {"class": "logging.FileHandler", "filename": "/no/such/f"}}}, "No such file"),
    ],
)
def test_what_logging_refuses_is_named_with_its_reason(tmp_path: Path, content: Any, complaint: str) -> None:
    config = read(write(tmp_path, "a.json", json.dumps(content)))
    with pytest.raises(InvalidSetting) as caught:
        config.apply()
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("log_config: ")


def test_an_ini_file_that_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    config = read(write(tmp_path, "a.ini", INI.replace("keys =\n\n[formatters]", "keys = gone\n\n[formatters]")))
    with pytest.raises(InvalidSetting, match="KeyError"):
        config.apply()


def test_a_missing_pyyaml_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'asgi-arbiter\[yaml\]'"):
        read(write(tmp_path, "a.yaml", "version: 1"))


@pytest.mark.parametrize(
    ("given", "server", "access"),
    [
        ((), (Route.OWN, ""), (Route.OWN, "")),
        (("myapp",), (Route.OWN, ""), (Route.OWN, "")),
        (("", "myapp"), (Route.ROOT, ""), (Route.ROOT, "")),
        (("asgi_arbiter", "uvicorn"), (Route.FILE, ""), (Route.FILE, "")),
        (("asgi_arbiter.access",), (Route.OWN, ""), (Route.FILE, "")),
        (("asgi_arbiter.worker", ""), (Route.FILE, ""), (Route.ROOT, "")),
        (("uvicorn", ""), (Route.OTHER, "uvicorn.error"), (Route.OTHER, "uvicorn.access")),
        (("uvicorn.error", ""), (Route.OTHER, "uvicorn.error"), (Route.ROOT, "")),
        (("gunicorn.error", "gunicorn.access"), (Route.OTHER, "gunicorn.error"), (Route.OTHER, "gunicorn.access")),
    ],
)
def test_our_lines_go_where_the_file_says(given: tuple[str, ...], server: Any, access: Any) -> None:
    assert names(*given).server_route() == server
    assert names(*given).access_route() == access


def test_a_child_applies_what_its_parent_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.json", '{"version": 1}')
    first = read(path)
    Path(path).write_text("broken by an edit")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert read(path) is first
    monkeypatch.undo()
    with pytest.raises(SourceUnreadable):
        read(path)


def test_a_program_may_hold_the_text_of_an_ini_file() -> None:
    held = logconfig.ini(INI, "the given parser")
    assert read(held) is held
    assert held.names == {"", "uvicorn.error"}
    with pytest.raises(SourceUnreadable, match=r"^log_config: the given parser has no section \[loggers\]"):
        logconfig.ini("", "the given parser")


@pytest.mark.parametrize("is_there", [True, False])
def test_uvicorn_s_formatters_are_ours_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    monkeypatch.setattr(logconfig, "_has_uvicorn", lambda: is_there)
    wanted = "uvicorn" if is_there else "asgi_arbiter"
    content = {"version": 1, "formatters": {"f": {"()": "uvicorn.logging.AccessFormatter"}, "g": {"format": "x"}}}
    done = logconfig._completed(content, None)
    assert done["formatters"] == {"f": {"()": f"{wanted}.logging.AccessFormatter"}, "g": {"format": "x"}}
    text = "[loggers]\nkeys=\n[formatter_f]\nclass = uvicorn.logging.DefaultFormatter\nformat=uvicorn.logging.x\n"
    held = logconfig.ini(text, "mine")
    assert held.content == text.replace("class = uvicorn", f"class = {wanted}")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("python:os:name", "log_config: python:os:name must be a dictionary, found text"),
        ("python:os:nam", 'log_config: "os:nam": "os" has no attribute "nam"'),
    ],
)
def test_a_dictionary_in_a_module_that_is_none_is_named(source: str, complaint: str) -> None:
    with pytest.raises(SourceUnreadable) as refusal:
        read(source)
    assert str(refusal.value).startswith(complaint)


def test_a_dictionary_for_gunicorn_may_name_what_gunicorn_has(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("of_test_logconfig")
    module.__dict__["given"] = {"loggers": {"mine": {"handlers": ["console"], "level": "INFO"}}, "root": {}}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    held = read("python:of_test_logconfig:given")
    held.apply()
    [handler] = logging.getLogger("mine").handlers
    assert handler.formatter is not None
    assert held.server_route() == (Route.ROOT, "")
    logging.getLogger("mine").handlers.clear()
