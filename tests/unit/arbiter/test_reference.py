"""The manual's tables are the program's tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_arbiter.arbiter import reference
from asgi_arbiter.arbiter.signals import ROWS
from asgi_arbiter.arbiter.states import GENERATION_TABLE, PHASE_TABLE, WORKER_TABLE

FOLDER = Path(__file__).parents[3] / "arbiter"


@pytest.mark.parametrize("name", ["states", "signals"])
def test_the_file_is_what_the_tables_say(name: str) -> None:
    written = (FOLDER / f"{name.upper()}.md").read_text(encoding="utf-8")
    assert written == getattr(reference, name)(), "run python -m tests.regenerate"


def test_every_signal_has_its_row() -> None:
    text = reference.signals()
    for row in ROWS:
        assert f"| {row.signal.name} | {row.arbiter} | {row.worker} |" in text


def test_every_transition_is_drawn_and_listed() -> None:
    text = reference.states()
    for table in (WORKER_TABLE, GENERATION_TABLE, PHASE_TABLE):
        for state, row in table.items():
            for fact, target in row.items():
                if target is not state:
                    arrows = [
                        line for line in text.splitlines() if line.startswith(f"    {state.name} --> {target.name}:")
                    ]
                    assert any(fact.name in line for line in arrows)


def test_each_diagram_begins_and_ends() -> None:
    text = reference.states()
    assert text.count("```mermaid") == 6
    assert "    [*] --> BOOTING" in text and "    [*] --> PROPOSED" in text and "    [*] --> STARTING" in text
    assert "    GONE --> [*]" in text and "    RETIRED --> [*]" in text and "    STOPPED --> [*]" in text
