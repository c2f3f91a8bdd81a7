"""asgi-arbiter: an ASGI server and process manager for production.

The names exported here are the public interface; everything below ``asgi_arbiter.*`` is internal until documented.
They are imported when they are first used, so that ``import asgi_arbiter`` costs next to nothing.
"""

TYPE_CHECKING = False  # what type checkers take for true; ``typing`` itself would be the dearest import here
if TYPE_CHECKING:
    from asgi_arbiter.arbiter.public_config import Config
    from asgi_arbiter.arbiter.public_run import run
    from asgi_arbiter.arbiter.public_server import Server

__version__ = "0.1.0"

__all__ = ["Config", "Server", "__version__", "run"]

_HOMES = {"Config": "public_config", "Server": "public_server", "run": "public_run"}
_MODULES = ("config", "logging")
"""Programs write ``asgi_arbiter.config.LOGGING_CONFIG`` and import the package alone."""


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if home is None:
        return import_module(f"asgi_arbiter.{name}")
    found: object = getattr(import_module(f"asgi_arbiter.arbiter.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
