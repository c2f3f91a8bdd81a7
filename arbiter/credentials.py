"""The TLS contexts of generations: made and checked before the first worker of each, and inherited by all of them.

A worker that takes the place of a dead one thus serves the certificate that its generation was started with, and boots
whatever has become of the files meanwhile. Rule: a context lives here as long as the listeners of its generation, and
for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from asgi_arbiter.config.tls import prepared_context

if TYPE_CHECKING:
    import ssl

    from asgi_arbiter.config import Config

__all__ = ["Credentials"]


class Credentials:
    """All contexts of the arbiter. ``make`` makes one (another function in tests)."""

    def __init__(self, make: Callable[[Config], ssl.SSLContext | None] = prepared_context) -> None:
        self._make = make
        self._held: dict[int, ssl.SSLContext | None] = {}

    def open(self, generation: int, config: Config) -> None:
        """Read certificates and keys for ``generation``. Raises ``ConfigError``; nothing is held then."""
        self._held[generation] = self._make(config)

    def of(self, generation: int) -> ssl.SSLContext | None:
        """The context of a generation; None where it has none."""
        return self._held.get(generation)

    def keep(self, generation: int | None) -> None:
        """Let go of all others (with ``None``: of all)."""
        self._held = {number: context for number, context in self._held.items() if number == generation}
