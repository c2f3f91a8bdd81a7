"""For logging configurations: ``()``: ``asgi_arbiter.logging.DefaultFormatter``, where uvicorn's have ``uvicorn.logging``."""

from asgi_arbiter.config.loglook import AccessFormatter, DefaultFormatter

__all__ = ["TRACE_LOG_LEVEL", "AccessFormatter", "DefaultFormatter"]

TRACE_LOG_LEVEL = 5
