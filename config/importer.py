"""From ``module:attribute`` to an application, with errors that say whose fault it is.

The forms of APP:

* ``package.module:attribute``, where the attribute may have dots;
* ``package.module``: the attribute is ``application`` (gunicorn's default), or else ``app``;
* ``package.module:factory("name", debug=True)``: the result of a call with literal arguments (gunicorn's form).

With ``--factory`` the attribute is called without arguments. A callable that needs no arguments and is no ASGI
application is taken for a factory without being asked, with a warning, as uvicorn does.

Three failures are told apart: there is no such module, there is no such attribute, and the module was found and its
own code failed. Only the last carries a traceback, the user's, without our frames and those of the import system.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import AppImportError, InvalidSetting
from .interfaces import Application, adapt, is_coroutine_callable, takes
from .usertrace import has_user_frames, summary, user_traceback

if TYPE_CHECKING:
    from .settings import Config

__all__ = ["check_form", "import_object", "load_application", "prepare_path"]

_DEFAULT_ATTRIBUTES = ("application", "app")


class _Reference(NamedTuple):
    text: str
    module: str
    attributes: tuple[str, ...]
    """Empty: one of the defaults."""
    call: ast.Call | None


def prepare_path(config: Config) -> None:
    """Put ``pythonpath`` and then ``app_dir`` (or the current directory) in front of ``sys.path``, once.

    Raises ``InvalidSetting`` if ``app_dir`` is no directory or cannot be read.
    """
    if config.app_dir and not Path(config.app_dir).is_dir():
        raise InvalidSetting(f"app_dir: there is no directory {config.app_dir!r} (in {Path.cwd()})")
    if config.app_dir and not os.access(config.app_dir, os.R_OK | os.X_OK):
        raise InvalidSetting(f"app_dir: cannot look into {config.app_dir!r} (in {Path.cwd()}): Permission denied")
    wanted = [os.path.abspath(path) for path in (*config.pythonpath, config.app_dir or ".") if path]
    sys.path[:] = [*dict.fromkeys(wanted), *(path for path in sys.path if path not in wanted)]


def load_application(config: Config, *, announce: bool = True) -> Application:
    """Import the application and make it an ASGI 3 application. `prepare_path` comes before.

    Args:
        announce: whether an undeclared factory is worth a warning (one of several workers is enough).

    Raises:
        AppImportError: with the user's traceback where the user's code failed.
        MissingExtra: the interface is WSGI and a2wsgi is not installed.
    """
    given: object = config.app
    if not isinstance(given, str):  # embedded use: the object itself
        found, called, name = given, False, "the application"
    elif not given:
        raise AppImportError("no application was given; name it as module:attribute, such as main:app")
    else:
        reference = _parse(given)
        found, called, name = _resolve(reference), reference.call is not None, f'"{given}"'
    if config.factory and not called:
        if not callable(found):
            raise AppImportError(f"{name} is not callable: {_kind(found)} cannot be a factory")
        found = _call(found, name)
    elif not called and callable(found) and _is_factory(found):
        made = _try_factory(found, name)
        if made is not found:
            found = made
            if announce:
                _warn_of_factory(name)
    if not callable(found):
        raise AppImportError(f"{name} is not callable: {_kind(found)} is not an application")
    return adapt(found, config.interface, name=name)


def check_form(text: str) -> None:
    """Raise ``AppImportError`` if ``text`` has none of the forms of the module's head; nothing is imported."""
    _parse(text)


def import_object(text: str) -> Any:
    """The object that ``module:attribute`` names (in all forms of the module's head). Raises ``AppImportError``."""
    return _resolve(_parse(text))


# -------------------------------------------------------------------------------------------------- the form


def _parse(text: str) -> _Reference:
    module, colon, rest = text.partition(":")
    dotted = all(part.isidentifier() for part in module.split("."))
    if not dotted or module.endswith(".py") or (colon and not rest):
        from .importhints import module_of_path

        raise AppImportError(f'"{text}" is not of the form module:attribute{module_of_path(module, rest)}')
    if not colon:
        return _Reference(text, module, (), None)
    try:
        expression = ast.parse(rest.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise AppImportError(f'"{text}": "{rest}" is neither an attribute nor a call of a factory') from None
    call = expression if isinstance(expression, ast.Call) else None
    attributes = _dotted(call.func if call else expression)
    if attributes is None:
        raise AppImportError(f'"{text}": "{rest}" is neither an attribute nor a call of a factory')
    return _Reference(text, module, attributes, call)


def _dotted(node: ast.expr) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return (*head, node.attr) if head else None
    return None


# ---------------------------------------------------------------------------------------------- the object


def _resolve(reference: _Reference) -> Any:
    module = _import(reference)
    if not reference.attributes:
        for name in _DEFAULT_ATTRIBUTES:
            if hasattr(module, name):
                return getattr(module, name)
        from .importhints import applications_in

        hint = applications_in(module)
        advice = "" if hint.endswith("?") else f"; name the attribute: {reference.module}:attribute"
        raise AppImportError(f'"{reference.text}": the module has neither "application" nor "app"{hint}{advice}')
    found: Any = module
    for done, name in enumerate(reference.attributes):
        try:
            found = getattr(found, name)
        except AttributeError:
            owner = ".".join((reference.module, *reference.attributes[:done]))
            from .importhints import applications_in, nearest_name

            hint = nearest_name(name, dir(found)) or (applications_in(module) if not done else "")
            raise AppImportError(f'"{reference.text}": "{owner}" has no attribute "{name}"{hint}') from None
        except Exception as problem:
            raise AppImportError(
                f'"{reference.text}": reading "{name}" raised {summary(problem)}',
                traceback_text=user_traceback(problem),
            ) from problem
    if reference.call is not None:
        args, kwargs = _arguments(reference)
        if not callable(found):
            raise AppImportError(f'"{reference.text}": "{".".join(reference.attributes)}" is not callable')
        return _call(found, f'"{reference.text}"', args, kwargs)
    return found


def _arguments(reference: _Reference) -> tuple[list[Any], dict[str, Any]]:
    call = reference.call
    assert call is not None
    try:
        args = [ast.literal_eval(argument) for argument in call.args]
        return args, {keyword.arg or "**": ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (ValueError, TypeError, SyntaxError):
        raise AppImportError(
            f'"{reference.text}": the arguments of the call must be literals, such as "text", 1, True or None'
        ) from None


def _forget_listings() -> None:
    """The process may be older than the files. ``importlib.invalidate_caches`` would do, but from Python 3.13 on it
    imports ``importlib.metadata`` for that, a tenth of the whole start."""
    for finder in sys.path_importer_cache.values():
        if finder is not None and hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


def _import(reference: _Reference) -> ModuleType:
    _forget_listings()
    try:
        return importlib.import_module(reference.module)
    except ModuleNotFoundError as problem:
        missing = problem.name or ""
        if not has_user_frames(problem) and (reference.module == missing or reference.module.startswith(f"{missing}.")):
            raise AppImportError(_not_found(reference, missing)) from None
        raise _failed(reference, problem) from problem
    except SystemExit as problem:
        code = "" if problem.code is None else repr(problem.code)
        raise AppImportError(
            f'"{reference.text}": the module "{reference.module}" ended the program with sys.exit({code}) while it was'
            " imported",
            traceback_text=user_traceback(problem),
        ) from problem
    except Exception as problem:
        raise _failed(reference, problem) from problem


def _failed(reference: _Reference, problem: Exception) -> AppImportError:
    message = f'"{reference.text}": the module "{reference.module}" failed while it was imported: {summary(problem)}'
    return AppImportError(message, traceback_text=user_traceback(problem))


def _not_found(reference: _Reference, missing: str) -> str:
    from .importhints import nearest_module

    parent, _, last = missing.rpartition(".")
    loaded = sys.modules.get(parent) if parent else None
    if loaded is not None and not hasattr(loaded, "__path__"):
        hint = f'; did you mean "{parent}:{last}"?' if hasattr(loaded, last) else ""
        return f'"{reference.text}": there is no module "{missing}": "{parent}" is a module, not a package{hint}'
    if loaded is not None:
        folders = [str(path) for path in loaded.__path__]
    else:
        folders = [os.path.abspath(path) for path in sys.path[:1]]
        if str(Path.cwd()) in map(os.path.abspath, sys.path[1:]):
            folders.append(str(Path.cwd()))
    tail = reference.text.partition(":")[2] or "app"
    hint = nearest_module(missing, last, folders, f"{reference.module[len(missing) :]}:{tail}")
    searched = " and ".join(folders)
    return f'"{reference.text}": there is no module "{missing}" (looked in {searched} and the installed packages){hint}'


# ------------------------------------------------------------------------------------------------- factories


def _is_factory(value: Callable[..., Any]) -> bool:
    """Whether it may be a factory: it needs no arguments, and it is no ASGI application."""
    return not is_coroutine_callable(value) and takes(value, 0) is not False


def _try_factory(value: Callable[..., Any], name: str) -> Any:
    if takes(value, 0) and not takes(value, 3):
        return _call(value, name)
    # ``*args`` may be either, and so may what was written in C: called, as uvicorn does; what it makes decides.
    try:
        made = value()
    except TypeError:
        return value
    except Exception as problem:
        raise _factory_failed(name, problem) from problem
    if inspect.isawaitable(made):
        _discard(made)
        return value
    return made if callable(made) else value


def _call(
    factory: Callable[..., Any], name: str, args: list[Any] | None = None, kwargs: dict[str, Any] | None = None
) -> Any:
    args, kwargs = args or [], kwargs or {}
    try:
        inspect.signature(factory).bind(*args, **kwargs)
    except TypeError as problem:
        given = "these arguments" if args or kwargs else "no arguments"
        raise AppImportError(f"{name}: the factory cannot be called with {given}: {problem}") from None
    except ValueError:  # written in C
        pass
    try:
        made = factory(*args, **kwargs)
    except (Exception, SystemExit) as problem:
        raise _factory_failed(name, problem) from problem
    if inspect.isawaitable(made):
        _discard(made)
        raise AppImportError(f"{name}: the factory is asynchronous; it must return the application, not a coroutine")
    if made is None:
        raise AppImportError(f"{name}: the factory returned None instead of the application")
    return made


def _discard(made: Any) -> None:
    close = getattr(made, "close", None)
    if close is not None:
        close()  # else Python warns that a coroutine was never awaited


def _factory_failed(name: str, problem: BaseException) -> AppImportError:
    return AppImportError(f"{name}: the factory raised {summary(problem)}", traceback_text=user_traceback(problem))


def _warn_of_factory(name: str) -> None:
    logging.getLogger("asgi_arbiter.worker").warning(
        "%s is an application factory; it was called. Say so with --factory", name, extra={"event": "factory_detected"}
    )


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
