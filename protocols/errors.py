"""What can go wrong on one connection. Nothing here ever leaves a worker.

Three parties can be at fault, and each has its own class: the client (``Refusal``: an answer with a status, then the
end of the connection), the network (``ClientDisconnected``: what ``send`` raises once nobody listens, ASGI HTTP 2.4),
the application (``MisusedByApplication``: a message out of turn or out of shape).
"""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["ClientDisconnected", "MisusedByApplication", "Refusal", "is_departure"]


class Refusal(Exception):
    """The client's request is not served: ``status`` and one line for the body of the answer."""

    def __init__(self, status: int, reason: str = "") -> None:
        self.status = status
        self.reason = reason or HTTPStatus(status).phrase
        super().__init__(f"{status} {self.reason}")


class ClientDisconnected(OSError):
    """The client is gone, so nothing can be sent to it (ASGI HTTP and WebSocket specification 2.4, "send")."""


class MisusedByApplication(RuntimeError):
    """The application sent a message that its conversation does not allow at this point, or one that is malformed."""


def is_departure(error: BaseException) -> bool:
    """Whether what an application raised, once its client was gone, says only that: it is what ``send`` raised, what a
    framework makes of that or of ``http.disconnect`` (Starlette: ``ClientDisconnect``, ``WebSocketDisconnect``), or a
    group of nothing else (a task group). Any other error is a mistake, also one made on the way out."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_departure(each) for each in error.exceptions)
    return isinstance(error, ClientDisconnected | ConnectionError) or "Disconnect" in type(error).__name__
