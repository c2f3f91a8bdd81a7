"""Who may tell a worker to leave, and how it hears: signals, the mailbox, the death of the arbiter.

Two times of life. While the worker boots there is no loop: a signal interrupts the import by raising ``Dismissed``, and
since user code may swallow that, ``check`` looks again afterwards. While it serves, signals and mailbox are events of
the loop. Rules:

* between the two nothing is raised: what comes while the loop starts is remembered, and obeyed as soon as it turns;
* SIGTERM says *leave*, the mailbox says *why*; a TERM without a word waits a moment for it, since systemd sends TERM to
  the whole group before the arbiter has written, and the reason decides about the accept queue;
* whatever is repeated is harmless;
* signals that the worker ignores get a handler that does nothing rather than SIG_IGN, which programs that the
  application starts would inherit.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from signal import Signals
from types import FrameType
from typing import TYPE_CHECKING

from .witness import Witness

if TYPE_CHECKING:
    import asyncio

    from .hooks import Hooks
    from .mailbox import Mailbox
    from .server import Server

__all__ = ["Dismissed", "Orders"]

log = logging.getLogger("asgi_arbiter.worker")

_WORD_DELAY = 0.2
"""Seconds that a TERM waits for the arbiter's reason."""
_IGNORED = (
    Signals.SIGINT,  # the terminal sends it to the whole group; the arbiter decides
    Signals.SIGHUP,
    Signals.SIGTTIN,
    Signals.SIGTTOU,
    Signals.SIGWINCH,
)
_LIFESPAN = 60.0
"""Seconds for an orphan's lifespan shutdown where the setting has no limit."""
_PR_SET_PDEATHSIG = 1


class Dismissed(BaseException):
    """The worker is told to leave before it serves. Not an ``Exception``, so that careful user code lets it pass."""


class Orders:
    """The orders of one worker."""

    def __init__(self, mailbox: Mailbox, arbiter_pid: int, hooks: Hooks, *, has_other_parent: bool = False) -> None:
        self._mailbox = mailbox
        self._arbiter_pid = arbiter_pid
        self._hooks = hooks
        self._has_other_parent = has_other_parent
        """A child of its mold: the mailbox alone tells whether the arbiter lives."""
        self._is_dismissed = False
        self._server: Server | None = None
        self._has_hurried = False
        self._word_timer: asyncio.TimerHandle | None = None
        self._witness = Witness()

    def descriptors(self) -> tuple[int, ...]:
        """What a child that we fork must not keep."""
        return (self._mailbox.fileno(), *self._witness.descriptors())

    # While booting

    def listen_while_booting(self) -> None:
        """Install the handlers, then let signals in: the arbiter blocked them for the time around the fork."""
        signal.set_wakeup_fd(-1)  # the arbiter's descriptor, which must not wake up for our signals
        for ignored in _IGNORED:
            signal.signal(ignored, _do_nothing)
        signal.signal(Signals.SIGPIPE, signal.SIG_IGN)
        signal.signal(Signals.SIGTERM, self._dismiss)
        signal.signal(Signals.SIGQUIT, self._dismiss)
        signal.signal(Signals.SIGUSR1, _do_nothing)
        signal.signal(Signals.SIGCHLD, signal.SIG_DFL)
        self._prepare_evidence()
        sys.unraisablehook = _let_dismissals_pass
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def follow_the_arbiter(self) -> None:
        """Ask the kernel for SIGTERM at the arbiter's death (Linux), and notice if it is dead already.

        To be repeated after a change of identity, which clears the request (prctl(2), PR_SET_PDEATHSIG).
        """
        if sys.platform == "linux" and not self._has_other_parent:
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, Signals.SIGTERM, 0, 0, 0)
        self.check()

    def check(self) -> None:
        """Raise ``Dismissed`` if the worker was told to leave, or its arbiter is dead."""
        messages = self._mailbox.receive()
        told = any(message["kind"] == "leave" for message in messages)
        if self._is_dismissed or told or self._mailbox.at_eof or self._has_lost_parent():
            self._is_dismissed = True
            raise Dismissed

    def _has_lost_parent(self) -> bool:
        return not self._has_other_parent and os.getppid() != self._arbiter_pid

    @property
    def is_dismissed(self) -> bool:
        """Whether a signal has told us to leave; for those whom it no longer interrupts."""
        return self._is_dismissed

    def stop_interrupting(self) -> None:
        """The event loop comes next: from now on a signal is remembered for ``attach`` instead of raised. An exception
        in the middle of the loop's own code leaves it half started, and a half-started loop cannot even be closed."""
        for number in (Signals.SIGTERM, Signals.SIGQUIT):
            signal.signal(number, self._remember)
        if sys.unraisablehook is _let_dismissals_pass:
            sys.unraisablehook = sys.__unraisablehook__
        self.check()

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._is_dismissed = True

    def _dismiss(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_dismissed:
            self._is_dismissed = True
            raise Dismissed

    # While serving

    def attach(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        """From now on orders go to ``server``, as events of ``loop``."""
        self._server = server
        self._loop = loop
        self._witness.describe = server.describe
        handlers: dict[Signals, Callable[[], None]] = {
            Signals.SIGTERM: self._on_term,
            Signals.SIGQUIT: self._on_quit,
            Signals.SIGUSR1: self._on_reopen,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        # The loop hears of signals through its wakeup descriptor; Python's own handler is free for what must work even
        # if the loop is blocked and never turns again.
        signal.signal(Signals.SIGTERM, self._limit_an_orphan)
        signal.siginterrupt(Signals.SIGTERM, False)
        loop.add_reader(self._mailbox.fileno(), self._on_mail)
        if self._is_dismissed:
            server.begin_drain("recycle")

    def detach(self) -> None:
        """The server has ended: what comes now is too late to matter."""
        self._witness.describe = None
        self._loop.remove_reader(self._mailbox.fileno())
        for number in (Signals.SIGTERM, Signals.SIGQUIT, Signals.SIGUSR1):
            self._loop.remove_signal_handler(number)
        self.close()

    def close(self) -> None:
        """No more orders: the worker is ending, one way or another."""
        for number in (Signals.SIGTERM, Signals.SIGQUIT, Signals.SIGUSR1):
            signal.signal(number, _do_nothing)
        self._is_dismissed = True

    def _limit_an_orphan(self, _number: int, _frame: FrameType | None) -> None:
        """With the arbiter dead there is nobody who would kill a worker whose loop is blocked; then the kernel does, by
        SIGALRM's default action, when all the times for leaving are over."""
        if self._server is not None and (self._has_lost_parent() or self._mailbox.is_abandoned()):
            config = self._server.config
            limit = config.graceful_timeout + config.kill_timeout + (config.lifespan_shutdown_timeout or _LIFESPAN)
            signal.setitimer(signal.ITIMER_REAL, limit)

    def _on_term(self) -> None:
        if self._word_timer is None:
            self._word_timer = self._loop.call_later(_WORD_DELAY, self._leave, "recycle")

    def _on_quit(self) -> None:
        self._hurry("shutdown")

    def _hurry(self, reason: str) -> None:
        """The signal, and the arbiter's word for it, which may come first and end an idle worker before the signal."""
        if not self._has_hurried:
            self._has_hurried = True
            self._hooks.with_worker("worker_int")
        self._leave(reason, quick=True)

    def _on_reopen(self) -> None:
        from asgi_arbiter.config import logs

        logs.reopen()
        log.info("log files are open anew", extra={"event": "logs_reopened"})

    def _on_mail(self) -> None:
        for message in self._mailbox.receive():
            if message["kind"] == "leave":
                act = self._hurry if message.get("quick") else self._leave
                act(str(message.get("reason") or "recycle"))
        if self._mailbox.at_eof:
            self._loop.remove_reader(self._mailbox.fileno())
            log.warning(
                "the arbiter is gone (killed?): finishing what is under way, then leaving",
                extra={"event": "arbiter_gone"},
            )
            self._leave("orphaned")

    def _leave(self, reason: str, *, quick: bool = False) -> None:
        if self._word_timer is not None:
            self._word_timer.cancel()
        if self._server is not None:
            self._server.begin_drain(reason, timeout=self._server.config.quick_timeout if quick else None)

    # Evidence

    def _prepare_evidence(self) -> None:
        self._witness.begin(self._mailbox)
        if self._hooks.has("worker_abort"):
            self._witness.before(Signals.SIGABRT, self._on_abort)

    def _on_abort(self, _number: int, _frame: FrameType | None) -> None:
        self._hooks.with_worker("worker_abort")
        signal.signal(Signals.SIGABRT, signal.SIG_DFL)
        signal.raise_signal(Signals.SIGABRT)


def _let_dismissals_pass(unraisable: sys.UnraisableHookArgs) -> None:
    """A signal may come while Python runs a finalizer, where nothing can be raised: not worth a traceback, since
    ``check`` looks again."""
    if unraisable.exc_type is not Dismissed:
        sys.__unraisablehook__(unraisable)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """For signals that are none of a worker's business."""
