from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_arbiter.config.coerce import coerce
from asgi_arbiter.config.schema import Kind
from asgi_arbiter.config.settings import defaults, options
from asgi_arbiter.config.written import display_default, toml_value


@given(st.text())
def test_any_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"x = {toml_value(text)}")["x"] == text


@given(st.floats(min_value=0, max_value=1e9))
def test_any_duration_survives_toml(seconds: float) -> None:
    assert tomllib.loads(f"x = {toml_value(seconds)}")["x"] == seconds


@given(st.lists(st.text()).map(tuple))
def test_any_list_survives_toml(items: tuple[str, ...]) -> None:
    assert tuple(tomllib.loads(f"x = {toml_value(items)}")["x"]) == items


@pytest.mark.parametrize("name", list(options()))
def test_every_default_is_itself_again_after_toml_and_coercion(name: str) -> None:
    option, default = options()[name], defaults()[name]
    written = tomllib.loads(f"x = {toml_value(default, kind=option.kind)}")["x"]
    back = coerce(option, written)
    assert back == default
    assert type(back) is type(default)


def test_modes_are_written_in_octal_and_pairs_as_a_table() -> None:
    assert toml_value(0o22, kind=Kind.MODE) == '"022"'
    assert toml_value((("A", "b"),), kind=Kind.PAIRS) == '{ "A" = "b" }'
    assert toml_value((), kind=Kind.PAIRS) == "{}"


def test_defaults_are_shown_as_people_say_them() -> None:
    def shown(name: str) -> str:
        return display_default(options()[name], defaults()[name])

    assert [shown(name) for name in ("reload", "access_log", "use_colors", "umask", "timeout", "bind", "headers")] == [
        "off", "on", "auto", "none", "30", "127.0.0.1:8000", "none",
    ]  # fmt: skip
    assert shown("secure_scheme_headers").startswith("X-FORWARDED-PROTOCOL=ssl,")
