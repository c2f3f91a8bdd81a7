"""What is written down."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_arbiter.arbiter.ledger import Generation, WorkerHandle, identity
from asgi_arbiter.arbiter.policy import Rules
from asgi_arbiter.arbiter.states import ALIVE, CAPACITY, GenerationState, WorkerState


def test_a_line_about_a_worker_begins_with_its_identity() -> None:
    assert identity(2, 5, 4711) == "worker=2 gen=5 pid=4711"


@pytest.mark.parametrize("state", WorkerState)
def test_a_handle_answers_by_its_state(state: WorkerState) -> None:
    handle = WorkerHandle(1, 0, 1, 1, 0.0, 0.0, None, state)
    assert handle.is_alive == (state in ALIVE)
    assert handle.is_capacity == (state in CAPACITY)


@pytest.mark.parametrize("state", GenerationState)
def test_only_tried_and_current_generations_are_open(state: GenerationState) -> None:
    config: Any = None
    generation = Generation(1, config, Rules(), 1, 0.0, state)
    expected = {GenerationState.CANDIDATE, GenerationState.ROLLING, GenerationState.CURRENT}
    assert generation.is_open == (state in expected)
