"""What could have been meant, for the errors of ``importer``. Only imported when there is one."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from .interfaces import is_coroutine_callable, takes

__all__ = ["applications_in", "module_of_path", "nearest_module", "nearest_name"]


def module_of_path(module: str, rest: str) -> str:
    """Half a sentence with the module that a path means, or nothing."""
    if module.startswith("/"):
        file = Path(module)
        return f"; did you mean --app-dir {file.parent} {file.stem}:{rest or 'app'}?"
    path = module.removesuffix(".py").strip("./").replace("/", ".").replace("\\", ".")
    if module and path != module and all(part.isidentifier() for part in path.split(".")):
        return f'; a module is named with dots, not as a file: did you mean "{path}:{rest or "app"}"?'
    return ""


def nearest_name(name: str, names: list[str]) -> str:
    """Half a sentence with the most similar of the names, or nothing."""
    found = difflib.get_close_matches(name, [other for other in names if not other.startswith("__")], 1, 0.6)
    return f'; did you mean "{found[0]}"?' if found else ""


def applications_in(module: ModuleType) -> str:
    """Half a sentence with what looks like an application in a module, or where in a package one will be, or nothing."""
    found = [
        name for name, value in vars(module).items() if not name.startswith("_") and _is_application(value, module)
    ]
    if found:
        return f"; its applications are named {', '.join(repr(name) for name in found[:3])}"
    inside = {name for folder in getattr(module, "__path__", ()) for name, _ in _modules_in(folder)}
    usual = next((name for name in _USUAL_MODULES if name in inside), "")
    return f'; did you mean "{module.__name__}.{usual}:app"?' if usual else ""


_USUAL_MODULES = ("main", "asgi", "app", "application", "server", "wsgi")


def _is_application(value: Any, module: ModuleType) -> bool:
    if inspect.isclass(value) or not callable(value) or not is_coroutine_callable(value):
        return False
    if inspect.isroutine(value):  # only the module's own: it may import many
        return value.__module__ == module.__name__ and bool(takes(value, 3)) and not takes(value, 0)
    return True


def nearest_module(missing: str, last: str, folders: list[str], tail: str) -> str:
    """What could have been meant: the same name one folder deeper, or a similar name in the same folder."""
    prefix = missing[: -len(last)]
    similar: list[str] = []
    for folder in folders:
        for entry, deeper in _modules_in(folder):
            if last in deeper:
                return f'; did you mean "{prefix}{entry}.{last}{tail}"?'
            similar.append(entry)
    found = difflib.get_close_matches(last, similar, 1, 0.6)
    return f'; did you mean "{prefix}{found[0]}{tail}"?' if found else ""


def _modules_in(folder: str) -> list[tuple[str, frozenset[str]]]:
    """The modules in a folder, and for those that are folders themselves, what is in them."""
    found = []
    try:
        for entry in sorted(Path(folder).iterdir()):
            if entry.suffix == ".py":
                found.append((entry.stem, frozenset[str]()))
            elif entry.name.isidentifier() and entry.is_dir():
                inside = frozenset(path.stem for path in entry.glob("*.py"))
                if inside:
                    found.append((entry.name, inside))
    except OSError:
        pass
    return found
