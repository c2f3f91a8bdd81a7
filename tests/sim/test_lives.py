"""Random lives of a fleet: whatever workers, operators and the kernel do, the invariants hold after every turn."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections import Counter
from signal import Signals

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_arbiter.arbiter import actions as act
from asgi_arbiter.arbiter import events as ev
from asgi_arbiter.arbiter.fleet import Fleet
from asgi_arbiter.arbiter.plan import plan
from asgi_arbiter.arbiter.policy import Rules, board_slots
from asgi_arbiter.arbiter.signals import Order
from asgi_arbiter.arbiter.states import LEAVING, TESTING, GenerationState, MoldState, Phase, Reason, Tenure, WorkerState
from asgi_arbiter.arbiter.turn import turn
from asgi_arbiter.config.records import replace
from tests.sim.kernel import HEALTHY, SOUND, Ancestor, Cast, Heir, Life, SimKernel

_ONCE = (Signals.SIGTERM, Signals.SIGQUIT, Signals.SIGABRT, Signals.SIGKILL)


class Watch:
    """Runs a fleet against a kernel and checks the invariants of ARCHITECTURE section 10 all the time."""

    def __init__(self, kernel: SimKernel, rules: Rules, *, calm: bool = False, leads: bool = True) -> None:
        self.kernel = kernel
        self.calm = calm
        """Nobody dies unasked and nobody gets stuck: then capacity must never fall below the wish."""
        slots = board_slots(rules.workers)
        self.fleet = Fleet(
            None,  # type: ignore[arg-type]
            rules,
            now=kernel.now(),
            slots=slots,
            addresses=("http://127.0.0.1:8000",),
            leads=leads,
        )
        self.finish: act.Finish | None = None
        self.ended: set[int] = set()
        self.molds: list[tuple[float, int]] = []
        self.turns = 0
        kernel.after_action = self.check_action

    def run(self, seconds: float) -> None:
        end = self.kernel.time + seconds
        self.kernel.send(seconds, ev.TimePassed())
        while self.finish is None and self.kernel.time < end:
            self.step()

    def step(self) -> None:
        self.turns += 1
        self.finish = turn(self.fleet, self.kernel)
        self.check_turn()

    def stop(self) -> None:
        """TERM, and wait for the end as long as the deadlines add up to."""
        self.kernel.pause = 0.0
        rules = self.fleet.current().rules
        budget = rules.drain_delay + rules.drain_budget + rules.abort_timeout + 1.0
        budget += max((g.rules.drain_budget for g in self.fleet.generations.values()), default=0.0)
        self.kernel.send(0.2, ev.SignalReceived(Order.STOP, "SIGTERM"))
        self.run(budget)
        assert self.finish is not None, f"the service did not stop within {budget} s"

    def check_action(self, action: act.Action) -> None:
        assert self.finish is None
        if isinstance(action, act.Signal):
            assert action.pid not in self.kernel.reaped, "a signal to a pid that was reaped"
            child = self.kernel.workers.get(action.pid) or self.kernel.molds.get(action.pid)
            sent = Counter(child.signals if child is not None else ())
            assert all(sent[signal] <= 1 for signal in _ONCE), sent
            shares = self.kernel.stepped_down or self.fleet.tenure in (Tenure.APPRENTICE, Tenure.REPORTED)
            if shares and action.pid in self.kernel.workers:
                assert action.reason is not Reason.SHUTDOWN, "another arbiter serves on, so the accept queue is its own"
        if isinstance(action, (act.Notify, act.PetWatchdog)):
            assert self.fleet.tenure is Tenure.LEADING, "only one arbiter speaks for the service"
        if isinstance(action, (act.Spawn, act.SpawnMold, act.CloseListeners)):
            assert not self.kernel.stepped_down
        if isinstance(action, act.Spawn):
            self.check_origin(action)
        if isinstance(action, act.SpawnMold):
            self.molds.append((self.kernel.time, action.generation))
            current = [time for time, number in self.molds if number == action.generation]
            assert len([time for time in current if time > self.kernel.time - 10.0]) <= 10, "a storm of forks"

    def check_origin(self, action: act.Spawn) -> None:
        """With ``--preload``, workers are forked by the mold of their own generation and by nobody else."""
        if not self.fleet.generations[action.generation].rules.preload_app:
            assert action.mold == 0
            return
        mold = self.kernel.molds.get(action.mold)
        if mold is not None:  # else it has just died and nobody knows yet
            assert mold.generation == action.generation
            assert mold.ready and not mold.signals

    def check_molds(self) -> None:
        fleet = self.fleet
        assert set(fleet.molds) == set(self.kernel.molds)
        for mold in fleet.molds.values():
            generation = fleet.generations[mold.generation]
            assert generation.is_open or not mold.is_alive, "a mold without a generation to work for"
            assert mold.is_alive or mold.deadline is not None or mold.state is MoldState.KILLED
        alive = Counter(mold.generation for mold in fleet.molds.values() if mold.is_alive)
        assert all(count == 1 for count in alive.values())
        known = {(request.mold, request.slot) for request in fleet.requests.values() if request.mold in fleet.molds}
        assert known <= {(mold.pid, slot) for mold in self.kernel.molds.values() for slot in mold.orders}

    def check_turn(self) -> None:
        fleet, now = self.fleet, self.kernel.now()
        assert fleet.contradictions == []
        if self.finish is not None:
            assert not fleet.handles and not self.kernel.workers
            assert not fleet.molds and not self.kernel.molds and not fleet.requests
            assert self.kernel.heir is None or self.kernel.stepped_down
            return
        assert plan(fleet, now) == plan(fleet, now) == [], "a turn left something undone"
        deadline = fleet.next_deadline()
        assert deadline is None or deadline > now, "the machine would spin"
        assert set(fleet.handles) == set(self.kernel.workers)
        self.check_workers()
        self.check_molds()
        self.check_generations()

    def check_workers(self) -> None:
        fleet = self.fleet
        for handle in fleet.handles.values():
            if handle.state in LEAVING:
                assert handle.reason is not None
                assert handle.deadline is not None or handle.state is WorkerState.KILLED
        slots = [handle.slot for handle in fleet.handles.values()] + list(fleet.requests)
        assert len(slots) == len(set(slots))
        names = [(each.generation, each.number) for each in (*fleet.handles.values(), *fleet.requests.values())]
        assert len(names) == len(set(names))

    def check_generations(self) -> None:
        fleet = self.fleet
        states = [generation.state for generation in fleet.generations.values()]
        assert states.count(GenerationState.CURRENT) == 1
        assert sum(state in TESTING or state is GenerationState.PROPOSED for state in states) <= 1
        assert (fleet.phase is Phase.RELOADING) == any(s in TESTING for s in states) or fleet.phase is Phase.RELOADING
        for number, generation in fleet.generations.items():
            if generation.state not in (*TESTING, GenerationState.PROPOSED):
                self.ended.add(number)
            elif number in self.ended:
                raise AssertionError(f"generation {number} is seen again")
        if self.calm and fleet.complete_at is not None and fleet.phase in (Phase.RUNNING, Phase.RELOADING):
            assert len(fleet.serving()) >= min(fleet.wish, fleet.current().wish)


lives = st.builds(
    Life,
    boot=st.sampled_from([0.05, 0.3, 0.3, 2.0, 20.0]),
    boot_end=st.sampled_from(["ready"] * 8 + ["failed", "crash", "hang"]),
    crash=st.sampled_from([math.inf] * 4 + [0.0, 0.5, 3.0, 40.0]),
    stuck=st.sampled_from([math.inf] * 5 + [0.5, 5.0]),
    stuck_for=st.sampled_from([math.inf, 2.0, 12.0]),
    retire=st.sampled_from([math.inf] * 3 + [0.0, 2.0, 10.0]),
    leave=st.sampled_from([math.inf] * 8 + [1.0, 6.0]),
    drain=st.sampled_from([0.0, 0.2, 3.0, math.inf]),
    abort=st.sampled_from([0.0, 0.1, math.inf]),
)
calm_lives = st.builds(
    Life,
    boot=st.sampled_from([0.05, 0.3, 2.0]),
    retire=st.sampled_from([math.inf] * 3 + [0.0, 2.0, 10.0]),
    drain=st.sampled_from([0.0, 0.2, 3.0, math.inf]),
)
casts = st.builds(
    Cast,
    boot=st.sampled_from([0.05, 0.3, 4.0]),
    boot_end=st.sampled_from(["ready"] * 8 + ["failed", "crash", "hang"]),
    crash=st.sampled_from([math.inf] * 4 + [0.0, 0.5, 5.0]),
    fork=st.sampled_from([0.01, 0.01, 0.5, math.inf]),
    leave=st.sampled_from([0.01, 0.2, math.inf]),
    abort=st.sampled_from([0.1, math.inf]),
)
calm_casts = st.builds(Cast, boot=st.sampled_from([0.05, 0.3, 2.0]), fork=st.sampled_from([0.01, 0.3]))
heirs = st.builds(
    Heir,
    boot=st.sampled_from([0.1, 1.0, 6.0]),
    boot_end=st.sampled_from(["ready", "ready", "ready", "refused", "crash", "hang"]),
    lead=st.sampled_from([0.01, 0.01, 0.3, math.inf]),
    leave=st.sampled_from([0.0, 0.5, math.inf]),
)
all_rules = st.builds(
    Rules,
    workers=st.integers(1, 5),
    timeout=st.sampled_from([0.0, 3.0, 10.0]),
    boot_timeout=st.sampled_from([5.0, 30.0]),
    graceful_timeout=st.sampled_from([1.0, 10.0]),
    kill_timeout=st.sampled_from([0.5, 5.0]),
    drain_delay=st.sampled_from([0.0, 0.0, 2.0]),
    settle_time=st.sampled_from([0.0, 1.0]),
    reload_surge=st.integers(1, 3),
    recycle_surge=st.integers(1, 2),
    max_restarts=st.sampled_from([0, 3, 10]),
    reload=st.sampled_from([False, False, False, True]),
    preload_app=st.booleans(),
    molds_rear=st.booleans(),
)
requests = st.sampled_from(
    [
        ev.SignalReceived(Order.RELOAD, "SIGHUP"),
        ev.SignalReceived(Order.RELOAD, "SIGHUP"),
        ev.SignalReceived(Order.RELOAD, "SIGHUP"),
        ev.SignalReceived(Order.MORE, "SIGTTIN"),
        ev.SignalReceived(Order.FEWER, "SIGTTOU"),
        ev.SignalReceived(Order.REOPEN, "SIGUSR1"),
        ev.SignalReceived(Order.EMPTY, "SIGWINCH"),
        ev.SignalReceived(Order.UPGRADE, "SIGUSR2"),
        ev.FilesChanged(("main.py",)),
        ev.ChildExited(99999, 0),
        ev.WorkerReady(99998),
    ]
)
wild = st.one_of(
    requests,
    requests,
    requests,
    st.sampled_from(["kill one", "kill all", "pause"]),
    st.sampled_from(
        [
            ev.SignalReceived(Order.STOP, "SIGTERM"),
            ev.SignalReceived(Order.INTERRUPT, "SIGINT"),
            ev.SignalReceived(Order.QUIT, "SIGQUIT"),
        ]
    ),
)
delays = st.sampled_from([0.0, 0.05, 0.5, 2.0, 7.0, 12.0])
LIVES = int(os.environ.get("ASGI_ARBITER_TEST_LIVES", "150"))
fast = settings(deadline=None, max_examples=LIVES, suppress_health_check=[HealthCheck.too_slow])


def _endless(first: list[Life], chance: random.Random) -> itertools.chain[Life]:
    """The drawn lives, then a random one of them each time, and a healthy one now and then."""
    return itertools.chain(first, (chance.choice([*first, HEALTHY]) for _ in itertools.count()))


@settings(fast, max_examples=3 * LIVES)
@given(
    rules=all_rules,
    booted=st.sampled_from([True, True, True, False]),
    others=st.lists(st.one_of(all_rules, st.just("settings.toml: bad")), min_size=1, max_size=4),
    first=st.lists(lives, min_size=1, max_size=12),
    forks=st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=8),
    binds=st.lists(st.sampled_from([True, True, False]), min_size=1, max_size=4),
    molds=st.lists(casts, min_size=1, max_size=4),
    successors=st.lists(heirs, min_size=1, max_size=3),
    story=st.lists(st.tuples(delays, wild), max_size=10),
    seed=st.integers(0, 2**16),
)
def test_whatever_happens_the_invariants_hold_and_the_service_stops(
    rules: Rules,
    booted: bool,
    others: list[Rules | str],
    first: list[Life],
    forks: list[bool],
    binds: list[bool],
    molds: list[Cast],
    successors: list[Heir],
    story: list[tuple[float, ev.Event | str]],
    seed: int,
) -> None:
    chance = random.Random(seed)
    healthy = [HEALTHY] * rules.workers if booted else []
    kernel = SimKernel(
        itertools.chain(healthy, _endless(first, chance)),
        itertools.cycle(others),
        itertools.cycle([*forks, True]),
        itertools.cycle(binds),
        itertools.chain([SOUND] * booted, itertools.cycle([*molds, SOUND])),
        itertools.cycle(successors),
    )
    watch = Watch(kernel, rules)
    for delay, happening in story:
        watch.run(delay)
        if watch.finish is not None:
            break
        if happening == "pause":
            kernel.pause = 25.0
        elif isinstance(happening, str):
            pids = [*kernel.molds, *kernel.workers]
            for pid in pids[: 1 if happening == "kill one" else len(pids)]:
                kernel.kill(pid)
        else:
            kernel.send(0, happening)
    if watch.finish is None:
        watch.stop()
    assert watch.turns < 5000


@fast
@given(
    rules=all_rules,
    first=st.lists(calm_lives, min_size=1, max_size=12),
    story=st.lists(st.tuples(delays, requests), max_size=10),
    seed=st.integers(0, 2**16),
)
def test_without_crashes_capacity_never_falls_below_the_wish(
    rules: Rules, first: list[Life], story: list[tuple[float, ev.Event]], seed: int
) -> None:
    chance = random.Random(seed)
    kernel = SimKernel(_endless(first, chance), itertools.repeat(rules))
    watch = Watch(kernel, rules, calm=True)
    watch.run(5)
    for delay, happening in story:
        watch.run(delay)
        before = kernel.time
        kernel.send(0, happening)
        if isinstance(happening, ev.SignalReceived) and happening.order in (Order.MORE, Order.EMPTY):
            # More are wished than exist: the wish stands when they have booted.
            watch.calm = False
            watch.run(12)
            watch.calm = True
        assert kernel.time >= before
    watch.stop()


@fast
@given(rules=all_rules, first=st.lists(calm_lives, min_size=1, max_size=8), seed=st.integers(0, 2**16))
def test_every_reload_of_sound_code_is_promoted_and_the_living_never_exceed_wish_plus_surge(
    rules: Rules, first: list[Life], seed: int
) -> None:
    kernel = SimKernel(_endless(first, random.Random(seed)), itertools.repeat(rules))
    watch = Watch(kernel, rules)
    watch.run(6)
    for _ in range(3):
        kernel.send(0, ev.SignalReceived(Order.RELOAD, "SIGHUP"))
        for _ in range(400):
            watch.step()
            surge = max(rules.reload_surge, rules.recycle_surge)
            assert len(watch.fleet.living()) <= rules.workers + surge
            if watch.fleet.phase is Phase.RUNNING:
                break
    assert watch.fleet.phase is Phase.RUNNING
    assert watch.fleet.current().number == 4
    assert watch.fleet.last_failure == ""
    watch.stop()


@fast
@given(
    rules=all_rules,
    bad=st.sampled_from(
        [
            Life(boot_end="failed"),
            Life(boot_end="crash"),
            Life(boot_end="hang"),
            Life(crash=0.0),
            Life(boot=0.1, boot_end="failed", drain=math.inf),
        ]
    ),
    surge=st.integers(1, 4),
)
def test_a_bad_deploy_is_rejected_and_no_old_worker_was_touched(rules: Rules, bad: Life, surge: int) -> None:
    good = [HEALTHY] * rules.workers
    kernel = SimKernel(itertools.chain(good, itertools.repeat(bad)), itertools.repeat(rules))
    watch = Watch(kernel, rules, calm=True)
    watch.run(3)
    old = set(kernel.workers)
    for _ in range(surge):
        kernel.send(0, ev.SignalReceived(Order.RELOAD, "SIGHUP"))
        watch.run(40)
        assert watch.fleet.phase is Phase.RUNNING
        assert old <= set(kernel.workers)
        assert all(kernel.workers[pid].signals == [] for pid in old)
        assert watch.fleet.last_failure
        assert watch.fleet.current().number == 1
    watch.stop()


@fast
@given(rules=all_rules, crash=st.sampled_from([0.0, 0.1, 0.4]), boot=st.sampled_from([0.5, 2.0]))
def test_candidates_that_die_soon_after_ready_are_rejected_at_the_first_death_with_any_settle_time(
    rules: Rules, crash: float, boot: float
) -> None:
    """A fleet of one without a settle time is replaced at READY, as its operator has asked; so not that one."""
    rules = replace(rules, workers=max(2, rules.workers), max_restarts=10)
    good, bad = [HEALTHY] * rules.workers, Life(boot=boot, crash=crash)
    kernel = SimKernel(
        itertools.chain(good, itertools.repeat(bad, 1 + rules.reload_surge), itertools.repeat(HEALTHY)),
        itertools.repeat(rules),
    )
    watch = Watch(kernel, rules)
    watch.run(0.1)
    watch.run(8)
    kernel.send(0, ev.SignalReceived(Order.RELOAD, "SIGHUP"))
    watch.run((0.5 if rules.preload_app else 0.0) + boot + crash + 0.1)
    if rules.reload_surge < rules.workers or rules.settle_time > 0:
        assert watch.fleet.last_failure and watch.fleet.phase is Phase.RUNNING
        assert watch.fleet.current().number == 1
    watch.run(20)
    assert len(watch.fleet.serving()) == rules.workers
    watch.stop()


@fast
@given(
    rules=all_rules,
    molds=st.lists(calm_casts, min_size=1, max_size=3),
    heirs=st.lists(heirs, min_size=1, max_size=4),
    story=st.lists(st.tuples(delays, st.sampled_from([Order.UPGRADE, Order.UPGRADE, Order.RELOAD])), max_size=5),
)
def test_an_upgrade_costs_no_capacity_whether_it_succeeds_or_not(
    rules: Rules, molds: list[Cast], heirs: list[Heir], story: list[tuple[float, Order]]
) -> None:
    kernel = SimKernel(None, itertools.repeat(rules), casts=itertools.cycle(molds), heirs=itertools.cycle(heirs))
    watch = Watch(kernel, rules, calm=True)
    watch.run(8)
    for delay, order in story:
        kernel.send(delay, ev.SignalReceived(order, order.name))
        watch.run(delay + 3)
        if watch.finish is not None:
            break
        if not kernel.stepped_down:
            assert len(watch.fleet.serving()) >= rules.workers
    if watch.finish is None and not kernel.stepped_down:
        watch.stop()


@fast
@given(
    rules=all_rules,
    first=st.lists(lives, min_size=1, max_size=8),
    ancestor=st.builds(
        Ancestor,
        word=st.sampled_from(["lead", "lead", "leave", ""]),
        delay=st.sampled_from([0.01, 3.0]),
        death=st.sampled_from([math.inf, 0.1, 2.0, 9.0]),
    ),
    story=st.lists(st.tuples(delays, wild), max_size=6),
    seed=st.integers(0, 2**16),
)
def test_a_successor_leads_when_told_or_when_nobody_else_does_and_stops_all_the_same(
    rules: Rules, first: list[Life], ancestor: Ancestor, story: list[tuple[float, ev.Event | str]], seed: int
) -> None:
    healthy = [HEALTHY] * rules.workers
    kernel = SimKernel(
        itertools.chain(healthy, _endless(first, random.Random(seed))), itertools.repeat(rules), ancestor=ancestor
    )
    watch = Watch(kernel, rules, leads=False)
    for delay, happening in story:
        watch.run(delay)
        if watch.finish is not None:
            break
        if isinstance(happening, str):
            for pid in list(kernel.workers):
                kernel.kill(pid)
        else:
            kernel.send(0, happening)
    if watch.finish is None:
        watch.run(20)
    if ancestor.death < math.inf and watch.finish is None and watch.fleet.phase is Phase.RUNNING:
        assert watch.fleet.tenure is Tenure.LEADING
    if watch.finish is None:
        watch.stop()
