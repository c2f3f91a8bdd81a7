"""Applications of other interfaces made ASGI 3 applications, and the question which interface an application has.

``--interface auto`` looks at how the application wants to be called: ASGI 3 takes scope, receive and send at once,
ASGI 2 the scope first. WSGI is never guessed, since running synchronous code in threads is a decision; an application
that looks like it is refused with the flag to use.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from .errors import AppImportError, MissingExtra

__all__ = ["Application", "adapt", "is_coroutine_callable", "takes"]

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application."""

_SCOPE_RECEIVE_SEND: Final = 3
_ENVIRON_START_RESPONSE: Final = 2


def adapt(application: Callable[..., Any], interface: str, *, name: str = "the application") -> Application:
    """An ASGI 3 application from one of the given interface (``auto``, ``asgi3``, ``asgi2``, ``wsgi``).

    Raises ``AppImportError`` if it can be of no interface that was asked for, ``MissingExtra`` for WSGI without a2wsgi.
    """
    if interface == "auto":
        interface = _interface_of(application, name)
    elif interface != "asgi3" and not inspect.isclass(application) and is_coroutine_callable(application):
        raise AppImportError(f"{name} is asynchronous, an ASGI 3 application; leave out --interface {interface}")
    if interface == "wsgi":
        return _Wsgi(application)
    if interface == "asgi2":
        return _Asgi2(application)
    return application


def is_coroutine_callable(value: object) -> bool:
    """Whether calling it gives a coroutine: an ``async def`` function or an object with such a ``__call__``."""
    while isinstance(value, functools.partial):
        value = value.func
    if _is_coroutine_function(value):
        return True
    # From the instance: some middleware (Sentry's) sets the method that fits when it is made.
    return not inspect.isclass(value) and _is_coroutine_function(getattr(value, "__call__", None))  # noqa: B004


def takes(value: Callable[..., Any], count: int) -> bool | None:
    """Whether it can be called with so many positional arguments; None if that cannot be known."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # written in C
        return None
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _is_coroutine_function(value: object) -> bool:
    # The attribute is how asgiref marks synchronous wrappers of asynchronous functions before Python 3.12.
    return inspect.iscoroutinefunction(value) or hasattr(value, "_is_coroutine")


def _interface_of(application: Callable[..., Any], name: str) -> str:
    if inspect.isclass(application):
        # A class whose instances are one connection each: awaited (ASGI 3) or called with receive and send (ASGI 2).
        return "asgi3" if hasattr(application, "__await__") or takes(application, 1) is False else "asgi2"
    if is_coroutine_callable(application) or takes(application, _SCOPE_RECEIVE_SEND) is not False:
        return "asgi3"
    if takes(application, 1):
        return "asgi2"
    if takes(application, _ENVIRON_START_RESPONSE):
        raise AppImportError(
            f"{name} takes two arguments, as a WSGI application does; run it with --interface wsgi"
            " (pip install 'asgi-arbiter[wsgi]')"
        )
    raise AppImportError(f"{name} is not an ASGI application: it cannot be called with scope, receive and send")


class _Asgi2:
    """``await app(scope)(receive, send)``"""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if "asgi" in scope:
            scope = {**scope, "asgi": {**scope["asgi"], "version": "2.0"}}
        await self.application(scope)(receive, send)


class _Wsgi:
    """A WSGI application in a2wsgi's thread pool. Lifespan is answered here, WebSockets are refused."""

    def __init__(self, application: Callable[..., Any]) -> None:
        try:
            from a2wsgi import WSGIMiddleware
        except ImportError:
            raise MissingExtra(
                "interface: wsgi needs a2wsgi, which is not installed: pip install 'asgi-arbiter[wsgi]'"
            ) from None
        self.application = application
        self._bridge: Any = WSGIMiddleware(application)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._bridge(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._live(receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                # Threads in the middle of a request hold up the exit of the interpreter, not this conversation.
                executor = getattr(self._bridge, "executor", None)
                if executor is not None:
                    await asyncio.to_thread(executor.shutdown, wait=False)
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "lifespan.startup.complete"})
