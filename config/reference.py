"""Renders the table of settings: the manual, an annotated example file, a JSON schema, the compatibility table.

Pure: text in, text out; ``python -m tests.regenerate`` writes the files. Nothing here is imported when the program runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from .layers import PREFIX
from .schema import Kind, Option, Reach, section_slug
from .settings import ADDRESS_PARTS, defaults, options
from .written import display_default, toml_value

__all__ = ["compatibility", "example", "json_schema", "manual"]

_SCHEMA_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": ["string", "integer"]},
    Kind.PATH: {"type": "string"},
    Kind.CHOICE: {"type": "string"},
    Kind.NAME: {"type": "string"},
    Kind.HOOK: {"type": "string", "pattern": r"^([A-Za-z_][\w.]*:[A-Za-z_][\w.]*)?$"},
    Kind.FLAG: {"type": "boolean"},
    Kind.MAYBE: {"anyOf": [{"type": "boolean"}, {"const": "auto"}]},
    Kind.COUNT: {"type": "integer"},
    Kind.WORKERS: {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]},
    Kind.SECONDS: {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$|^\d+(\.\d+)?$"},
        ]
    },
    Kind.SIZE: {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)? ?[kKmMgGtT]?([iI]?[bB])?$"}]
    },
    Kind.MEMORY: {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": r"^\d+(\.\d+)? ?([kKmMgGtT]?([iI]?[bB])?|%)$"},
        ]
    },
    Kind.MODE: {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 511}, {"type": "string", "pattern": "^(0o)?[0-7]*$"}]},
    Kind.WORDS: {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]},
    Kind.LINES: {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]},
    Kind.PAIRS: {"type": "object", "additionalProperties": {"type": "string"}},
    Kind.TABLE: {"type": "object"},
    Kind.BINDS: {"anyOf": [{"type": "array", "items": {"type": "string"}, "minItems": 1}, {"type": "string"}]},
}  # fmt: skip

_REACHES = {
    Reach.LIVE: "at once",
    Reach.WORKERS: "by the reload's new workers",
    Reach.RESTART: "only by a restart",
}


def _sections(*, inert: bool = False) -> Iterator[tuple[str, list[tuple[str, Option]]]]:
    """Sections in the order of the manual; those without effect only if ``inert``."""
    for section, group in groupby(options().items(), key=lambda item: item[1].section):
        members = list(group)
        if not inert:
            members = [(name, option) for name, option in members if not option.inert]
        if members:
            yield section, members


# --------------------------------------------------------------------------------------------------------------- manual


def manual() -> str:
    """``SETTINGS.md``: every setting, by section."""
    lines = [
        "# Settings",
        "",
        "<!-- Made from the table in config/settings.py by `python -m tests.regenerate`. Do not edit. -->",
        "",
        "Every setting has one name. It can be written in four places; the later wins:",
        "",
        "1. its default;",
        "2. the settings file: `-c FILE`, else `asgi-arbiter.toml`, else `[tool.asgi-arbiter]` in `pyproject.toml`, else"
        " gunicorn's `gunicorn.conf.py`, in the current directory. Keys stand before the first table or in the table of"
        " their section (`[stopping]`);",
        f"3. the environment: `{PREFIX}<NAME>`, before that uvicorn's `UVICORN_<OPTION>`, before that gunicorn's"
        " `GUNICORN_CMD_ARGS`, before that `WEB_CONCURRENCY`, `PORT` and `FORWARDED_ALLOW_IPS`;",
        "4. the command line.",
        "",
        "`asgi-arbiter --print-config` shows each value and where it came from. Durations are seconds (`30`, `1.5`) or have"
        " a unit (`500ms`, `30s`, `5m`, `6h`, `1d`, `1h30m`); sizes are bytes or have a unit (`512K`, `16MiB`, `1G`; all"
        " are powers of 1024); modes are octal (`660`); lists are comma separated or repeated, in TOML they are arrays."
        " 0 means off or unlimited unless the setting says otherwise.",
        "",
        "*Reload* says when a changed value holds after SIGHUP.",
        "",
    ]
    for section, members in _sections(inert=True):
        lines += [f"- [{section}](#{section.lower()}): " + ", ".join(f"[`{name}`](#{name})" for name, _ in members)]
    for section, members in _sections(inert=True):
        lines += ["", f"## {section}", ""]
        if all(option.inert for _, option in members):
            lines += ["These are accepted and have no effect; each earns one warning with the reason.", ""]
        for name, option in members:
            lines += [*_entry(name, option), ""]
    return "\n".join(lines).rstrip() + "\n"


def _entry(name: str, option: Option) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield f"{option.help} {option.more}".rstrip()
    yield ""
    spelled = [f"`{flag}`" for flag in option.flags]
    if option.is_boolean and option.negatable and not option.takes_value:
        spelled += [f"`--no-{option.flag[2:]}`"] if option.flag else []
    yield "| | |"
    yield "|---|---|"
    if spelled:
        yield f"| command line | {', '.join(spelled)} |"
    yield f"| environment | `{PREFIX}{name.upper()}` |"
    yield f"| file | `{name}` in `[{section_slug(option.section)}]` |"
    yield f"| value | {_value_text(option)} |"
    yield f"| default | {_code(display_default(option, defaults()[name]))} |"
    yield f"| reload | taken over {_REACHES[option.reach]} |"
    others = [f"`{flag}`" for flag in option.also] + [f"`{word}`" for word in _other_names(name, option)]
    if name == "bind":
        others += [f"`--{part}`" for part in ADDRESS_PARTS]
    if others:
        yield f"| also | {', '.join(dict.fromkeys(others))} |"
    if option.differs:
        yield f"| differs | {option.differs} |"
    if option.inert:
        yield f"| no effect | {option.inert} |"
    yield f"| since | {option.since} |"


def _other_names(name: str, option: Option) -> list[str]:
    return [word for word in option.names(name) if word != name]


def _code(text: str) -> str:
    return f"`{text}`"


def _value_text(option: Option) -> str:
    words = option.kind.value
    if option.choices:
        words = ", ".join(_code(word) for word in option.choices)
        words += ", or `module:attribute`" if option.kind is Kind.NAME else ""
    elif option.numbered:
        words += ", or " + ", ".join(_code(word) for word in option.numbered)
    if option.most is not None and option.kind is not Kind.MODE:
        words += f", {option.least or 0:g} to {option.most:g}"
    elif option.least:
        words += f", at least {option.least:g}"
    if option.spelled:
        words += "; " + ", ".join(f"`{word}` is `{meant}`" for word, meant in option.spelled.items())
    return words


# -------------------------------------------------------------------------------------------------------------- example


def example() -> str:
    """``examples/arbiter.toml``: every setting that has an effect, commented out, with its default."""
    lines = [
        "# asgi-arbiter.toml with all settings at their defaults; take away the # of what you want to change.",
        "# Made by `python -m tests.regenerate` from config/settings.py; config/SETTINGS.md says more.",
        "# In pyproject.toml the same tables are [tool.asgi-arbiter.application] and so on.",
    ]
    for section, members in _sections():
        lines += ["", f"[{section_slug(section)}]"]
        for name, option in members:
            lines += ["", f"# {option.help}", f"# {name} = {toml_value(defaults()[name], kind=option.kind)}"]
    return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------------------------------------- schema


def json_schema() -> str:
    """The JSON schema of a settings file, for editors: keys at the top or in the tables of their sections."""
    flat: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for section, members in _sections(inert=True):
        inside: dict[str, Any] = {}
        for name, option in members:
            inside |= dict(_properties(name, option))
        flat |= inside
        tables[section_slug(section)] = {"type": "object", "additionalProperties": False, "properties": inside}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "asgi-arbiter.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {**tables, **flat},
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _properties(name: str, option: Option) -> Iterator[tuple[str, dict[str, Any]]]:
    text = f"{option.help} {option.more}".strip()
    if option.inert:
        text += f" Has no effect: {option.inert}."
    own = {"description": text, "default": _json_default(option, defaults()[name]), **_schema_type(option)}
    yield name, own
    for word in _other_names(name, option):
        yield word, {"description": f"The same as {name}.", "deprecated": True, **_schema_type(option)}
    if name == "bind":
        number = {"type": ["integer", "string"]}
        for part in ADDRESS_PARTS:
            kind = number if part in ("port", "fd") else {"type": "string"}
            yield (
                part,
                {"description": "A part of an address, as uvicorn has it; see bind.", "deprecated": True, **kind},
            )


def _schema_type(option: Option) -> dict[str, Any]:
    if option.kind is Kind.CHOICE:
        words = [*option.choices, *option.spelled]
        kinds: dict[str, Any] = {"enum": words}
        return {"anyOf": [kinds, {"type": "boolean"}]} if "true" in words else kinds
    if option.kind is Kind.NAME:
        listed = "|".join([*option.choices, *option.spelled])
        return {"type": "string", "pattern": rf"^({listed}|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)$"}
    if option.kind is Kind.COUNT:
        number: dict[str, Any] = {"type": "integer", "minimum": int(option.least or 0)}
        if option.most is not None:
            number["maximum"] = int(option.most)
        return {"anyOf": [number, {"enum": list(option.numbered)}]} if option.numbered else number
    return _SCHEMA_TYPES[option.kind]


def _json_default(option: Option, value: object) -> object:
    if value is None:
        return "auto" if option.kind is Kind.MAYBE else ""
    if isinstance(value, tuple):
        return dict(value) if option.kind in (Kind.PAIRS, Kind.TABLE) else list(value)
    return value


# -------------------------------------------------------------------------------------------------------- compatibility


def compatibility() -> str:
    """The table in ``config/README.md``: uvicorn's option, gunicorn's setting, ours, and the difference."""
    rows = ["| uvicorn | gunicorn | asgi-arbiter | difference |", "|---|---|---|---|"]
    for name, option in options().items():
        if option.uvicorn or option.gunicorn:
            ours = f"`{option.flag}`" if option.flag else f"`{name}` (file)"
            ours = "`APP`" if name == "app" else ours
            gap = f"No effect: {option.inert}." if option.inert else option.differs
            theirs = f"`{option.uvicorn}`" if option.uvicorn else ("`APP`" if name == "app" else "")
            gunicorn = f"`{option.gunicorn}`" if option.gunicorn else ""
            rows.append(f"| {theirs} | {gunicorn} | {ours} | {gap} |".replace("|  |", "| |"))
    rows += [
        "| `--version` | `-v`, `--version` | `-v`, `--version` | |",
        "| | `-c`, `config` | `-c`, `--config` | TOML too; it may also be named in `ASGI_ARBITER_CONFIG`. |",
        "| | `--check-config` | `--check-config` | The application is imported in a process of its own. |",
        "| | `--print-config` | `--print-config` | Says where each value came from. |",
    ]
    return "\n".join(rows) + "\n"
