"""Text, TOML and Python values to the typed value of a setting.

Pure but for counting CPUs. Every function takes what was written and returns the value, or raises ``Misfit`` with the
half sentence that says what is expected; the caller knows the source and the name and makes the whole sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

from . import cpus, memory
from .address import Address
from .errors import InvalidSetting
from .schema import Kind, Option

__all__ = ["Misfit", "coerce", "found", "notice"]

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = r"([0-9]{1,18}(?:\.[0-9]+)?)(ms|s|m|h|d)"
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE = r"(?i)([0-9]{1,18}(?:\.[0-9]+)?) ?([kmgt]?)(?:i?b)?"
_SHARE = r"([0-9]{1,3}(?:\.[0-9]+)?) ?%"
_LOCATION = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"


class Misfit(ValueError):
    """A value that the setting cannot take. ``str()`` is what is expected, or a whole complaint if ``whole``."""

    def __init__(self, expected: str, *, whole: bool = False) -> None:
        super().__init__(expected)
        self.whole = whole


def coerce(option: Option, raw: object) -> object:
    """The typed value of ``raw``. Raises ``Misfit``."""
    return _COERCIONS[option.kind](option, raw)


def notice(option: Option, raw: object) -> str:
    """The warning that goes with a value that is taken for another one, or an empty text."""
    return option.noted.get(raw.strip().lower(), "") if isinstance(raw, str) else ""


def found(raw: object) -> str:
    """``raw`` as a message quotes it."""
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, str):
        return '"' + (raw if len(raw) <= 100 else raw[:97] + "...") + '"'
    if isinstance(raw, Mapping):
        return "a table"
    if isinstance(raw, (list, tuple)):
        return "[" + ", ".join(found(item) for item in raw) + "]"
    return str(raw)


def _text(option: Option, raw: object) -> str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)  # a user or group by number
    if not isinstance(raw, str):
        raise Misfit("a text")
    if "\0" in raw:
        raise Misfit("a text without zero bytes")
    return raw


def _flag(option: Option, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower() if isinstance(raw, (str, int)) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Misfit("true or false")


def _maybe(option: Option, raw: object) -> bool | None:
    if raw is None or (isinstance(raw, str) and raw.strip().lower() == "auto"):
        return None
    try:
        return _flag(option, raw)
    except Misfit:
        raise Misfit("true, false or auto") from None


def _count(option: Option, raw: object) -> int:
    expected = _bounded("a whole number", option)
    if option.numbered:
        words = ", ".join(option.numbered)
        expected = f"{expected} or one of {words}"
        if isinstance(raw, str):
            word = raw.strip().lower().rpartition(".")[2]
            raw = option.numbered.get(word.removeprefix("protocol_").removeprefix("cert_"), raw)
    if isinstance(raw, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", raw.strip()):
        raw = int(raw)
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise Misfit(expected)
    return int(_within(option, int(raw), expected))


def _workers(option: Option, raw: object) -> int:
    if isinstance(raw, str) and raw.strip().lower() == "auto":
        return cpus.available()
    try:
        return _count(option, raw)
    except Misfit as misfit:
        raise Misfit(f'{misfit} or "auto"') from None


def _seconds(option: Option, raw: object) -> float:
    expected = _bounded("seconds", option) if option.least or option.most is not None else "seconds"
    if isinstance(raw, str):
        raw = _duration(raw.strip().lower(), expected)
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise Misfit(expected)
    return _within(option, float(raw), "seconds of at least 0" if raw < 0 else expected)


def _duration(text: str, expected: str) -> float:
    if re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]*)?", text):
        return float(text)
    parts = re.findall(_DURATION, text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Misfit(expected)
    return math.fsum(float(number) * _DURATIONS[unit] for number, unit in parts)


def _size(option: Option, raw: object) -> int:
    expected = _bounded("a size such as 512M or a number of bytes", option) if option.least else _SIZE_WORDS
    if isinstance(raw, str):
        match = re.fullmatch(_SIZE, raw.strip())
        if not match or ("." in match[1] and not match[2]):
            raise Misfit(expected)
        raw = int(float(match[1]) * _SIZES[match[2].lower()]) if match[2] else int(match[1])
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise Misfit(expected)
    return int(_within(option, raw, expected))


def _memory(option: Option, raw: object) -> int:
    """A share is meant of what the container allows, or else of what the machine has."""
    share = re.fullmatch(_SHARE, raw.strip()) if isinstance(raw, str) else None
    if share is None:
        try:
            return _size(option, raw)
        except Misfit as misfit:
            raise Misfit(f"{misfit}, or a share such as 20%") from None
    percent, whole = float(share[1]), memory.available()
    if not 0 < percent <= 100:
        raise Misfit("a share above 0% and up to 100%")
    if not whole:
        raise Misfit("a size such as 512M: how much memory there is cannot be known here")
    return int(whole * percent / 100)


_SIZE_WORDS = "a size such as 512M or a number of bytes"


def _mode(option: Option, raw: object) -> int | None:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    expected = 'an octal mode such as "660" or 0o660'
    if isinstance(raw, str):
        if not re.fullmatch(r"(0o)?[0-7]{1,5}", raw.strip()):
            raise Misfit(expected)
        raw = int(raw, 8)
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise Misfit(expected)
    return int(_within(option, raw, expected))


def _choice(option: Option, raw: object) -> str:
    word = _word(option, raw)
    if word in option.choices:
        return word
    raise Misfit(_listed(option.choices))


def _name(option: Option, raw: object) -> str:
    word = _word(option, raw)
    if word in option.choices:
        return word
    if isinstance(raw, str) and re.fullmatch(_LOCATION, raw.strip()):
        return raw.strip()
    raise Misfit(f"{_listed(option.choices)}, or module:attribute" if len(option.choices) > 1 else "module:attribute")


def _word(option: Option, raw: object) -> str:
    if isinstance(raw, (bool, int)):
        raw = str(raw)
    if not isinstance(raw, str):
        raise Misfit(_listed(option.choices))
    word = raw.strip().lower()
    return option.spelled.get(word, word)


def _hook(option: Option, raw: object) -> str:
    if isinstance(raw, str) and (not raw or re.fullmatch(_LOCATION, raw.strip())):
        return raw.strip()
    raise Misfit("module:function")


def _words(option: Option, raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        raw = raw.split(",")
    return tuple(word.strip() for word in _items(raw, "a list of texts") if word.strip())


def _lines(option: Option, raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        raw = raw.splitlines()
    return tuple(line for line in _items(raw, "a list of texts") if line)


def _binds(option: Option, raw: object) -> tuple[str, ...]:
    words = _words(option, raw)
    if not words:
        raise Misfit("at least one address")
    try:
        addresses = [Address.parse(word) for word in words]
    except InvalidSetting as wrong:
        raise Misfit(str(wrong), whole=True) from None
    # The same address twice is a slip; port 0 twice asks for two ports.
    return tuple(
        str(address) for at, address in enumerate(addresses) if address.port == 0 or address not in addresses[:at]
    )


def _pairs(option: Option, raw: object) -> tuple[tuple[str, str], ...]:
    expected = "a table of names and values"
    if isinstance(raw, Mapping):
        if not all(isinstance(part, str) for item in raw.items() for part in item):
            raise Misfit(expected)
        return tuple(raw.items())
    if isinstance(raw, (list, tuple)) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in raw):
        return tuple((str(name), str(value)) for name, value in raw)
    split = [word.partition("=") for word in _words(option, raw)]
    if not all(name and equals for name, equals, _ in split):
        raise Misfit("NAME=VALUE, comma separated")
    return tuple((name.strip(), value.strip()) for name, _, value in split)


def _table(option: Option, raw: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(raw, Mapping):
        raise Misfit("a table")
    return tuple((str(name), str(value)) for name, value in raw.items())


def _items(raw: object, expected: str) -> Iterable[str]:
    if not isinstance(raw, (list, tuple)) or not all(isinstance(item, str) for item in raw):
        raise Misfit(expected)
    return raw


def _within(option: Option, number: float, expected: str) -> float:
    if (option.least is not None and number < option.least) or (option.most is not None and number > option.most):
        raise Misfit(expected)
    return number


def _bounded(noun: str, option: Option) -> str:
    if option.most is not None:
        return f"{noun} between {option.least or 0:g} and {option.most:g}"
    return noun if option.least is None else f"{noun} of at least {option.least:g}"


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


_COERCIONS: dict[Kind, Callable[[Option, object], object]] = {
    Kind.TEXT: _text,
    Kind.PATH: _text,
    Kind.CHOICE: _choice,
    Kind.NAME: _name,
    Kind.HOOK: _hook,
    Kind.FLAG: _flag,
    Kind.MAYBE: _maybe,
    Kind.COUNT: _count,
    Kind.WORKERS: _workers,
    Kind.SECONDS: _seconds,
    Kind.SIZE: _size,
    Kind.MEMORY: _memory,
    Kind.MODE: _mode,
    Kind.WORDS: _words,
    Kind.LINES: _lines,
    Kind.PAIRS: _pairs,
    Kind.TABLE: _table,
    Kind.BINDS: _binds,
}
