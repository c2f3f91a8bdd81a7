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
    """Whether what an application raised says only that its client has left, which is nobody's mistake: an ``OSError``
    as ``send`` raises it, what a framework made of that (Starlette raises ``ClientDisconnect`` while it handles ours),
    or a group of nothing else (a task group). Another error raised on the way out is none."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_departure(each) for each in error.exceptions)
    if isinstance(error, OSError):
        return True
    origin = error.__cause__ or error.__context__
    return isinstance(origin, ClientDisconnected) and "Disconnect" in type(error).__name__
