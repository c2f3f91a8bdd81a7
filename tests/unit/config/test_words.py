"""What is cut without click is cut as click would."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_arbiter.config.cli import parse
from asgi_arbiter.config.errors import ConfigError
from asgi_arbiter.config.settings import ADDRESS_PARTS, options
from asgi_arbiter.config.words import CommandLine, cut, split

PLAIN = [
    "main:app",
    "main:app --port 8000",
    "main:app --host 0.0.0.0 --port=80 -w 4",
    "--factory main:create_app --uds /run/app.sock",
    "-k uvicorn.workers.UvicornWorker -b 0.0.0.0:80 -b unix:/x main:app",
    "main:app --no-access-log --reload --reload-dir a --reload-dir b,c",
    "main:app -c gunicorn.conf.py --root-path=--odd",
    "-e A=1,2 -e B=2 main:app --header 'x:a,b'",
    "--workers 1 --workers 2 --access-log --no-access-log",
    "--root-path= main:app",
    "",
]
NOT_PLAIN = [
    "--help",
    "--version main:app",
    "main:app --check-config",
    "main:app -w4",
    "main:app -w",
    "main:app -w=4",
    "main:app --root-path --odd",
    "main:app --wrokers 4",
    "main:app other:app",
    "main:app -- --port",
    "-",
    "main:app --reload=yes",
    "main:app --proxy-protocol",
    "main:app --graceful-timeout 1 --timeout-graceful-shutdown 2",
]


def by_click(words: list[str]) -> CommandLine | None:
    """What click says, or None if it complains."""
    try:
        return parse(words)
    except (click.ClickException, ConfigError):
        return None


@pytest.mark.parametrize("line", PLAIN)
def test_a_plain_line_is_cut_as_click_cuts_it(line: str) -> None:
    words = shlex.split(line)
    found = cut(words)
    assert found is not None
    assert found == parse(words)
    assert list(found.values) == list(parse(words).values), "the order of messages follows from it"


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_click(line: str) -> None:
    assert cut(shlex.split(line)) is None


def every_flag() -> Iterator[str]:
    for option in options().values():
        for flag in (*option.flags, *option.also):
            yield flag
            if flag.startswith("--"):
                yield f"--no-{flag[2:]}"
    yield from (f"--{part}" for part in ADDRESS_PARTS)
    yield from ("-c", "--config", "--print-config", "--nothing")


@pytest.mark.parametrize("words", [["{}"], ["{}", "1,2"], ["{}=1,2"], ["{}", "a:b", "{}", "c, d"]], ids=" ".join)
def test_every_flag_means_what_it_means_to_click(words: list[str]) -> None:
    plain = 0
    for flag in every_flag():
        line = [word.format(flag) for word in words]
        found = cut(line)
        assert found is None or found == by_click(line), line
        plain += found is not None
    assert plain > 20


@given(st.lists(st.sampled_from([*every_flag(), "main:app", "4", "a,b", "-", "--", "-w4", "--port=1", "é=", " "])))
@example(["--workers", "2", "--web-concurrency", "3"])
def test_whatever_the_words_it_is_click_s_answer_or_none(words: list[str]) -> None:
    found = cut(words)
    assert found is None or found == by_click(words)


def test_items_may_be_given_together_or_one_by_one() -> None:
    assert split(["a, b", "c"]) == ["a", "b", "c"]
