"""The parts of the scheduler against small plain models, and all of them together against anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from random import Random

import crowds
import numpy as np
import pytest
from crowds import make_crowd
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.backoff import backoff_ms
from headgate.core.breaker import Breaker
from headgate.core.effects import StartAttempt
from headgate.core.events import AttemptSucceeded, Event, Lane, RunSubmitted, SlotsOffered, Stage, TimePassed
from headgate.core.scheduler import Scheduler
from headgate.model.breaker import BreakerState
from headgate.model.policy import BreakerPolicy, Pool, RetryPolicy, ServiceClass
from headgate.model.window import TimeWindow

SEEDS = st.integers(0, 2**32)
MANY = settings(max_examples=100, deadline=None)
COSTS = st.integers(1, 5000)


def endless(n: int = 2_000, **terms: object) -> Stage:
    none = np.zeros(n, bool)
    return Stage("s", Lane.PROCESS, (), np.zeros(n, np.int64), np.zeros(n, np.uint8), none, none, **terms)


@dataclass
class Slots:
    """A lane whose attempts take exactly what they are expected to take."""

    scheduler: Scheduler
    slots: int
    now_ms: int = 0
    running: list[tuple[int, str, int]] = field(default_factory=list)
    cost_ms: dict[str, int] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)

    def submit(self, run: str, cost_ms: int, n: int = 2_000, pool_slots: int = 0, **terms: object) -> None:
        self.cost_ms[run] = cost_ms
        pools = (("p", pool_slots),) if pool_slots else ()
        self.tell(RunSubmitted(run, [endless(n, typical_ms=cost_ms, pools=pools)], **terms))

    def tell(self, event: Event) -> None:
        for effect in self.scheduler.handle(event, self.now_ms).effects:
            if isinstance(effect, StartAttempt):
                self.running.append((self.now_ms + self.cost_ms[effect.run], effect.run, effect.task))
                self.starts.append(effect.run)

    def offer(self) -> None:
        self.tell(SlotsOffered(Lane.PROCESS, self.slots - len(self.running), self.slots))

    def go(self, n: int) -> None:
        """Go on until so many attempts more have been started."""
        most = len(self.starts) + n
        self.offer()
        while len(self.starts) < most:
            self.end_one()

    def end_one(self) -> None:
        first = min(self.running)
        self.running.remove(first)
        self.now_ms = first[0]
        self.tell(AttemptSucceeded(first[1], first[2], True))
        self.offer()

    def shares(self, since: int = 0) -> Counter[str]:
        """Return the slot time that each run was given."""
        given = Counter(self.starts[since:])
        return Counter({run: n * self.cost_ms[run] for run, n in given.items()})


# Backoff


@MANY
@given(
    base=st.integers(0, 10_000),
    cap=st.integers(0, 1_000_000),
    task=st.integers(0, 2**31),
    tries=st.integers(1, 65_535),
)
def test_backoff_is_between_nothing_and_its_bound(base, cap, task, tries):
    policy = RetryPolicy(backoff_ms=base, backoff_max_ms=cap)
    assert 0 <= backoff_ms(policy, "r", task, tries) <= min(cap, base * 2 ** (tries - 1))
    assert backoff_ms(policy, "r", task, tries) == backoff_ms(policy, "r", task, tries)


def test_backoff_uses_the_whole_of_its_range():
    policy = RetryPolicy(backoff_ms=9, backoff_max_ms=9)
    drawn = Counter(backoff_ms(policy, "r", task, 1) for task in range(2000))
    assert sorted(drawn) == list(range(10))
    assert max(drawn.values()) < 2 * min(drawn.values())


# Breakers

TABLE = {
    ("closed", "fails"): "count",
    ("closed", "works"): "forget",
    ("open", "due"): "half open",
    ("half open", "probe works"): "closed",
    ("half open", "probe fails"): "open",
    ("half open", "probe gives up"): "half open",
}
HAPPENINGS = ("fails", "works", "due", "probe works", "probe fails", "probe gives up", "trip", "reset")


@MANY
@given(
    policy=st.builds(BreakerPolicy, st.integers(1, 4), st.integers(1, 50), st.integers(50, 400)),
    happenings=st.lists(st.sampled_from(HAPPENINGS), max_size=60),
)
def test_a_breaker_follows_its_table(policy, happenings):
    breaker = Breaker("dataset:x", policy)
    state, failures, opened, now_ms = "closed", 0, 0, 0
    probe, other = ("r", 1), ("r", 2)
    for happening in happenings:
        now_ms += 1
        if breaker.is_probing() and breaker.probe is None:
            breaker.probe = probe
        match happening:
            case "fails":
                breaker.failed(other, now_ms)
            case "works":
                breaker.succeeded(other)
            case "due":
                assert not breaker.elapse(breaker.until_ms - 1)
                now_ms = max(now_ms, breaker.until_ms)
                breaker.elapse(now_ms)
            case "probe works" if breaker.probe:
                breaker.succeeded(probe)
            case "probe fails" if breaker.probe:
                breaker.failed(probe, now_ms)
            case "probe gives up" if breaker.probe:
                assert breaker.gave_up(probe)
            case "trip":
                breaker.trip(now_ms)
            case "reset":
                breaker.reset()
        after = {"trip": "open", "reset": "closed"}.get(happening) or TABLE.get((state, happening), state)
        if after == "count":
            failures += 1
            after = "open" if failures >= policy.failures else "closed"
        elif after == "forget" or happening == "reset":
            after, failures = "closed", 0
        if after == "open" and (state != "open" or happening == "trip"):
            cooldown_ms = min(policy.cooldown_ms * 2**opened, max(policy.cooldown_max_ms, policy.cooldown_ms))
            assert breaker.until_ms == now_ms + cooldown_ms
            opened += 1
        if after == "closed":
            opened, failures = 0, failures if state == "closed" else 0
        state = after
        assert breaker.state == BreakerState(state)
        assert breaker.lets_through() is (state == "closed" or (state == "half open" and breaker.probe is None))
        assert Breaker("dataset:x", policy, breaker.record()).record() == breaker.record()


# Fair sharing


@settings(max_examples=40, deadline=None)
@given(
    owners=st.lists(st.tuples(COSTS, st.sampled_from((0.5, 1.0, 3.0))), min_size=2, max_size=6),
    slots=st.integers(1, 8),
)
def test_owners_share_by_weight_to_within_an_attempt(owners, slots):
    weights = {f"o{n}": weight for n, (_, weight) in enumerate(owners)}
    lane = Slots(Scheduler(owner_weights=weights), slots)
    for n, (cost_ms, _) in enumerate(owners):
        lane.submit(f"r{n}", cost_ms, owner=f"o{n}")
    lane.offer()
    since = len(lane.starts)
    for _ in range(3):
        lane.go(40)
        given = lane.shares(since)
        for (i, (cost_i, weight_i)), (j, (cost_j, weight_j)) in combinations(enumerate(owners), 2):
            apart = abs(given[f"r{i}"] / weight_i - given[f"r{j}"] / weight_j)
            # Twice: once for where the window begins, once for where it ends.
            assert apart <= 2 * (cost_i / weight_i + cost_j / weight_j)


@settings(max_examples=40, deadline=None)
@given(costs=st.lists(COSTS, min_size=2, max_size=6), before=st.integers(0, 200), slots=st.integers(1, 4))
def test_a_new_run_gets_its_share_from_when_it_came(costs, before, slots):
    lane = Slots(Scheduler(), slots)
    for n, cost_ms in enumerate(costs[1:], 1):
        lane.submit(f"r{n}", cost_ms)
    lane.go(before)
    lane.submit("r0", costs[0])
    since = len(lane.starts)
    lane.go(100)
    given = lane.shares(since)
    for (i, cost_i), (j, cost_j) in combinations(enumerate(costs), 2):
        assert abs(given[f"r{i}"] - given[f"r{j}"]) <= 2 * (cost_i + cost_j)


def test_a_hundred_backfills_all_advance_and_a_small_one_is_soon_done():
    lane = Slots(Scheduler(), 4)
    for n in range(100):
        lane.submit(f"r{n}", 1000, n=3 if n == 50 else 2_000)
    lane.go(320)
    given = Counter(lane.starts)
    assert len(given) == 100
    assert given["r50"] == 3
    assert max(given.values()) <= 4


# Pools


def longest_wait(lane: Slots, run: str) -> int:
    """Return how many attempts of others were started at most between two of a run."""
    at = [-1, *(n for n, started in enumerate(lane.starts) if started == run), len(lane.starts)]
    return max(later - earlier - 1 for earlier, later in pairwise(at))


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(1, 4), st.integers(400, 1600)), min_size=2, max_size=4), spare=st.integers(0, 3)
)
def test_who_needs_several_slots_of_a_pool_gets_them_beside_others_without_end(runs, spare):
    capacity = max(slots for slots, _ in runs) + spare
    lane = Slots(Scheduler(pools={"p": Pool("p", capacity)}), 50)
    for n, (slots, cost_ms) in enumerate(runs):
        lane.submit(f"r{n}", cost_ms, pool_slots=slots)
    lane.go(500)
    # While the last who is before it makes room, each slot may see a few short attempts; then it is its turn.
    assert max(longest_wait(lane, run) for run in lane.cost_ms) <= 10 * capacity


@settings(max_examples=40, deadline=None)
@given(slots=st.integers(1, 4), spare=st.integers(0, 2), costs=st.tuples(COSTS, COSTS))
def test_a_floor_holds_in_a_pool_that_fresh_work_could_fill(slots, spare, costs):
    classes = [ServiceClass("fresh", 100), ServiceClass("backfill", 50, floor=0.2)]
    lane = Slots(Scheduler(classes, {"p": Pool("p", slots + spare)}), 50)
    lane.submit("f", costs[0], pool_slots=1, service_class="fresh")
    lane.submit("b", costs[1], pool_slots=slots, service_class="backfill")
    lane.go(600)
    total = sum(lane.shares().values())
    assert lane.shares()["b"] >= 0.2 * total - 2 * (slots + spare) * sum(costs)


# Floors, ceilings, windows, reserved slots


@settings(max_examples=40, deadline=None)
@given(
    costs=st.tuples(COSTS, COSTS, COSTS),
    floors=st.tuples(st.sampled_from((0.05, 0.1, 0.5)), st.sampled_from((0.05, 0.3))),
    slots=st.integers(1, 6),
)
def test_floors_hold_in_every_window_of_starts_while_fresh_work_never_ends(costs, floors, slots):
    classes = [
        ServiceClass("fresh", 100),
        ServiceClass("backfill", 50, floor=floors[0]),
        ServiceClass("maintenance", 10, floor=floors[1]),
    ]
    lane = Slots(Scheduler(classes), slots)
    for one, cost_ms in zip(classes, costs, strict=True):
        lane.submit(one.name, cost_ms, service_class=one.name)
    lane.go(400)
    for one in classes[1:]:
        # The most that any window of starts falls behind its share.
        behind = worst = 0.0
        for run in lane.starts:
            behind = max(0.0, behind + one.floor * lane.cost_ms[run] - (lane.cost_ms[run] if run == one.name else 0))
            worst = max(worst, behind)
        assert worst <= 2 * lane.cost_ms[one.name] + 2 * max(costs)
    # A floor is what is guaranteed, not what is given: the rest goes to the highest class.
    total = sum(lane.shares().values())
    assert lane.shares()["fresh"] >= (1 - sum(floors)) * total - 3 * max(costs)


HOUR_MS = 3_600_000


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    slots=st.integers(1, 9),
    ceiling=st.floats(0.01, 1.0),
    inside=st.sampled_from((0.0, 0.25, 0.5)),
    absolute=st.none() | st.integers(0, 3),
)
def test_nothing_starts_above_a_ceiling_or_into_a_window_that_is_shut(seed, slots, ceiling, inside, absolute):
    window = TimeWindow("UTC", inside, start_minute=8 * 60, end_minute=18 * 60)
    classes = [ServiceClass("fresh", 9), ServiceClass("backfill", 5, ceiling, absolute, floor=0.5, windows=(window,))]
    lane, random = Slots(Scheduler(classes), slots), Random(seed)
    lane.submit("b", 60_000)
    for _ in range(150):
        lane.now_ms += random.choice((1, 1000, 30 * 60_000, HOUR_MS))
        began = len(lane.starts)
        if lane.running and random.random() < 0.6:
            _, run, task = lane.running.pop(random.randrange(len(lane.running)))
            lane.tell(AttemptSucceeded(run, task, True))
        else:
            lane.tell(TimePassed())
        lane.offer()
        share = min(ceiling, inside) if 8 <= lane.now_ms // HOUR_MS % 24 < 18 else ceiling
        most = max(1, int(share * slots + 1e-9)) if share else 0
        most = most if absolute is None else min(most, absolute)
        if len(lane.starts) > began:
            assert len(lane.running) <= most
        else:
            assert len(lane.running) >= min(most, slots)


@MANY
@given(slots=st.integers(1, 9), reserved=st.integers(0, 9), depth=st.integers(1, 3), n_fresh=st.integers(0, 40))
def test_reserved_slots_stay_free_for_who_they_are_for(slots, reserved, depth, n_fresh):
    classes = [ServiceClass("fresh", 9, reserved=reserved), ServiceClass("backfill", 5)]
    scheduler = Scheduler(classes)
    scheduler.handle(RunSubmitted("b", [endless()], "backfill"), 0)
    first = scheduler.handle(SlotsOffered(Lane.PROCESS, slots * depth, slots, depth), 0).effects
    assert len(first) == max(1, slots - reserved) * depth
    second = scheduler.handle(RunSubmitted("f", [endless(n_fresh)], "fresh"), 0).effects
    started = [effect.run for effect in second if isinstance(effect, StartAttempt)]
    n = min(n_fresh, slots * depth - len(first))
    assert started[:n] == ["f"] * n
    # A slot in which a fresh attempt runs is reserved no longer: others may queue behind it.
    assert len(started) - n < depth


# All together


def test_fresh_never_waits_for_a_slot_that_backfill_took_beyond_its_ceiling():
    classes = [ServiceClass("fresh", 100), ServiceClass("backfill", 50, ceiling=0.75, floor=0.1)]
    lane = Slots(Scheduler(classes), 8)
    for n in range(30):
        lane.submit(f"b{n}", 1000, service_class="backfill")
    lane.go(100)
    for n in range(20):
        began = len(lane.starts)
        lane.submit(f"f{n}", 500, n=2, service_class="fresh")
        assert lane.starts[began:] == [f"f{n}"] * 2
        while any(run == f"f{n}" for _, run, _ in lane.running):
            lane.end_one()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, steps=st.integers(0, 60))
def test_whatever_happens_every_rule_holds_and_everything_ends(seed, steps):
    make_crowd(seed, steps=steps).heal()


@pytest.mark.slow
def test_the_seed_of_hashing_changes_nothing_of_a_crowd():
    told = [
        subprocess.run(
            [sys.executable, crowds.__file__],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count("StartAttempt") > 50


@pytest.mark.slow
def test_many_crowds_see_every_rare_thing():
    seen: Counter[str] = Counter()
    for seed in range(200):
        crowd = make_crowd(seed, steps=80)
        crowd.heal()
        seen += crowd.seen
    events = {
        name for name in vars(crowds) if isinstance(vars(crowds)[name], type) and hasattr(vars(crowds)[name], "_fields")
    }
    wanted = {"breaker open", "breaker half open", "breaker closed", "to BACKING_OFF", "to BLOCKED", "to SKIPPED"}
    wanted |= {
        "run succeeded",
        "run failed",
        "run cancelled",
        "run interrupted",
        "to WAITING",
        "yield",
        "started together",
    }
    wanted |= events - {"StartAttempt", "StopAttempt", "YieldAttempt", "SaveBreaker", "FinishRun"}
    assert wanted <= set(seen), wanted - set(seen)
