"""The types of the ASGI interface (ASGI 3.0; HTTP and WebSocket message formats 2.5, lifespan 2.0).

Scopes and messages are plain dictionaries on the wire between server and application; the hot path builds
them as such. The aliases here say which is which; they check nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["ASGIApplication", "HeaderList", "Message", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]
