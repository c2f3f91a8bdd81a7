"""What the kernel and our children tell, as events: the only place where the arbiter waits.

``Senses`` knows every child that may tell something. Rules: nothing here decides; everything that has happened is told in
one list, the last words of a child before its death, and its death exactly once. Three kinds of death: a child of ours is
reaped; a worker that is a mold's own child (where the kernel cannot give it to us) is reported by the mold; and when that
mold is dead too, the end of the worker's mailbox or the absence of its pid has to do, and nobody knows how it ended.
"""

from __future__ import annotations

import logging
import math
import os
import select
import sys
import time
from collections.abc import Iterator
from signal import Signals
from typing import TYPE_CHECKING

from asgi_arbiter.config import logs

from . import events as ev
from . import forks, signals
from .answers import death_reported
from .kin import Child, Unborn, Wakeup
from .oom import OomCounter

if TYPE_CHECKING:
    from asgi_arbiter.worker.mailbox import Mailbox
    from asgi_arbiter.worker.pulse import PulseBoard

    from .reloader import Watcher
    from .upgrade import Upgrade

__all__ = ["Senses"]

log = logging.getLogger("asgi_arbiter.arbiter")

_WITNESS_CHUNK = 2**20
"""More than a worker's pipe holds."""
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


class Senses:
    """Everybody who may tell the arbiter something. ``children`` are those that were seen alive and not seen dead."""

    def __init__(self, board: PulseBoard, upgrade: Upgrade | None = None) -> None:
        self.children: dict[int, Child] = {}
        self.unborn: list[Unborn] = []
        self._board = board
        self._upgrade = upgrade
        self._wakeup = Wakeup()
        self._oom = OomCounter()
        self._watcher: Watcher | None = None
        self._poll = select.poll()
        self._poll.register(self._wakeup.reader, select.POLLIN)
        if upgrade is not None and upgrade.lifeline is not None:
            self._poll.register(upgrade.lifeline.fileno(), select.POLLIN)

    # --- who is heard ------------------------------------------------------------------------------------------------

    def install_signals(self) -> None:
        """From now on signals wake ``wait``."""
        signals.install(self._wakeup.writer)

    def adopt(self, pid: int, child: Child) -> None:
        """Hear this child from now on."""
        self.children[pid] = child
        self._poll.register(child.mailbox.fileno(), select.POLLIN)

    def expect(self, unborn: Unborn) -> None:
        """Hear what becomes of an order to a mold."""
        self.unborn.append(unborn)
        self._poll.register(unborn.mailbox.fileno(), select.POLLIN)

    def follow(self, watcher: Watcher) -> None:
        """Hear of changed files."""
        self._watcher = watcher
        self._poll.register(watcher.reader, select.POLLIN)

    def mailboxes(self) -> list[Mailbox]:
        """All that lead to children, to workers not born yet, and to a predecessor."""
        found = [child.mailbox for child in self.children.values()] + [unborn.mailbox for unborn in self.unborn]
        lifeline = self._upgrade.lifeline if self._upgrade is not None else None
        return found if lifeline is None else [*found, lifeline]

    def descriptors(self) -> tuple[int, ...]:
        """What no child may keep: a sibling's mailbox end would hide the death of the arbiter from that sibling. To be
        asked anew for each fork, since a number that was closed may be another descriptor by now."""
        mailboxes = [mailbox.fileno() for mailbox in self.mailboxes()]
        witnesses = [child.witness for child in self.children.values() if child.witness >= 0]
        watcher = [self._watcher.reader] if self._watcher is not None and not self._watcher.is_closed else []
        return (*mailboxes, *witnesses, *watcher, self._wakeup.reader, self._wakeup.writer)

    def close(self) -> None:
        """At the end: give the signals back and close what is left."""
        signals.restore()
        for mailbox in self.mailboxes():
            mailbox.close()
        for child in self.children.values():
            self._dismiss_witness(child)
        self._wakeup.close()

    # --- what they tell ----------------------------------------------------------------------------------------------

    def wait(self, until: float | None) -> list[ev.Event]:
        """Wait for the kernel; then everything that has happened: pulses, orders, messages, deaths."""
        logs.flush()
        timeout = None if until is None else max(0, math.ceil((until - time.monotonic()) * 1000))
        ready = {fd for fd, _ in self._poll.poll(timeout)}
        events: list[ev.Event] = self._pulses()
        if self._wakeup.reader in ready:
            events += [ev.SignalReceived(order, name) for order, name in signals.orders(self._wakeup.take())]
        for unborn in [unborn for unborn in self.unborn if unborn.mailbox.fileno() in ready]:
            events += self._births(unborn)
        for pid, child in list(self.children.items()):
            if child.mailbox.fileno() in ready:
                events += self._mail(pid, child)
            if child.witness in ready:
                events += self._hear(pid, child)
        events += self._changes(ready)
        events += self._word(ready)
        events += self._reap()
        events += self._miss()
        return events

    def _mail(self, pid: int, child: Child) -> list[ev.Event]:
        fd = child.mailbox.fileno()
        events: list[ev.Event] = []
        for message in child.mailbox.receive():
            death = death_reported(message) if child.rears else None
            if death is not None:
                events += self._end(*death)
            elif (event := child.translate(pid, message)) is not None:
                events.append(event)
        self._accept_witness(child)
        if child.mailbox.at_eof:
            self._poll.unregister(fd)
        return events

    def _accept_witness(self, child: Child) -> None:
        """A worker has sent the reading end of the pipe into which it writes its stacks."""
        while child.mailbox.descriptors:
            fd = child.mailbox.descriptors.popleft()
            if child.witness >= 0:
                os.close(fd)
                continue
            os.set_blocking(fd, False)
            child.witness = fd
            if child.slot >= 0:  # a mold is heard at its end
                self._poll.register(fd, select.POLLIN)

    def _hear(self, pid: int, child: Child) -> list[ev.Event]:
        """What it says; all of it is there, since it does not wait for us while it writes."""
        try:
            data = os.read(child.witness, _WITNESS_CHUNK)
        except BlockingIOError:
            return []
        if not data:
            self._dismiss_witness(child)
            return []
        return [ev.WorkerTestified(pid, data.decode(errors="replace"))]

    def _dismiss_witness(self, child: Child) -> None:
        if child.witness >= 0:
            if child.slot >= 0:
                self._poll.unregister(child.witness)
            os.close(child.witness)
            child.witness = -1

    def _births(self, unborn: Unborn) -> list[ev.Event]:
        """What became of an order to a mold."""
        fd, order = unborn.mailbox.fileno(), unborn.order
        messages = unborn.mailbox.receive()
        for index, message in enumerate(messages):
            match message:
                case {"kind": "born", "pid": int(pid)}:
                    self.unborn.remove(unborn)
                    child = self.children[pid] = Child(order.slot, unborn.mailbox, parent=unborn.parent)
                    events: list[ev.Event] = [ev.Spawned(pid, order.slot, order.number, order.generation)]
                    events += [e for rest in messages[index + 1 :] if (e := child.translate(pid, rest)) is not None]
                    self._accept_witness(child)
                    if child.mailbox.at_eof:
                        self._poll.unregister(fd)
                    return events
                case {"kind": "unborn", "reason": str(reason)}:
                    unborn.why = reason
        if not unborn.mailbox.at_eof:
            return []
        self.unborn.remove(unborn)
        self._poll.unregister(fd)
        unborn.mailbox.close()
        return [ev.SpawnFailed(order.generation, unborn.why, order.slot)]

    def _word(self, ready: set[int]) -> list[ev.Event]:
        """What our predecessor says."""
        lifeline = self._upgrade.lifeline if self._upgrade is not None else None
        if self._upgrade is None or lifeline is None or lifeline.fileno() not in ready:
            return []
        fd = lifeline.fileno()
        events = self._upgrade.words()
        if lifeline.at_eof:
            self._poll.unregister(fd)
        return events

    def _pulses(self) -> list[ev.Event]:
        return [event for pid, child in self.children.items() if (event := self._pulse(pid, child)) is not None]

    def _pulse(self, pid: int, child: Child) -> ev.PulseSeen | None:
        reading = self._board.read(child.slot) if child.slot >= 0 else None
        if reading is None or reading.sequence == child.last_beat:
            return None
        child.last_beat = reading.sequence
        return ev.PulseSeen(pid, reading.beat_ns / 1e9, reading.connections, reading.in_flight, reading.served)

    def _changes(self, ready: set[int]) -> list[ev.Event]:
        watcher = self._watcher
        if watcher is None or watcher.reader not in ready:
            return []
        paths = watcher.read()
        if watcher.is_closed:
            self._poll.unregister(watcher.reader)
        return [ev.FilesChanged(tuple(paths))] if paths else []

    # --- deaths ------------------------------------------------------------------------------------------------------

    def _reap(self) -> list[ev.Event]:
        """Every child that has ended, whoever's it was: as pid 1 we inherit strangers."""
        return [event for death in forks.reap() for event in self._end(*death)]

    def _end(self, pid: int, status: int | None, peak: int) -> list[ev.Event]:
        """``status`` as ``waitpid`` gives it, or ``None`` if nobody could ask; ``peak`` in the kernel's own unit."""
        events: list[ev.Event] = []
        if pid not in self.children:
            for unborn in list(self.unborn):  # its birth was told before it died, perhaps just now
                events += self._births(unborn)
        events += self._bury(pid)
        if status is None:
            return [*events, ev.ChildExited(pid, code=ev.ChildExited.UNKNOWN)]
        killer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        events.append(
            ev.ChildExited(
                pid,
                code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
                signal=killer,
                core_dumped=os.WIFSIGNALED(status) and os.WCOREDUMP(status),
                oom_killed=killer == Signals.SIGKILL and self._oom.has_risen(),
                peak_memory=peak * _MEMORY_UNIT,
            )
        )
        return events

    def _bury(self, pid: int) -> list[ev.Event]:
        """What a dead worker had still to say, before its slot and mailbox are free again."""
        child = self.children.get(pid)
        if child is None:
            if self._watcher is not None and pid == self._watcher.pid:
                log.error("the file watcher ended: changes are no longer noticed", extra={"event": "watcher_ended"})
            return []
        events: list[ev.Event] = [] if child.mailbox.at_eof else self._mail(pid, child)
        pulse = self._pulse(pid, child)
        if pulse is not None:
            events.append(pulse)
        if child.witness >= 0:
            events += self._hear(pid, child)
            self._dismiss_witness(child)
        if not child.mailbox.at_eof:
            self._poll.unregister(child.mailbox.fileno())
        child.mailbox.close()
        if child.slot >= 0:
            self._board.clear(child.slot)
        del self.children[pid]
        return events

    def _miss(self) -> list[ev.Event]:
        """Deaths that nobody reports any more, since the mold that would is dead itself."""
        return [event for pid in list(self._orphans()) for event in self._end(pid, None, 0)]

    def _orphans(self) -> Iterator[int]:
        for pid, child in self.children.items():
            is_orphan = child.parent != 0 and child.parent not in self.children
            if is_orphan and (child.mailbox.at_eof or not forks.exists(pid)):
                yield pid
