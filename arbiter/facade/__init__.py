"""asgi-arbiter: an ASGI server and process manager for production.

The names exported here are the public interface; everything below ``asgi_arbiter.*`` is internal until documented.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
