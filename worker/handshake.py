"""TLS handshakes whose failure is told: the alert with the reason reaches the client.

OpenSSL writes the alert (RFC 8446 section 6) into its outgoing buffer, and both event loops forget that buffer when the
handshake raises: a client without the required certificate would see a connection that just ends. So the failure is
kept back: to the loop the handshake seems to wait for the client, and the loop sends what is in the buffer. The client
then closes, says more than it may, or is waited for no longer than ``handshake_timeout``.
"""

from __future__ import annotations

import logging
import ssl
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["TellingObject", "let_it_tell"]

log = logging.getLogger("asgi_arbiter.worker")

_PATIENCE: Final = 4
"""Further pieces of the client's that are taken: closing a socket over unread bytes would destroy the alert on its way,
and the request of a client with TLS 1.3 is under way already. Each is 256 KiB at most."""


class TellingObject(ssl.SSLObject):
    """One connection's TLS, on the server's side."""

    _failure: ssl.SSLError | None = None
    _left: int = _PATIENCE

    def do_handshake(self) -> None:
        """Raises ``SSLWantReadError`` also where all is over."""
        if self._failure is None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as failure:
                log.debug("a TLS handshake failed: %s", failure, extra={"event": "handshake_failed"})
                self._failure = failure
            else:
                return
        if self._left == 0:
            raise self._failure
        self._left -= 1
        raise ssl.SSLWantReadError


def let_it_tell(context: ssl.SSLContext) -> None:
    """Make the connections of ``context`` so, unless its owner wants them to be of another kind already."""
    if context.sslobject_class is ssl.SSLObject:
        context.sslobject_class = TellingObject
    if context.sni_callback is not None:
        _silence_undecodable_names()


def _silence_undecodable_names() -> None:
    """Python's ``ssl`` refuses a name that is not ASCII, as it should, and reports it as an error that it cannot raise:
    five lines on standard error for every such handshake. Whoever can connect could fill a disk with them. Everything
    else goes to the hook that was there. Repeating it does nothing."""
    before = sys.unraisablehook
    if getattr(before, "is_of_names", False):
        return

    def hook(unraisable: UnraisableHookArgs) -> None:
        if not (unraisable.exc_type is UnicodeDecodeError and isinstance(unraisable.object, bytes)):
            before(unraisable)

    hook.is_of_names = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook
