"""Joining callgrind's addresses with the names of Python functions."""

from __future__ import annotations

from tests.benchmarks.functions import inclusive, read_map

NAMES = {0x1000: "app (raw.py)", 0x2000: "Cycle.send (cycle.py)"}


def test_a_map_gives_each_address_its_function_and_file() -> None:
    text = "7f00 b py::app:/x/raw.py\n7f10 b py::Cycle.send:/x/y/cycle.py\n"
    assert read_map(text) == {0x7F00: "app (raw.py)", 0x7F10: "Cycle.send (cycle.py)"}


def test_figures_come_dearest_first_and_foreign_addresses_are_left_out() -> None:
    text = (
        "     1,200 ( 1.00%)  ???:0x0000000000001000 [/lib/x]\n"
        "48,098,203 (100.0%)  ???:0x0000000000002000\n"
        "    90,000 ( 9.00%)  ???:0x0000000000002040\n"
        "     5,000 ( 0.10%)  Objects/dictobject.c:insertdict [/lib/y]\n"
    )
    assert list(inclusive(text, NAMES).items()) == [("Cycle.send (cycle.py)", 48098203), ("app (raw.py)", 1200)]


def test_the_parts_of_one_function_are_not_added_up() -> None:
    text = "1,200 (1%)  ???:0x1000\n1,100 (1%)  ???:0x1010'2\n"
    assert inclusive(text, NAMES) == {"app (raw.py)": 1200}
