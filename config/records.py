"""``Record``: classes that are nothing but named values.

They look and behave as dataclasses with slots do: the annotations of the class are its fields, in their order, and values
of the class body are defaults. ``dataclasses`` writes Python source for each class and compiles it when the module is
imported, a fraction of a millisecond for each of our hundred; that would be half of the program's start. Here the
methods are ordinary ones that all records share. It makes a record in microseconds rather than in one, so it is not for
what is made with every request.

Rules: a record is frozen unless its class says ``frozen=False``; two are equal if they are of the same class and their
values are; a frozen one has a hash. Fields of a base record come before one's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, dataclass_transform

__all__ = ["Default", "Record", "RecordType", "as_dict", "defaults_of", "made", "replace"]

T = TypeVar("T")
R = TypeVar("R", bound="Record")


class Default:
    """A default that is more than a value: it is asked for one each time. Subclasses may know more about the field."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def made(make: Callable[[], T]) -> T:
    """The default of a field that needs a new value for each record: ``sent: set[int] = made(set)``."""
    return cast(T, Default(make))


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """Turns the annotations of a class into slots."""

    __match_args__: tuple[str, ...]
    """The names of the fields, under the name by which ``match`` asks for them."""
    _defaults: dict[str, Any]
    _positional: int

    def __new__(
        cls, name: str, bases: tuple[type, ...], body: dict[str, Any], *, frozen: bool = True, kw_only: bool = False
    ) -> RecordType:
        own = tuple(body.get("__annotations__", ()))
        base = bases[0] if bases and isinstance(bases[0], RecordType) else None
        defaults = {field: body.pop(field) for field in own if field in body}
        fields = (*base.__match_args__, *own) if base else own
        body["__slots__"] = own
        body["__match_args__"] = fields
        body["_defaults"] = {**base._defaults, **defaults} if base else defaults
        body["_positional"] = 0 if kw_only else len(fields)
        if not frozen:
            body |= {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__, "__hash__": None}
        return super().__new__(cls, name, bases, body)

    def _default(cls, field: str) -> Any:
        if field not in cls._defaults:
            raise TypeError(f"{cls.__name__} needs {field}")
        found = cls._defaults[field]
        return found.make() if isinstance(found, Default) else found


class Record(metaclass=RecordType):
    """The base of all records."""

    def __init__(self, *values: object, **named: object) -> None:
        kind = type(self)
        fields, store = kind.__match_args__, object.__setattr__
        if len(values) > kind._positional:
            raise TypeError(f"{kind.__name__} takes {kind._positional} values without their names, not {len(values)}")
        for field, value in zip(fields, values, strict=False):
            store(self, field, value)
        if len(values) < len(fields):
            for field in fields[len(values) :]:
                store(self, field, named.pop(field) if field in named else kind._default(field))
        if named:
            raise TypeError(f"{kind.__name__} has no field {next(iter(named))}, or was given it twice")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} of a {type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} of a {type(self).__name__} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in as_dict(self).items())})"

    def __reduce__(self) -> tuple[Callable[..., Record], tuple[type[Record], dict[str, Any]]]:
        return _again, (type(self), as_dict(self))


def as_dict(record: Record) -> dict[str, Any]:
    """The values of ``record`` by name; those that are records themselves stay as they are."""
    return {name: getattr(record, name) for name in type(record).__match_args__}


def defaults_of(kind: type[Record]) -> dict[str, Any]:
    """The defaults of the fields that have one, as they stand in the class: values, or a ``Default``."""
    return kind._defaults


def replace(record: R, /, **changes: Any) -> R:
    """A copy of ``record`` with some values changed. Raises ``TypeError`` for a name that is no field."""
    return type(record)(**{**as_dict(record), **changes})


def _values(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in type(record).__match_args__)


def _again(kind: type[R], values: dict[str, Any]) -> R:
    """For ``pickle`` and ``copy``."""
    return kind(**values)
