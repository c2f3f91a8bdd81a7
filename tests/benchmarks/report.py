"""Turns the figures into a JSON document and a text table. Pure, but for the writing of the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cell", "document", "grid", "text"]

Figures = Mapping[str, Mapping[str, float | None]]


def cell(value: float | None, ratio: float | None = None) -> str:
    """A figure with three digits that matter, and the ratio in brackets."""
    if value is None:
        return "-"
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{shown} ({ratio:.2f})" if ratio is not None else shown


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        parts = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(parts).rstrip())
        if number == 0:
            lines.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)


def document(
    facts: Mapping[str, Any],
    workloads: Mapping[str, Mapping[str, Any]],
    lifecycle: Mapping[str, Mapping[str, Any]],
    honesty: Mapping[str, Mapping[str, str | None]],
    skipped: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """All figures, for a program to read."""
    return {
        "format": 1,
        **facts,
        "honesty": honesty,
        "workloads": workloads,
        "lifecycle": lifecycle,
        "skipped": skipped,
    }


def text(found: Mapping[str, Any]) -> str:
    """The report for a person, from a document."""
    servers: list[str] = found["servers"]
    dishonest = {name for name, answers in found["honesty"].items() if any(answers.values())}
    names = [name + ("*" if name in dishonest else "") for name in servers]
    machine = found["machine"]
    parts = [
        f"Python {found['python']} ({found['interpreter']}), {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"load {machine['load_average']}; {found['repeat']} rounds of {found['seconds']:g} s; {found['date']}"
    ]
    if found["workloads"]:
        parts.append("Server CPU, µs per request (ratio to uvicorn, higher is better)")
        parts.append(_workload_grid(found["workloads"], servers, names, "cpu_us", "ratio"))
        for title, key in (
            ("Requests per second", "per_second"),
            ("p50, ms", "p50_ms"),
            ("p99, ms", "p99_ms"),
            ("Spread of the rounds (largest over smallest CPU)", "spread"),
        ):
            parts += [title, _workload_grid(found["workloads"], servers, names, key)]
    if found["lifecycle"]:
        rows = [["", *names]]
        for entry in found["lifecycle"].values():
            title = f"{entry['title']}, {entry['unit']}".rstrip(", ")
            rows.append([title, *(cell(entry["median"].get(server)) for server in servers)])
        parts += ["Memory, start and reload (lower is better)", grid(rows)]
    parts += _remarks(found, dishonest)
    return "\n\n".join(parts) + "\n"


def _workload_grid(
    workloads: Mapping[str, Any], servers: Sequence[str], names: Sequence[str], key: str, ratio: str | None = None
) -> str:
    rows = [["", *names]]
    for entry in workloads.values():
        figures: Figures = entry["summary"]
        of = [figures.get(server, {}) for server in servers]
        rows.append([entry["title"], *(cell(one.get(key), one.get(ratio) if ratio else None) for one in of)])
    return grid(rows)


def _remarks(found: Mapping[str, Any], dishonest: set[str]) -> list[str]:
    lines = [
        f"* {server}, {question}: {complaint}"
        for server in sorted(dishonest)
        for question, complaint in found["honesty"][server].items()
        if complaint
    ]
    for what, reasons in found["skipped"].items():
        lines += [f"- {what}, {server}: {reason.splitlines()[0]}" for server, reason in reasons.items() if reason]
    for what, entry in found["workloads"].items():
        lines += [
            f"- {what}, {server}: {figures['errors']:.0f} broken connections"
            for server, figures in entry["summary"].items()
            if figures.get("errors")
        ]
    return ["\n".join(lines)] if lines else []
