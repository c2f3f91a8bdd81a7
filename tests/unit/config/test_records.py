"""Records do what dataclasses do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from asgi_arbiter.config.records import Default, Record, as_dict, defaults_of, made, replace


class Point(Record):
    """A place."""

    x: int
    y: int = 0

    @property
    def sum(self) -> int:
        return self.x + self.y


class Place(Point):
    name: str = "here"


class Basket(Record, frozen=False):
    items: list[int] = made(list)


class Named(Record, kw_only=True):
    first: int = 1
    second: int = 2


class Other(Record):
    x: int
    y: int = 0


def test_fields_are_given_by_place_or_by_name_or_have_defaults() -> None:
    assert (Point(1, 2).x, Point(1, 2).y) == (1, 2)
    assert Point(1, y=2) == Point(y=2, x=1) == Point(1, 2)
    assert Point(5).y == 0
    assert Point(1, 2).sum == 3


@pytest.mark.parametrize(
    ("values", "named", "complaint"),
    [
        ((), {}, "Point needs x"),
        ((1, 2, 3), {}, "Point takes 2 values without their names, not 3"),
        ((1,), {"z": 3}, "Point has no field z"),
        ((1,), {"x": 3}, "x, or was given it twice"),
    ],
)
def test_what_does_not_fit_is_named(values: tuple[Any, ...], named: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        Point(*values, **named)


def test_a_keyword_record_takes_nothing_by_place() -> None:
    assert Named(second=5) == Named(first=1, second=5)
    with pytest.raises(TypeError, match="Named takes 0 values without their names, not 1"):
        Named(1)  # type: ignore[misc]


def test_a_frozen_record_stays_as_it_is_and_has_a_hash() -> None:
    point = Point(1, 2)
    with pytest.raises(AttributeError, match="x of a Point cannot be changed"):
        point.x = 5  # type: ignore[misc]
    with pytest.raises(AttributeError, match="x of a Point cannot be deleted"):
        del point.x
    assert {point: "found"}[Point(1, 2)] == "found"


def test_a_record_that_may_change_has_no_hash() -> None:
    basket = Basket()
    basket.items = [1]
    assert basket == Basket([1])
    with pytest.raises(TypeError, match="unhashable"):
        hash(basket)


def test_there_are_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Basket().other = 1  # type: ignore[attr-defined]
    assert not hasattr(Point(1), "__dict__")


def test_a_made_default_is_new_each_time() -> None:
    one, other = Basket(), Basket()
    one.items.append(1)
    assert other.items == []


def test_records_of_different_classes_are_different() -> None:
    assert Point(1, 2) != Other(1, 2)
    assert Point(1, 2) != (1, 2)


def test_a_record_is_shown_as_it_would_be_written() -> None:
    assert repr(Place(1)) == "Place(x=1, y=0, name='here')"


def test_a_record_of_a_record_has_its_fields_first() -> None:
    assert Place(1, 2, "there") == Place(1, name="there", y=2)
    assert (Place(1).y, Place(1).name, Place(3, 4).sum) == (0, "here", 7)


def test_records_can_be_matched() -> None:
    match Point(1, 2):
        case Point(x, 2):
            assert x == 1
        case _:
            pytest.fail("no match")


@pytest.mark.parametrize("record", [Point(1, 2), Place(1, 2, "there"), Named(second=5), Basket([1])])
def test_a_record_survives_pickling_and_copying(record: Record) -> None:
    assert pickle.loads(pickle.dumps(record)) == copy.copy(record) == copy.deepcopy(record) == record


def test_a_copy_may_differ() -> None:
    assert replace(Place(1, 2), y=5) == Place(1, 5)
    with pytest.raises(TypeError, match="no field z"):
        replace(Point(1), z=5)


def test_values_and_defaults_can_be_asked_for() -> None:
    assert as_dict(Place(1)) == {"x": 1, "y": 0, "name": "here"}
    assert defaults_of(Place) == {"y": 0, "name": "here"}
    assert isinstance(defaults_of(Basket)["items"], Default)
