"""Plain command lines, cut without click.

To import click takes a tenth of the whole start, and what it does for a plain command line is one loop: an APP, flags
written in full, and behind each the value that it takes. Whatever is not plain (help, versions, completion, short flags
joined with something, values that look like flags, two spellings of one setting, and every mistake) is left to click,
which knows more and has the better words. Rule: what is cut here, ``cli.parse`` would cut in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .layers import Given
from .records import Record
from .schema import Kind, Option
from .settings import ADDRESS_PARTS, options

__all__ = ["CommandLine", "cut", "split"]


class CommandLine(Record):
    """What the words of a command line say."""

    values: dict[str, Given]
    """Settings by name, and ``host``, ``port``, ``uds``, ``fd``."""
    config_file: str
    action: str
    """``print-config``, ``check-config``, or empty to run."""


class _Flag(Record):
    """One flag and what it stands for."""

    setting: str
    group: str
    """The first of the flags that are one spelling: click refuses a setting that is given in two."""
    typed: str
    """What messages repeat."""
    value: bool | None = None
    """What the flag says by itself; None for one that takes a value."""


class _NotPlain(Exception):
    """Something for click."""


def cut(words: Sequence[str]) -> CommandLine | None:
    """What ``words`` say; None if they are not plain."""
    try:
        return _cut(words)
    except _NotPlain:
        return None


def _cut(words: Sequence[str]) -> CommandLine:
    flags = dict(_flags())
    app = ""
    said: dict[str, list[tuple[_Flag, str | bool]]] = {}
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            flag, raw = _option(flags, word, rest)
            said.setdefault(flag.setting, []).append((flag, raw))
        elif app or not word:
            raise _NotPlain
        else:
            app = word
    config_file = str(said["config"][-1][1]) if "config" in said else ""
    values = {name: _given(name, said[name]) for name in _in_order() if name in said}
    if app:
        values["app"] = Given(app, "command line, APP")
    return CommandLine(values, config_file, "")


def _in_order() -> Iterator[str]:
    """The settings as the manual has them, which is the order of the messages about them."""
    for name in options():
        yield name
        if name == "bind":
            yield from ADDRESS_PARTS


def _option(flags: Mapping[str, _Flag], word: str, rest: Iterator[str]) -> tuple[_Flag, str | bool]:
    """The flag that ``word`` begins with and its value, which may be the next of the words."""
    name, equals, value = word.partition("=")
    flag = flags.get(name)
    if flag is None or (equals and (flag.value is not None or not name.startswith("--"))):
        raise _NotPlain
    if flag.value is not None:
        return flag, flag.value
    if equals:
        return flag, value
    value = next(rest, "-")
    if value.startswith("-"):
        raise _NotPlain
    return flag, value


def _given(name: str, said: list[tuple[_Flag, str | bool]]) -> Given:
    if len({flag.group for flag, _ in said}) > 1:
        raise _NotPlain
    raws = [raw for _, raw in said]
    option = options().get(name)
    raw: object = raws[-1]
    if option is not None and option.is_list:
        raw = raws if option.kind is Kind.LINES else split(map(str, raws))
    return Given(raw, f"command line, {said[-1][0].typed}")


def split(raws: Iterable[str]) -> list[str]:
    """The items of a list that may be given several times and may hold several each time."""
    return [word.strip() for raw in raws for word in raw.split(",")]


def _flags() -> Iterator[tuple[str, _Flag]]:
    for name, option in options().items():
        if not option.bare:  # else the value may be missing
            yield from _spelling(name, option, option.flags)
            for flag in option.also:
                yield from _spelling(name, option, (flag,))
    for part in ADDRESS_PARTS:
        yield f"--{part}", _Flag(part, part, f"--{part}")
    for flag in ("-c", "--config"):
        yield flag, _Flag("config", "--config", "--config")


def _spelling(name: str, option: Option, flags: tuple[str, ...]) -> Iterator[tuple[str, _Flag]]:
    long = [flag for flag in flags if flag.startswith("--")]
    if not option.is_boolean or option.takes_value:
        for flag in flags:
            yield flag, _Flag(name, flags[0], (long or flags)[0])
        return
    for flag in flags:
        yield flag, _Flag(name, flags[0], (long or flags)[0], True)
    for flag in long if option.negatable else ():
        yield f"--no-{flag[2:]}", _Flag(name, flags[0], f"--no-{long[0][2:]}", False)
