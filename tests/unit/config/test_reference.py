from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from asgi_arbiter.config import load, reference
from asgi_arbiter.config.settings import Config, names, options
from tests.regenerate import stale

SCHEMA: dict[str, Any] = json.loads(reference.json_schema())
UNCOMMENTED = re.sub(r"(?m)^# (\w+ = )", r"\1", reference.example())


def test_the_generated_files_are_not_stale() -> None:
    assert stale() == [], "run python -m tests.regenerate"


def test_the_manual_has_every_setting_under_every_name() -> None:
    manual = reference.manual()
    for name, option in options().items():
        assert f"\n### {name}\n" in manual
        for word in (*option.names(name), *option.flags, *option.also):
            assert f"`{word}`" in manual


def test_the_example_has_no_effect_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "asgi-arbiter.toml").write_text(reference.example())
    assert load(directory=tmp_path, environment={}).config == Config()


def test_the_example_without_its_comment_signs_says_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "asgi-arbiter.toml").write_text(UNCOMMENTED)
    loaded = load(directory=tmp_path, environment={})
    assert loaded.config == Config()
    written = {name for name, source in loaded.sources.items() if str(source) != "default"}
    with_effect = {name for name, option in options().items() if not option.inert}
    assert written == with_effect


def test_the_example_is_valid_by_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(tomllib.loads(UNCOMMENTED), SCHEMA)
    jsonschema.validate(tomllib.loads(reference.example()), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        'graceful_timeout = "1h30m"\nworkers = "auto"',
        'limit_max_requests = 5\nmax_worker_memory = "512MiB"',
        'host = "::1"\nport = 9000',
        '[logging]\nlog_level = "warn"',
        '[tls]\ncert_reqs = "required"',
        'uds_permissions = "660"\numask = 0o22\nuse_colors = "auto"',
        'bind = "unix:/x"\nhttp = "my:Parser"\nproxy_protocol = true',
        '[proxies.secure_scheme_headers]\nX-A = "b"',
    ],
)
def test_the_schema_allows_what_is_allowed(text: str, tmp_path: Path) -> None:
    jsonschema.validate(tomllib.loads(text), SCHEMA)
    (tmp_path / "asgi-arbiter.toml").write_text(text.replace("\ncert", '\ncertfile = "x"\nca_certs = "x"\ncert'))
    load(directory=tmp_path, environment={})


@pytest.mark.parametrize(
    "text",
    [
        "wrokers = 3",
        "workers = 0",
        "[stopping]\nworkers = 3",
        'graceful_timeout = "soon"',
        'http = "quick"',
        "[nonsense]",
        'reload = "perhaps"',
    ],
)
def test_the_schema_refuses_what_is_refused(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), SCHEMA)


def test_the_schema_knows_every_name_at_the_top_and_in_its_table() -> None:
    assert set(names()) <= set(SCHEMA["properties"])
    assert set(names()) == {
        word
        for table in SCHEMA["properties"].values()
        if table.get("type") == "object" and "properties" in table
        for word in table["properties"]
    } - {"host", "port", "uds", "fd"}


def test_the_comparison_has_a_row_for_everything_that_the_others_have() -> None:
    table = reference.compatibility()
    for name, option in options().items():
        if option.uvicorn or option.gunicorn:
            assert (f"`{option.flag}`" if option.flag else f"`{name}` (file)") in table or name == "app"
    assert len({line.count(" |") for line in table.splitlines()}) <= 2
    assert "| `--limit-max-requests` | `max_requests` | `--max-requests` |" in table
