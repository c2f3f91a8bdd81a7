"""Renders ``STATES.md`` and ``SIGNALS.md`` from the tables. Pure text; ``tests.regenerate`` writes the files.

Rules: nothing is explained here that the tables do not say; the words are the values of the enums.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from .signals import ROWS
from .states import (
    GENERATION_TABLE,
    MOLD_TABLE,
    PHASE_TABLE,
    SUCCESSOR_TABLE,
    TENURE_TABLE,
    WORKER_TABLE,
    Health,
    Reason,
)

__all__ = ["signals", "states"]

_NOTICE = "<!-- made by python -m tests.regenerate from the tables; do not edit -->\n\n"
_Table = Mapping[Any, Mapping[Any, Any]]


def signals() -> str:
    """``SIGNALS.md``."""
    rows = [f"| {row.signal.name} | {row.arbiter} | {row.worker} |" for row in ROWS]
    return "\n".join(
        [
            _NOTICE + "# Signals",
            "",
            "Send them to the arbiter (`kill -HUP $(cat app.pid)`); it tells its workers. Handlers only wake the loop, so no "
            "signal is lost during boot or reload, and a stop is obeyed at once in every phase.",
            "A stop signal that comes again within a tenth of a second is taken for an echo of the first.",
            "",
            "| signal | to the arbiter | to a worker |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def states() -> str:
    """``STATES.md``."""
    parts = [
        _NOTICE + "# States\n",
        "Every life in the arbiter is an enum with a table; these tables are the program's own. What is missing from a "
        "table cannot happen: if it does, the log says so and the state stays.\n",
        _section("A worker, as the arbiter sees it", WORKER_TABLE),
        _section("A mold (`--preload`), as the arbiter sees it", MOLD_TABLE),
        _section("A generation", GENERATION_TABLE),
        _section("The arbiter", PHASE_TABLE),
        _section("Whether this arbiter leads (SIGUSR2)", TENURE_TABLE),
        _section("A successor, as the arbiter that started it sees it", SUCCESSOR_TABLE),
        "## Why a worker leaves\n",
        _meanings(Reason),
        "## Health\n",
        _meanings(Health),
    ]
    return "\n".join(parts)


def _section(title: str, table: _Table) -> str:
    facts = dict.fromkeys(fact for row in table.values() for fact in row)
    return "\n".join(
        [
            f"## {title}\n",
            _diagram(table),
            _meanings(table),
            "| fact | meaning |",
            "| --- | --- |",
            *(f"| {fact.name} | {fact.value} |" for fact in facts),
            "",
            _cells(table),
        ]
    )


def _meanings(states: Any) -> str:
    rows = [f"| {state.name} | {state.value} |" for state in states]
    return "\n".join(["| state | meaning |", "| --- | --- |", *rows, ""])


def _cells(table: _Table) -> str:
    """Every cell, also those that keep the state."""
    rows = []
    for state, row in table.items():
        by_target: dict[Enum, list[str]] = {}
        for fact, target in row.items():
            by_target.setdefault(target, []).append(fact.name)
        for target, names in by_target.items():
            to = "stays" if target is state else target.name
            rows.append(f"| {state.name} | {', '.join(names)} | {to} |")
    return "\n".join(["| in | on | to |", "| --- | --- | --- |", *rows, ""])


def _diagram(table: _Table) -> str:
    """The changes only, as Mermaid draws them."""
    lines = ["```mermaid", "stateDiagram-v2"]
    targets = {target for state, row in table.items() for target in row.values() if target is not state}
    lines += [f"    [*] --> {state.name}" for state in table if state not in targets]
    for state, row in table.items():
        by_target: dict[Enum, list[str]] = {}
        for fact, target in row.items():
            if target is not state:
                by_target.setdefault(target, []).append(fact.name)
        lines += [f"    {state.name} --> {target.name}: {', '.join(names)}" for target, names in by_target.items()]
    lines += [f"    {state.name} --> [*]" for state, row in table.items() if set(row.values()) <= {state}]
    return "\n".join([*lines, "```", ""])
