"""Orders are plain, frozen, complete data."""

from __future__ import annotations

import typing

import pytest

from asgi_arbiter.arbiter import actions
from asgi_arbiter.config.records import Record

ORDERS = typing.get_args(actions.Action)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
def test_an_order_is_frozen_and_explained(order: type) -> None:
    assert issubclass(order, Record)
    assert order.__setattr__ is Record.__setattr__
    assert order.__doc__ and not order.__doc__.startswith(f"{order.__name__}(")


def test_the_unions_name_every_order_and_every_remark() -> None:
    named = {getattr(actions, name) for name in actions.__all__} - {actions.Action, actions.Remark, actions.Notice}
    assert set(ORDERS) | set(typing.get_args(actions.Remark)) == named


def test_orders_can_be_compared_so_that_a_plan_can_be_asked_twice() -> None:
    assert actions.CloseListeners(2) == actions.CloseListeners(2) != actions.CloseListeners(3)
