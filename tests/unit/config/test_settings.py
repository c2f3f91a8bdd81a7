from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import get_type_hints

import pytest

from asgi_arbiter.config import Config, Reach
from asgi_arbiter.config.schema import Kind, Option, section_slug
from asgi_arbiter.config.settings import ADDRESS_PARTS, defaults, names, options

TYPES = {
    Kind.TEXT: str,
    Kind.PATH: str,
    Kind.CHOICE: str,
    Kind.NAME: str,
    Kind.HOOK: str,
    Kind.FLAG: bool,
    Kind.MAYBE: bool | None,
    Kind.COUNT: int,
    Kind.WORKERS: int,
    Kind.SECONDS: float,
    Kind.SIZE: int,
    Kind.MEMORY: int,
    Kind.MODE: int | None,
    Kind.WORDS: tuple[str, ...],
    Kind.LINES: tuple[str, ...],
    Kind.PAIRS: tuple[tuple[str, str], ...],
    Kind.TABLE: tuple[tuple[str, str], ...],
    Kind.BINDS: tuple[str, ...],
}


@pytest.mark.parametrize(("name", "option"), options().items(), ids=options())
def test_every_setting_is_complete(name: str, option: Option) -> None:
    assert option.help.endswith(".")
    assert option.help[0].isupper() or option.help[0].isalpha()
    assert option.more == "" or option.more.endswith(".")
    assert option.differs == "" or option.differs.endswith(".")
    assert option.inert == "" or not option.inert.endswith(".")
    assert option.section
    assert option.since
    assert isinstance(hash(defaults()[name]), int), "a default is shared and must not be changeable"


def test_the_annotation_of_each_setting_is_the_type_of_its_kind() -> None:
    hints = get_type_hints(Config)
    assert {name: hints[name] for name in options()} == {name: TYPES[each.kind] for name, each in options().items()}


def test_no_flag_belongs_to_two_settings() -> None:
    flags = [flag for option in options().values() for flag in (*option.flags, *option.also)]
    flags += [f"--{part}" for part in ADDRESS_PARTS]
    flags += ["-c", "--config", "-h", "--help", "-v", "--version", "--check-config", "--print-config"]
    for option in options().values():
        if option.is_boolean and option.negatable and not option.takes_value:
            flags += [f"--no-{flag[2:]}" for flag in option.flags if flag.startswith("--")]
    assert [flag for flag, times in Counter(flags).items() if times > 1] == []


def test_no_name_belongs_to_two_settings_or_to_a_table() -> None:
    words = [word for name, option in options().items() for word in option.names(name)]
    tables = {section_slug(option.section) for option in options().values()}
    assert [word for word, times in Counter([*words, *ADDRESS_PARTS]).items() if times > 1] == []
    assert tables.isdisjoint([*words, *ADDRESS_PARTS])
    assert set(names()) == set(words)


def test_a_section_is_in_one_place() -> None:
    sections = [option.section for option in options().values()]
    assert len(set(sections)) == 1 + sum(one != next_one for one, next_one in pairwise(sections))


def test_uvicorn_s_spelling_of_a_setting_is_one_of_ours() -> None:
    for name, option in options().items():
        if option.uvicorn and name != "bind":
            assert option.uvicorn.split(" / ")[0] in (*option.flags, *option.also), name


def test_choices_contain_the_default_and_the_meaning_of_every_other_word() -> None:
    for name, option in options().items():
        if option.choices:
            assert getattr(Config(), name) in option.choices, name
            assert set(option.spelled.values()) <= set(option.choices), name
            assert set(option.noted) <= set(option.spelled), name


def test_a_config_is_frozen_and_has_no_other_attributes() -> None:
    config = Config(workers=2)
    with pytest.raises(AttributeError, match="workers of a Config cannot be changed"):
        config.workers = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="wrokers"):
        Config(wrokers=2)  # type: ignore[call-arg]


def test_addresses_are_the_parsed_binds() -> None:
    assert [str(each) for each in Config(bind=("h:1", "unix:/x")).addresses] == ["h:1", "unix:/x"]


def test_changes_are_named_with_how_far_they_reach() -> None:
    before = Config()
    after = Config(graceful_timeout=1.0, http="h11", pidfile="/x", threads=8)
    assert after.changed_from(before) == [
        ("graceful_timeout", Reach.LIVE),
        ("http", Reach.WORKERS),
        ("pidfile", Reach.RESTART),
    ]
    assert before.changed_from(Config()) == []


def test_the_description_is_toml_and_hides_the_password() -> None:
    described = dict(Config(keyfile_password="s3cret", umask=0o22, headers=('a: "b"',)).describe())
    assert described["keyfile_password"] == '"***"'
    assert described["umask"] == '"022"'
    assert described["headers"] == '["a: \\"b\\""]'
    assert list(described) == list(options())


READERS = {
    "access",
    "atoms",
    "envfile",
    "importer",
    "interfaces",
    "logconfig",
    "logformat",
    "loghandlers",
    "logs",
    "tls",
}
"""Of our own folder, the modules that act on settings."""
COMBINED = {"worker_class"}
"""Settings that ``sources`` turns into others."""


def test_a_setting_is_read_by_somebody_or_says_why_it_has_no_effect() -> None:
    root = Path(__file__).parents[3]
    files = [path for folder in ("protocols", "worker", "arbiter") for path in (root / folder).glob("*.py")]
    files += [root / "config" / f"{name}.py" for name in sorted(READERS)]
    # What the gunicorn worker reads is gunicorn's configuration, which has the same names.
    code = "\n".join(path.read_text() for path in files if path.exists() and not path.name.startswith("gunicorn"))
    read = {name for name in options() if re.search(rf'(config|cfg)\.{name}\b|"{name}"', code)} | COMBINED
    with_effect = {name for name, option in options().items() if not option.inert}
    assert with_effect - read == set(), "nobody reads them: give them a reason in `inert`"
    assert read - with_effect == set(), "they are read: take the reason in `inert` away"
