"""Where a server stands, and what it tells about itself at each beat."""

from __future__ import annotations

from enum import Enum, auto

from asgi_arbiter.config.records import Record

from .pulse import Pulse, PulsePhase

__all__ = ["TRANSITIONS", "ServerPhase", "ServerSnapshot"]


class ServerPhase(Enum):
    """Where the server stands."""

    NEW = auto()
    STARTING = auto()
    SERVING = auto()
    DRAINING = auto()
    CLOSING = auto()
    """Drained; the application's lifespan shutdown runs."""
    CLOSED = auto()
    FAILED = auto()


TRANSITIONS: dict[ServerPhase, frozenset[ServerPhase]] = {
    ServerPhase.NEW: frozenset({ServerPhase.STARTING}),
    ServerPhase.STARTING: frozenset({ServerPhase.SERVING, ServerPhase.CLOSING, ServerPhase.FAILED}),
    ServerPhase.SERVING: frozenset({ServerPhase.DRAINING, ServerPhase.CLOSING}),
    ServerPhase.DRAINING: frozenset({ServerPhase.CLOSING}),
    ServerPhase.CLOSING: frozenset({ServerPhase.CLOSED}),
    ServerPhase.CLOSED: frozenset(),
    ServerPhase.FAILED: frozenset(),
}

_PULSE_PHASES = {
    ServerPhase.SERVING: PulsePhase.SERVING,
    ServerPhase.DRAINING: PulsePhase.DRAINING,
    ServerPhase.CLOSING: PulsePhase.CLOSING,
    ServerPhase.CLOSED: PulsePhase.CLOSING,
}


class ServerSnapshot(Record):
    """The server at one moment; the argument of a beat."""

    phase: ServerPhase
    connections: int = 0
    """Open ones, with those that are being set up."""
    in_flight: int = 0
    """Requests under way and open WebSockets."""
    served: int = 0
    lag: float = 0.0
    """Seconds by which the loop was late for its last beat."""

    def write_to(self, pulse: Pulse) -> None:
        """Write it as one beat to the pulse board."""
        pulse.beat(
            phase=_PULSE_PHASES.get(self.phase, PulsePhase.BOOTING),
            lag_ns=int(self.lag * 1e9),
            connections=self.connections,
            in_flight=self.in_flight,
            served=self.served,
        )
