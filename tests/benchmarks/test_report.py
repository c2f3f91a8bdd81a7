"""The text table and the document behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.benchmarks import report


def a_document() -> dict[str, Any]:
    figures = {
        "cpu_us": 30.0,
        "ratio": 1.0,
        "per_second": 33000.0,
        "p50_ms": 1.5,
        "p99_ms": 3.0,
        "spread": 1.1,
        "errors": 0,
    }
    ours = {**figures, "cpu_us": 15.0, "ratio": 2.0, "errors": 3}
    facts = {
        "python": "3.13.0",
        "interpreter": "/usr/bin/python3",
        "machine": {"cpu": "some CPU", "cores": 2, "kernel": "6.1", "load_average": "0.1"},
        "servers": ["uvicorn", "asgi-arbiter"],
        "repeat": 5,
        "seconds": 2.0,
        "date": "2026-11-22",
    }
    return report.document(
        facts,
        {"hello": {"title": "hello, 64 connections", "summary": {"uvicorn": figures, "asgi-arbiter": ours}}},
        {"cold-start": {"title": "cold start", "unit": "s", "median": {"uvicorn": 0.17}}},
        {"uvicorn": {"date": None}, "asgi-arbiter": {"date": "no Date header"}},
        {"cold-start": {"asgi-arbiter": "did not start\nand more"}},
    )


def test_a_row_has_the_figure_of_every_server_with_its_ratio() -> None:
    lines = report.text(a_document()).splitlines()
    row = next(line for line in lines if line.startswith("hello, 64"))
    assert row.split("  ")[-1].strip() == "15.0 (2.00)"
    assert "30.0 (1.00)" in row


def test_a_server_that_does_not_do_all_the_work_is_marked_and_the_reason_given() -> None:
    text = report.text(a_document())
    assert "asgi-arbiter*" in text
    assert "* asgi-arbiter, date: no Date header" in text
    assert "uvicorn*" not in text


def test_an_empty_cell_has_its_reason_below_the_tables() -> None:
    text = report.text(a_document())
    assert "- cold-start, asgi-arbiter: did not start\n" in text
    assert next(line for line in text.splitlines() if line.startswith("cold start")).endswith("-")


def test_broken_connections_are_told() -> None:
    assert "- hello, asgi-arbiter: 3 broken connections" in report.text(a_document())


def test_the_document_is_json() -> None:
    assert json.loads(json.dumps(a_document()))["format"] == 1


@pytest.mark.parametrize(
    ("value", "ratio", "expected"),
    [(None, None, "-"), (None, 1.0, "-"), (1266.4, None, "1,266"), (34.84, 1.2, "34.8 (1.20)"), (0.167, None, "0.17")],
)
def test_a_cell_has_the_digits_that_matter(value: float | None, ratio: float | None, expected: str) -> None:
    assert report.cell(value, ratio) == expected


def test_columns_are_aligned() -> None:
    lines = report.grid([["", "one", "three"], ["a", "1", "2"], ["long", "10", "20"]]).splitlines()
    assert lines == ["      one  three", "----------------", "a       1      2", "long   10     20"]
