"""The table of limits in ``protocols/README.md`` is complete, and its defaults are those of the settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asgi_arbiter.config.schema import Kind
from asgi_arbiter.config.settings import defaults, options

MANUAL = Path(__file__).resolve().parents[3] / "protocols" / "README.md"
LIMITS = re.compile(r"limit_\w+|ws_max_\w+|\w+_min_rate|\w*(header|body|write|handshake|request)_timeout|keepalive")


def rows() -> dict[str, str]:
    """The defaults as the table tells them, by setting."""
    table = MANUAL.read_text().partition("| what | setting |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: default for _, setting, default, _ in cells for name in re.findall(r"`(\w+)`", setting)}


def spelled(name: str) -> str:
    """A default as a reader wants it."""
    value = defaults()[name]
    if not value:
        return "off"
    if options()[name].kind is Kind.SECONDS:
        return f"{value:g} s"
    if name.endswith("_min_rate"):
        return f"{value} B/s"
    if options()[name].kind is Kind.SIZE:
        return f"{value >> 20} MiB" if value >= 1 << 20 else f"{value >> 10} KiB"
    return str(value)


@pytest.mark.parametrize("name", sorted(rows()))
def test_a_default_in_the_table_is_that_of_the_setting(name: str) -> None:
    assert rows()[name].startswith(spelled(name))


def test_every_limit_stands_in_the_table() -> None:
    wanted = {name for name, option in options().items() if LIMITS.fullmatch(name) and not option.inert}
    assert wanted - rows().keys() == set()
