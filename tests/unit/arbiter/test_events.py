"""Facts are plain, frozen data, and the fleet knows what to do with each."""

from __future__ import annotations

import typing

import pytest

from asgi_arbiter.arbiter import children, events, hearing, molding, reloading, stopping, succession, supervision
from asgi_arbiter.config.records import Record

MODULES = (supervision, hearing, molding, reloading, stopping, succession, children)
FACTS = [getattr(events, name) for name in events.__all__ if name != "Event"]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_a_fact_is_frozen_and_explained(fact: type) -> None:
    assert issubclass(fact, Record)
    assert fact.__setattr__ is Record.__setattr__
    assert fact.__doc__ and not fact.__doc__.startswith(f"{fact.__name__}(")


def test_the_union_names_every_fact() -> None:
    assert set(typing.get_args(events.Event)) == set(FACTS)


def test_every_fact_has_exactly_one_observer() -> None:
    observers = [observed for module in MODULES for observed in module.OBSERVERS]
    assert sorted(observers, key=repr) == sorted(FACTS, key=repr)
