"""A Python file as settings file: gunicorn's ``gunicorn.conf.py``, read as it is.

The file is executed; gunicorn's names in it become values, and so do our names for what gunicorn has not. All other names
are the file's own business, as with gunicorn: ``host`` and ``port`` there are usually parts of a ``bind``. Functions under
the names of hooks become hooks: the executed file stays importable under a name of its own, and the hook is written ``module:function`` like any other; so is ``logconfig_dict``, which becomes
``log_config`` (see ``logconfig``).

Rules: ``None`` means that the setting is not set. Each reload executes the file anew, under a new module name, so that
workers of the old settings keep their own hooks.
"""

from __future__ import annotations

import re
import runpy
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType

from .errors import InvalidSetting, SourceUnreadable
from .layers import Given, Layer, Origin
from .schema import Kind
from .settings import options

__all__ = ["execute_again", "executed", "python_layer"]

_loads = count(1)
_executed: dict[str, tuple[str, str]] = {}
"""The modules that were made here, with what they were made from: ``file`` or ``module``, and its path or name."""


def python_layer(named: str, directory: Path) -> Layer:
    """Execute ``named``: a path, ``file:PATH`` or ``python:MODULE``. Raises ``SourceUnreadable`` with the traceback of
    the file's own error, ``InvalidSetting`` for a hook that cannot be called as it will be."""
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))  # the file, and later its hooks, may import what lies beside it
    if named.startswith("python:"):
        title, content = named, _from_module(named.removeprefix("python:"), named)
    else:
        title = named.removeprefix("file:")
        path = directory / Path(title).expanduser()
        title = path.name if path.parent == directory else title
        content = _from_path(path, title)
    layer = Layer(Origin.FILE, title)
    for word, value in content.items():
        name = _taken().get(word, "")
        if name and value is not None and not isinstance(value, ModuleType):
            _take(layer, word, value, content)
    dictionary = layer.values.pop("logconfig_dict", None)
    if dictionary is not None and dictionary.raw:
        from .logconfig import IN_PYTHON

        # It goes before logconfig, as with gunicorn.
        layer.values["log_config"] = Given(f"{IN_PYTHON}{content['__name__']}:logconfig_dict", dictionary.where)
    return layer


def executed() -> dict[str, tuple[str, str]]:
    """What another process needs to know in order to have the hooks of this one, for ``execute_again``."""
    return dict(_executed)


def execute_again(modules: dict[str, tuple[str, str]]) -> None:
    """Execute in this process what ``executed`` told in another, under the same names. Raises ``SourceUnreadable``."""
    for name, (kind, source) in modules.items():
        made = _from_path(Path(source), source) if kind == "file" else _from_module(source, source)
        sys.modules[name] = sys.modules[str(made["__name__"])]


@cache
def _taken() -> dict[str, str]:
    """The names that count, with the setting's own."""
    return {option.gunicorn or name: name for name, option in options().items()}


def _take(layer: Layer, word: str, value: object, content: Mapping[str, object]) -> None:
    option = options()[_taken()[word]]
    where = f"{layer.title}, {word}"
    if option.kind is Kind.HOOK and callable(value):
        _check_call(word, value, option.help, where)
        value = f"{content['__name__']}:{word}"
    elif option.kind is Kind.TEXT and isinstance(value, type):
        value = f"{value.__module__}.{value.__qualname__}"  # worker_class and logger_class may be classes
    elif isinstance(value, Path):
        value = str(value)
    elif callable(value):
        return  # a function of the file's own, or an import such as importlib.reload
    layer.add(word, value, where)


def _check_call(name: str, hook: Callable[..., object], help: str, where: str) -> None:
    """Raise ``InvalidSetting`` if the hook cannot be called as the manual says."""
    from .interfaces import takes

    called = re.search(rf"Called as ({name}\((.*?)\))", help)
    if called is None:
        return
    count = called[2].count(",") + 1
    least = 2 if name == "post_request" else count  # gunicorn leaves out what an older function does not take
    if all(takes(hook, each) is False for each in range(least, count + 1)):
        raise InvalidSetting(f"{where}: it is called as {called[1]}, which this function does not take")


def _from_path(path: Path, title: str) -> dict[str, object]:
    if not path.exists():
        raise SourceUnreadable(f"{title}: there is no such file")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SourceUnreadable(f"{title}: {error.strerror or error}") from None
    module = ModuleType(f"asgi_arbiter_settings_{next(_loads)}")
    module.__file__ = str(path)
    try:
        code = compile(text, str(path), "exec")
        sys.modules[module.__name__] = module
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- the user's code; it must not end a running arbiter
        sys.modules.pop(module.__name__, None)
        raise _failed(title, error) from None
    _executed[module.__name__] = ("file", str(path))
    return module.__dict__


def _from_module(name: str, title: str) -> dict[str, object]:
    try:
        content = runpy.run_module(name, run_name=name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- as above
        raise _failed(title, error) from None
    module = ModuleType(f"asgi_arbiter_settings_{next(_loads)}")
    module.__dict__.update({word: value for word, value in content.items() if not word.startswith("__")})
    sys.modules[module.__name__] = module
    _executed[module.__name__] = ("module", name)
    return module.__dict__


def _failed(title: str, error: BaseException) -> SourceUnreadable:
    """The error of the file, with its traceback from the file's own frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    return SourceUnreadable(f"{title}: {type(error).__name__}: {error}", traceback_text=text)
