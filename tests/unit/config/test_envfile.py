"""Environment files and single variables for the application."""

from __future__ import annotations

import builtins
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.config import Config, InvalidSetting, MissingExtra, SourceUnreadable
from asgi_arbiter.config.envfile import load_environment


@pytest.fixture
def env_file(tmp_path: Path) -> Any:
    def write(text: str, name: str = ".env") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_a_file_sets_variables_with_quotes_and_comments(env_file: Any) -> None:
    environ: dict[str, str] = {}
    path = env_file("# comment\nA=1\nexport B='two words'\nC=\"x\\ny\"\nEMPTY=\nNOTHING\n")
    assert load_environment(Config(env_file=(path,)), environ) == ["A", "B", "C", "EMPTY"]
    assert environ == {"A": "1", "B": "two words", "C": "x\ny", "EMPTY": ""}


def test_the_process_wins_over_the_file(env_file: Any) -> None:
    environ = {"A": "process"}
    assert load_environment(Config(env_file=(env_file("A=file\n"),)), environ) == []
    assert environ == {"A": "process"}


def test_a_later_file_wins_over_an_earlier_one(env_file: Any) -> None:
    environ: dict[str, str] = {}
    load_environment(Config(env_file=(env_file("A=1\nB=1\n"), env_file("A=2\n", "second.env"))), environ)
    assert environ == {"A": "2", "B": "1"}


def test_single_variables_win_over_everything(env_file: Any) -> None:
    environ = {"A": "process"}
    load_environment(Config(env_file=(env_file("A=file\n"),), raw_env=("A=single", "B=x=y", "C=")), environ)
    assert environ == {"A": "single", "B": "x=y", "C": ""}


def test_variables_in_values_are_expanded(env_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_FROM_PROCESS", "db")
    environ: dict[str, str] = {}
    load_environment(Config(env_file=(env_file("PORT=1\nURL=${HOST_FROM_PROCESS}:${PORT}\n"),)), environ)
    assert environ["URL"] == "db:1"


@pytest.mark.parametrize("text", ["A", "=x", "", "A=\0"])
def test_a_single_variable_of_another_form_is_named(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"raw_env: found .*, expected NAME=VALUE"):
        load_environment(Config(raw_env=(text,)), {})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SourceUnreadable, match=r"env_file: cannot read /no/such/.env: No such file or directory"):
        load_environment(Config(env_file=("/no/such/.env",)), {})


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(SourceUnreadable, match="is not UTF-8 text"):
        load_environment(Config(env_file=(str(path),)), {})


def test_a_line_that_cannot_be_read_is_a_warning_with_the_file(env_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[logging.LogRecord] = []
    monkeypatch.setattr(logging.getLogger("asgi_arbiter.worker"), "handle", lines.append)
    environ: dict[str, str] = {}
    path = env_file("A=1\nnot a line\nB=2\n")
    load_environment(Config(env_file=(path,)), environ)
    assert environ == {"A": "1", "B": "2"}
    assert len(lines) == 1
    assert path in lines[0].getMessage()
    assert "2" in lines[0].getMessage()


def test_a_missing_python_dotenv_is_named_with_its_command(env_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("dotenv"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "dotenv.main", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'asgi-arbiter\[dotenv\]'"):
        load_environment(Config(env_file=(env_file("A=1\n"),)), {})
    assert load_environment(Config(raw_env=("A=1",)), {}) == ["A"]
