"""The tables are total: every state is reachable and leavable, and ends end."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest

from asgi_arbiter.arbiter.states import (
    ALIVE,
    CAPACITY,
    GENERATION_TABLE,
    LEAVING,
    MOLD_TABLE,
    PHASE_TABLE,
    SHUTTING_DOWN,
    SPAWNING,
    SUCCESSOR_TABLE,
    TENURE_TABLE,
    WORKER_TABLE,
    GenerationFact,
    GenerationState,
    MoldFact,
    MoldState,
    Phase,
    PhaseFact,
    SuccessorFact,
    SuccessorState,
    Tenure,
    TenureFact,
    WorkerFact,
    WorkerState,
)

Table = Mapping[Any, Mapping[Any, Any]]
TABLES = [
    pytest.param(WORKER_TABLE, WorkerState, WorkerFact, WorkerState.BOOTING, {WorkerState.GONE}, id="worker"),
    pytest.param(
        GENERATION_TABLE,
        GenerationState,
        GenerationFact,
        GenerationState.PROPOSED,
        {GenerationState.RETIRED},
        id="generation",
    ),
    pytest.param(MOLD_TABLE, MoldState, MoldFact, MoldState.IMPORTING, {MoldState.GONE}, id="mold"),
    pytest.param(
        SUCCESSOR_TABLE, SuccessorState, SuccessorFact, SuccessorState.BOOTING, {SuccessorState.GONE}, id="successor"
    ),
    pytest.param(TENURE_TABLE, Tenure, TenureFact, Tenure.APPRENTICE, {Tenure.RETIRED}, id="tenure"),
    pytest.param(PHASE_TABLE, Phase, PhaseFact, Phase.STARTING, {Phase.STOPPED}, id="arbiter"),
]


def reachable(table: Table, start: Enum) -> set[Enum]:
    found, fresh = {start}, [start]
    while fresh:
        for target in table[fresh.pop()].values():
            if target not in found:
                found.add(target)
                fresh.append(target)
    return found


@pytest.mark.parametrize(("table", "states", "facts", "start", "ends"), TABLES)
class TestTable:
    def test_it_has_a_row_for_every_state(self, table: Table, states: Any, facts: Any, start: Enum, ends: Any) -> None:
        assert set(table) == set(states)

    def test_every_state_is_reachable(self, table: Table, states: Any, facts: Any, start: Enum, ends: Any) -> None:
        assert reachable(table, start) == set(states)

    def test_every_state_leads_to_an_end(self, table: Table, states: Any, facts: Any, start: Enum, ends: Any) -> None:
        for state in states:
            assert reachable(table, state) & ends, state

    def test_ends_are_not_left(self, table: Table, states: Any, facts: Any, start: Enum, ends: Any) -> None:
        for end in ends:
            assert set(table[end].values()) <= {end}

    def test_every_fact_matters_somewhere(self, table: Table, states: Any, facts: Any, start: Enum, ends: Any) -> None:
        assert {fact for row in table.values() for fact in row} == set(facts)

    def test_every_member_has_a_meaning(self, table: Table, states: Any, facts: Any, start: Enum, ends: Any) -> None:
        for member in (*states, *facts):
            assert isinstance(member.value, str) and member.value and member.value[-1] != "."


def test_a_worker_is_alive_or_leaving_or_gone() -> None:
    assert set(WorkerState) == {*ALIVE, *LEAVING, WorkerState.GONE}
    assert not ALIVE & LEAVING
    assert CAPACITY < ALIVE


def test_a_worker_may_die_in_every_state() -> None:
    for state in {*ALIVE, *LEAVING}:
        assert WORKER_TABLE[state][WorkerFact.EXITED] is WorkerState.GONE


def test_who_leaves_never_serves_again() -> None:
    for state in LEAVING:
        assert not set(WORKER_TABLE[state].values()) & ALIVE


def test_a_stop_signal_is_obeyed_in_every_phase() -> None:
    for phase in Phase:
        for fact in (PhaseFact.TERM, PhaseFact.INT, PhaseFact.QUIT):
            assert PHASE_TABLE[phase][fact] in SHUTTING_DOWN or PHASE_TABLE[phase][fact] is Phase.DELAYING


def test_nobody_is_spawned_while_everybody_leaves() -> None:
    assert set(Phase) == SPAWNING | SHUTTING_DOWN
    assert not SPAWNING & SHUTTING_DOWN
