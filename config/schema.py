"""What a setting is: its metadata, and ``setting()``, which declares a field of ``Config`` with them.

Rules: nothing here knows a particular setting, reads a file or converts a value. The table is ``settings.py``; all that
can be said about a setting is said there once, and everything else (command line, variables, manual, example, schema)
is derived from the ``Option`` of each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar, cast

from .records import Default, Record

__all__ = ["Kind", "Option", "Reach", "Setting", "section_slug", "setting"]

T = TypeVar("T")


class Reach(Enum):
    """How far a changed value must travel on a reload (SIGHUP)."""

    LIVE = "live"
    """The running arbiter or its workers take it over."""
    WORKERS = "new workers"
    """It holds in the next generation of workers, which the reload brings up."""
    RESTART = "restart"
    """Only a new arbiter can have it; a reload refuses the change by name."""


class Kind(Enum):
    """The form in which a value is written, with the words for it in messages and in the manual."""

    TEXT = "text"
    PATH = "path"
    CHOICE = "one of the listed words"
    NAME = "a listed word or module:attribute"
    HOOK = "module:function"
    FLAG = "true or false"
    MAYBE = "true, false or auto"
    COUNT = "a whole number"
    WORKERS = 'a whole number or "auto"'
    SECONDS = "seconds"
    SIZE = "a size in bytes"
    MEMORY = "a size in bytes or a share of the memory there is"
    MODE = "an octal mode"
    WORDS = "a list"
    """Commas separate the items in text."""
    LINES = "a list of texts"
    """Items may contain commas: one item for each time the option is given, one a line in a variable."""
    PAIRS = "a list of NAME=VALUE"
    TABLE = "a table of anything"
    """Only for settings without effect."""
    BINDS = "a list of addresses"


class Option(Record):
    """Everything about a setting but its name, type and default, which are the field's own."""

    kind: Kind
    section: str
    help: str
    """One sentence for ``--help``; ends with a full stop."""
    more: str
    """Further sentences for the manual."""
    flags: tuple[str, ...]
    """Command line spellings; the first long one is the primary. Empty: settings file and variables only."""
    also: tuple[str, ...]
    """Spellings of the other servers, accepted but not advertised on their own."""
    keys: tuple[str, ...]
    """Further names in files and variables, beside those that follow from the flags."""
    uvicorn: str
    """uvicorn's option for the same thing (``--limit-max-requests``), or empty."""
    gunicorn: str
    """gunicorn's setting for the same thing (``max_requests``), or empty."""
    differs: str
    """What is not the same as there; goes into the compatibility table."""
    unit: str
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    spelled: Mapping[str, str]
    """Other words for a value, in lower case, and the value that they mean."""
    noted: Mapping[str, str]
    """Values that are taken with a warning, and the warning."""
    numbered: Mapping[str, int]
    """Words for whole numbers (``required`` for 2)."""
    reach: Reach
    inert: str
    """Why the setting has no effect here; empty for one that has."""
    takes_value: bool
    """A boolean written ``--flag true`` (uvicorn's ``--ws-per-message-deflate``) and not ``--flag``."""
    bare: str
    """The value of the flag when it is given without one (gunicorn's ``--proxy-protocol``)."""
    negatable: bool
    """Whether ``--no-<flag>`` exists too (booleans only)."""
    since: str

    @property
    def flag(self) -> str:
        """The primary long flag, empty if there is none."""
        return next((flag for flag in self.flags if flag.startswith("--")), "")

    @property
    def is_list(self) -> bool:
        """Whether the value is a tuple, so that the option may be given several times."""
        return self.kind in {Kind.WORDS, Kind.LINES, Kind.PAIRS, Kind.BINDS}

    def names(self, name: str) -> tuple[str, ...]:
        """All names of the setting in files and variables; ``name``, the field's, comes first."""
        spelled = [name, *self.keys]
        if self.gunicorn:
            spelled.append(self.gunicorn)
        spelled += [flag[2:].replace("-", "_") for flag in (*self.flags, *self.also) if flag.startswith("--")]
        return tuple(dict.fromkeys(word for word in spelled if not (word.startswith("no_") and self.is_boolean)))

    @property
    def is_boolean(self) -> bool:
        """Whether the value is true or false (or, for ``MAYBE``, undecided)."""
        return self.kind in {Kind.FLAG, Kind.MAYBE}


class Setting(Default):
    """A field of ``Config``, as its class has it: the default and the rest."""

    __slots__ = ("option",)

    def __init__(self, default: object, option: Option) -> None:
        super().__init__(lambda: default)
        self.option = option


def setting(
    default: T,
    *,
    kind: Kind,
    section: str,
    help: str,
    more: str = "",
    flags: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    keys: tuple[str, ...] = (),
    uvicorn: str = "",
    gunicorn: str = "",
    differs: str = "",
    unit: str = "",
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    spelled: Mapping[str, str] | None = None,
    noted: Mapping[str, str] | None = None,
    numbered: Mapping[str, int] | None = None,
    reach: Reach = Reach.WORKERS,
    inert: str = "",
    takes_value: bool = False,
    bare: str = "",
    negatable: bool = True,
    since: str = "0.1",
) -> T:
    """Declare a field of ``Config``. The result is a ``Setting``; it is typed as the default so that type checkers see
    ``Config().workers`` as ``int``."""
    option = Option(
        kind=kind,
        section=section,
        help=help,
        more=more,
        flags=flags,
        also=also,
        keys=keys,
        uvicorn=uvicorn,
        gunicorn=gunicorn,
        differs=differs,
        unit=unit or ("seconds" if kind is Kind.SECONDS else "bytes" if kind in {Kind.SIZE, Kind.MEMORY} else ""),
        least=0 if least is None and kind in {Kind.SECONDS, Kind.SIZE, Kind.MEMORY, Kind.COUNT, Kind.MODE} else least,
        most=most,
        choices=choices,
        spelled=spelled or {},
        noted=noted or {},
        numbered=numbered or {},
        reach=reach,
        inert=inert,
        takes_value=takes_value,
        bare=bare,
        negatable=negatable,
        since=since,
    )
    return cast(T, Setting(default, option))


def section_slug(section: str) -> str:
    """The name of a section's table in a TOML file."""
    return section.lower().replace(" ", "_")
