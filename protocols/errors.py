"""What can go wrong on one connection. Nothing here ever leaves a worker.

Three parties can be at fault, and each has its own class: the client (``Refusal``: an answer with a status, then the
end of the connection), the network (``ClientDisconnected``: what ``send`` raises once nobody listens, ASGI HTTP 2.4),
the application (``MisusedByApplication``: a message out of turn or out of shape).
"""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["ClientDisconnected", "MisusedByApplication", "Refusal"]


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
