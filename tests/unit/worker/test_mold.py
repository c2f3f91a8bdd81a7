"""What a mold does with its orders; a whole life is for real processes."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from asgi_arbiter.config.errors import AppImportError, ExitCode
from asgi_arbiter.config.settings import Config
from asgi_arbiter.worker import mold as module
from asgi_arbiter.worker.mailbox import Mailbox, open_pair
from asgi_arbiter.worker.mold import Breeding, MoldSpec, strangers
from asgi_arbiter.worker.nursery import Death, why_refused
from asgi_arbiter.worker.orders import Dismissed, Orders
from asgi_arbiter.worker.preparation import Prepared
from asgi_arbiter.worker.process import WorkerSpec
from asgi_arbiter.worker.pulse import PulseBoard

PREPARED = Prepared(app=object(), tls=None)  # type: ignore[arg-type]


class Rig:
    """A mold in this process, whose workers are only noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, rears: bool = False) -> None:
        ours, theirs = open_pair()
        self.arbiter = Mailbox(ours)
        self.board = PulseBoard(4)
        self.born: list[WorkerSpec] = []
        self.refusal: OSError | None = None
        monkeypatch.setattr(module.process, "run", self.born.append)
        monkeypatch.setattr(Orders, "close", lambda orders: None)
        monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
        common = WorkerSpec(
            slot=-1,
            number=0,
            generation=2,
            config=Config(app="main:app"),
            listeners=(),
            board=self.board,
            mailbox=theirs,
            arbiter_pid=os.getppid(),
        )
        self.dead: list[Death] = []
        self.spec = MoldSpec(common, Breeding(self.fork, self.collect if rears else None))
        self.mold = module._Mold(self.spec)

    def fork(self, live: Any) -> int:
        if self.refusal is not None:
            raise self.refusal
        live()
        return 500 + len(self.born)

    def collect(self, pids: Iterable[int]) -> list[Death]:
        found, self.dead = [death for death in self.dead if death[0] in pids], []
        return found

    def close(self) -> None:
        self.arbiter.close()
        self.mold.mailbox.close()
        for fd in self.mold._nursery.descriptors():
            os.close(fd)
        self.board.close()

    def order(self, slot: int, number: int) -> Mailbox:
        ours, theirs = open_pair()
        with theirs:
            assert self.arbiter.send_with({"kind": "fork", "slot": slot, "number": number}, [theirs.fileno()])
        return Mailbox(ours)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    rig = Rig(monkeypatch)
    yield rig
    rig.close()


@pytest.fixture
def rearing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """One whose workers are its own children."""
    before = signal.getsignal(signal.SIGCHLD), signal.set_wakeup_fd(-1)
    rig = Rig(monkeypatch, rears=True)
    rig.mold._nursery.open()
    yield rig
    signal.signal(signal.SIGCHLD, before[0])
    signal.set_wakeup_fd(before[1])
    rig.close()


def test_each_order_makes_a_worker_with_the_mailbox_that_came_with_it(rig: Rig) -> None:
    mailboxes = [rig.order(3, 1), rig.order(4, 2)]
    rig.arbiter.send({"kind": "leave"})
    assert rig.mold._obey(PREPARED) is ExitCode.OK
    assert [(spec.slot, spec.number, spec.generation) for spec in rig.born] == [(3, 1, 2), (4, 2, 2)]
    assert all(spec.prepared is PREPARED for spec in rig.born)
    assert all(spec.inherited == (rig.mold.mailbox.fileno(),) for spec in rig.born)
    for mailbox in mailboxes:
        assert mailbox.receive() == []
        assert mailbox.at_eof  # the mold keeps no copy, so a worker's death is never hidden
        mailbox.close()


def test_a_fork_that_is_refused_is_told_on_the_mailbox_of_the_worker_that_is_not(rig: Rig) -> None:
    rig.refusal = OSError(11, "Resource temporarily unavailable")
    mailbox = rig.order(3, 1)
    rig.arbiter.send({"kind": "leave"})
    rig.mold._obey(PREPARED)
    assert mailbox.receive() == [{"kind": "unborn", "reason": why_refused(rig.refusal)}]
    mailbox.close()


def test_one_that_rears_its_workers_reports_how_each_ended(rearing: Rig) -> None:
    rearing.order(3, 1).close()
    rearing.order(4, 2).close()
    rearing.arbiter.send({"kind": "leave"})
    assert rearing.mold._obey(PREPARED) is ExitCode.OK
    assert all(spec.is_reared for spec in rearing.born)
    assert set(rearing.mold._nursery.descriptors()) <= set(rearing.born[0].inherited)
    rearing.dead = [(502, 256, 7)]
    rearing.mold._tell_deaths()
    assert rearing.arbiter.receive() == [{"kind": "ended", "pid": 502, "status": 256, "peak": 7}]


def test_one_that_rears_its_workers_is_woken_but_not_interrupted_by_a_signal(rearing: Rig) -> None:
    """Between reaping a worker and telling it, an exception would lose how it ended."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGQUIT)}
    rearing.mold.orders.stop_interrupting()
    try:
        signal.raise_signal(signal.SIGTERM)
        assert rearing.mold._obey(PREPARED) is ExitCode.OK
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_one_that_rears_its_workers_stays_until_the_last_has_left(rearing: Rig) -> None:
    rearing.order(3, 1).close()
    rearing.arbiter.send({"kind": "leave"})
    rearing.mold._obey(PREPARED)
    rearing.dead = [(501, 0, 7)]
    signal.raise_signal(signal.SIGCHLD)
    rearing.mold.farewell()
    assert [message["pid"] for message in rearing.arbiter.receive()] == [501]


def test_one_without_an_arbiter_does_not_stay(rearing: Rig) -> None:
    rearing.order(3, 1).close()
    rearing.arbiter.send({"kind": "leave"})
    rearing.mold._obey(PREPARED)
    rearing.arbiter.close()
    rearing.mold.farewell()
    assert rearing.mold._nursery.children == {501}


def test_the_death_of_the_arbiter_ends_it(rig: Rig) -> None:
    rig.arbiter.close()
    assert rig.mold._obey(PREPARED) is ExitCode.OK


def test_logs_are_opened_anew_when_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from asgi_arbiter.config import logs

    reopened: list[bool] = []
    monkeypatch.setattr(logs, "reopen", lambda: reopened.append(True))
    rig.arbiter.send({"kind": "reopen"})
    rig.arbiter.send({"kind": "who knows"})
    rig.arbiter.send({"kind": "leave"})
    rig.mold._obey(PREPARED)
    assert reopened == [True]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AppImportError("no such module", traceback_text="Traceback"), ExitCode.APP_IMPORT),
        (SystemExit(3), ExitCode.FAILED),
        (Dismissed(), ExitCode.OK),
    ],
    ids=repr,
)
def test_a_failure_is_reported_with_the_users_traceback(
    rig: Rig, error: BaseException, code: ExitCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def live(_mold: Any) -> ExitCode:
        raise error

    monkeypatch.setattr(module._Mold, "live", live)
    assert module.run(rig.spec) is code
    messages = rig.arbiter.receive()
    assert [message["code"] for message in messages] == ([code] if code else [])


def test_threads_and_loops_are_named() -> None:
    before = set(strangers())
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="metrics-exporter")
    thread.start()
    loop = asyncio.new_event_loop()
    try:
        named = " ".join(set(strangers()) - before)
        assert "metrics-exporter" in named and "event loop" in named
        assert "event loop" not in " ".join(strangers(loops=False))
    finally:
        loop.close()
        stop.set()
        thread.join()


def test_threads_of_native_libraries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_native_threads", lambda: 4 + threading.active_count() - 1)
    assert any("3 of a native library" in sentence for sentence in strangers(loops=False))


def test_a_mold_without_strangers_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_native_threads", lambda: 1)
    monkeypatch.setattr(module.threading, "enumerate", lambda: [threading.main_thread()])
    assert list(strangers(loops=False)) == []
