"""One process, one event loop: everything between a listening socket and the protocols.

Imports ``protocols`` and ``config``; knows nothing of the arbiter but the mailbox, the pulse board and two signals.
"""

from __future__ import annotations

from .drain import DrainReport
from .listener import Listener
from .server import Server

__all__ = ["DrainReport", "Listener", "Server"]
