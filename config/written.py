"""Typed values to text: the inverse of ``coerce``. Pure."""

from __future__ import annotations

from .schema import Kind, Option

__all__ = ["display_default", "toml_value"]

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}


def toml_value(value: object, *, kind: Kind | None = None) -> str:
    """A value as TOML writes it. ``None``, which TOML does not have, is an empty text (modes) or ``"auto"``."""
    if value is None:
        return '"auto"' if kind is Kind.MAYBE else '""'
    if isinstance(value, bool):
        return str(value).lower()
    if kind is Kind.MODE and isinstance(value, int):
        return f'"{value:03o}"'
    if isinstance(value, float):
        return f"{value:g}" if value == int(value) and abs(value) < 1e6 else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        if kind in (Kind.PAIRS, Kind.TABLE):
            return "{" + ", ".join(f" {_text(name)} = {_text(text)}" for name, text in value) + (" }" if value else "}")
        return "[" + ", ".join(_text(str(item)) for item in value) + "]"
    return _text(str(value))


def _text(value: str) -> str:
    """A basic TOML string; control characters are escaped."""
    body = "".join(
        _ESCAPES.get(char, f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char) for char in value
    )
    return f'"{body}"'


def display_default(option: Option, value: object) -> str:
    """A default as the help shows it."""
    if value is None:
        return "auto" if option.kind is Kind.MAYBE else "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join("=".join(item) if isinstance(item, tuple) else str(item) for item in value) or "none"
    if value == "":
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
