"""Draws a scene from a seed: small, since small scenes reach rare things sooner, and each with some kinds of faults."""

from __future__ import annotations

from random import Random

from headgate.core.events import Lane
from headgate.drivers.faulty.scene import ALWAYS, Change, Fate, Part, Partition, Read, Request, Scene, Sharing, Table
from headgate.model.policy import RETRIABLE, BreakerPolicy, Pool, RetryPolicy, ServiceClass
from headgate.model.run import ErrorClass
from headgate.model.window import TimeWindow

MIDNIGHT_MS = 20_454 * 86_400_000
"""A midnight, UTC."""

RATES = {
    "worker dies": 0.2,
    "worker hangs": 0.1,
    "worker slow": 0.3,
    "zombie": 0.7,
    "result lost": 0.15,
    "result late": 0.3,
    "result doubled": 0.3,
    "returned": 0.2,
    "yields": 0.3,
    "ignores a stop": 0.9,
    "turn slow": 0.3,
    "commit slow": 0.2,
    "commit fails": 0.03,
    "commit unknown": 0.06,
    "crash before the transaction": 0.02,
    "crash before the commit": 0.02,
    "crash between commit and orders": 0.03,
    "crash between two orders": 0.1,
    "crash after the orders": 0.02,
    "crash while taking over": 0.2,
    "outlives a crash": 0.6,
}
"""What can go wrong, and how often at most, at each opportunity."""


VERBS = (
    *("pause", "continue", "limit", "prioritize", "reorder", "trip", "reset", "cancel", "cancel"),
    *("pause", "resize", "resize", "retry", "retry", "retry", "retry", "drain", "drain"),
)
"""What people ask for; some of it more often, since it must come at the right moment."""


def draw(seed: int) -> Scene:
    """Return the scene of a seed."""
    random = Random(f"scene {seed}")
    pools = _pools(random)
    sharing = random.choice((Sharing.APART, Sharing.APART, Sharing.LINES, Sharing.LINES, Sharing.BLIND))
    tables = _tables(random, pools, 14 if sharing is Sharing.APART else 8)
    lanes = {lane: (random.randint(1, 3), random.choice((1, 1, 2))) for lane in Lane}
    begins_ms = MIDNIGHT_MS + random.randint(60, 1_200) * 60_000 + random.randrange(60_000)
    heals_ms = random.randint(5_000, 60_000)
    classes = _classes(random, begins_ms, min(slots for slots, _ in lanes.values()))
    n_runs = random.randint(1, 5)
    owners = {(n, index): random.randrange(n_runs) for n, table in enumerate(tables) for index in range(table.size)}
    requests = {}
    for n in range(n_runs):
        mine = {one for one in owners if owners[one] == n} if sharing is Sharing.APART else set(owners)
        # Runs that share meet only if they come soon after each other.
        within_ms = heals_ms if sharing is Sharing.APART else random.choice((3_000, heals_ms))
        requests[f"r{n}"] = _request(random, n, tables=tables, classes=classes, within_ms=within_ms, mine=mine)
    return Scene(
        seed=seed,
        begins_ms=begins_ms,
        lanes=lanes,
        sharing=sharing,
        classes=classes,
        pools=pools,
        total=random.choice((None, None, random.randint(1, 4))),
        owner_weights={"ann": random.choice((1.0, 3.0))},
        tables=tables,
        fates=_fates(random, tables),
        heads=_heads(random, tables, requests),
        requests=requests,
        changes=_changes(random, requests, pools, tables, heals_ms, is_shared=sharing is Sharing.LINES),
        rates={kind: random.random() * most if random.random() < 0.6 else 0.0 for kind, most in RATES.items()},
        heals_ms=heals_ms,
        heartbeat_ms=random.randint(1_000, 8_000),
    )


def _classes(random: Random, begins_ms: int, slots: int) -> tuple[ServiceClass, ...]:
    minute = (begins_ms - MIDNIGHT_MS) // 60_000
    return (
        # Where all slots are reserved the rest would never run.
        ServiceClass(
            "fresh",
            100,
            reserved=random.choice((0, 0, 1)) if slots > 1 else 0,
            patience_ms=random.choice((0, 300, 30_000)),
        ),
        ServiceClass(
            "backfill",
            50,
            ceiling=random.choice((1.0, 0.7, 0.3)),
            slots=random.choice((None, None, 1, 2)),
            floor=random.choice((0.0, 0.3, 0.5)),
            weight=random.choice((1.0, 2.0)),
            windows=_windows(random, minute),
        ),
        # Of the priority of another, so that weights count.
        ServiceClass("repair", 50, weight=2.0),
        ServiceClass(
            "maintenance",
            10,
            floor=random.choice((0.0, 0.3, 0.3)),
            slots=random.choice((None, 1)),
            windows=_windows(random, minute),
        ),
    )


def _windows(random: Random, minute: int) -> tuple[TimeWindow, ...]:
    if random.random() < 0.6:
        return ()
    start = minute + random.randint(0, 1)
    return (
        TimeWindow("UTC", random.choice((0.0, 0.0, 0.3)), start_minute=start, end_minute=start + random.randint(1, 2)),
    )


def _breaker(random: Random) -> BreakerPolicy:
    cooldown_ms = random.choice((500, 2_000, 10_000))
    return BreakerPolicy(random.choice((1, 2, 3, 50)), cooldown_ms, cooldown_ms * random.choice((1, 2, 8)))


def _pools(random: Random) -> dict[str, Pool]:
    return {name: Pool(name, random.randint(2, 4), _breaker(random)) for name in ("db", "disk")}


def _tables(random: Random, pools: dict[str, Pool], largest: int) -> tuple[Table, ...]:
    sizes = [random.randint(1, largest) for _ in range(random.randint(1, 4))]
    looped = random.randrange(len(sizes) - 1) if len(sizes) > 1 and random.random() < 0.3 else None
    if looped is not None:
        sizes[looped + 1] = sizes[looped]
    tables = []
    for number, size in enumerate(sizes):
        reads = [
            _read(random, above, sizes[above], size, "same" if above == looped == number - 1 else "")
            for above in range(number)
            if random.random() < 0.6 or above == looped == number - 1
        ]
        if random.random() < 0.25:
            reads.append(_back(random, number, size))
        if number == looped:
            reads.append(_back(random, number + 1, size))
        is_in_loop = looped is not None and number in (looped, looped + 1)
        is_in_loop = is_in_loop or any(read.upstream == number for read in reads)
        tables.append(
            Table(
                name=f"d{number}",
                size=size,
                lane=random.choice(list(Lane)),
                reads=tuple(reads),
                pools=tuple((name, random.randint(1, 2)) for name in pools if random.random() < 0.4),
                retry=_retry(random),
                breaker=_breaker(random),
                typical_ms=random.choice((10.0, 1_000.0)),
                can_yield=random.random() < 0.4,
                batch=random.choice((1, 2, 4)),
                gathers=random.random() < 0.5 and not is_in_loop,
            )
        )
    return tuple(tables)


def _retry(random: Random) -> RetryPolicy:
    backoff_ms = random.choice((0, 200, 2_000))
    return RetryPolicy(
        attempts=random.randint(1, 4),
        backoff_ms=backoff_ms,
        backoff_max_ms=backoff_ms * random.choice((1, 4)),
        on=RETRIABLE | (frozenset({ErrorClass.DATA}) if random.random() < 0.2 else frozenset()),
        budget=random.choice((0.0, 0.1, 0.5)),
        budget_min=random.choice((0, 1, 10)),
    )


def _read(random: Random, above: int, n: int, size: int, kind: str) -> Read:
    kind = kind or random.choice(("same", "range", "list", "shared"))
    if kind == "same" and n == size:
        return Read(above, kind, tuple((i,) for i in range(size)))
    if kind == "shared":
        members = tuple(i for i in range(n) if random.random() < 0.7)
        return Read(above, kind, (members,) * size)
    if kind == "list":
        return Read(
            above,
            kind,
            tuple(tuple(sorted(random.sample(range(n), random.randint(0, min(n, 3))))) for _ in range(size)),
        )
    width = random.randint(1, 3)
    ends = [max(1, (i + 1) * n // size) for i in range(size)]
    return Read(above, "range", tuple(tuple(range(max(0, end - width), end)) for end in ends))


def _back(random: Random, above: int, size: int) -> Read:
    """Return what reads earlier partitions only, so that it may be of the dataset itself."""
    width = random.randint(1, 3)
    if random.random() < 0.5:
        return Read(above, "range", tuple(tuple(range(max(0, i - width), i)) for i in range(size)))
    return Read(
        above, "list", tuple(tuple(sorted(random.sample(range(i), random.randint(0, min(i, 2))))) for i in range(size))
    )


def _fates(random: Random, tables: tuple[Table, ...]) -> dict[Partition, Fate]:
    sick = random.choice((0.0, 0.1, 0.1, 0.3, 0.7))
    outage = random.choice([None, *range(len(tables))])
    fates = {}
    for number, table in enumerate(tables):
        for index in range(table.size):
            error, failures = None, 0
            if random.random() < (0.8 if number == outage else sick):
                error = random.choice(list(ErrorClass))
                failures = random.choice((1, 2, 3, 5, ALWAYS))
            fates[number, index] = Fate(error, failures, random.random() < 0.6)
    return fates


def _request(
    random: Random,
    number: int,
    *,
    tables: tuple[Table, ...],
    classes: tuple[ServiceClass, ...],
    within_ms: int,
    mine: set[Partition],
) -> Request:
    chosen = [n for n in range(len(tables)) if random.random() < 0.8] or [0]
    parts = []
    for n in chosen:
        first = random.choice((0, random.randrange(tables[n].size)))
        indices = tuple(range(first, random.randint(first, tables[n].size - 1) + 1))
        if random.random() < 0.2:
            indices = tuple(index for index in indices if random.random() < 0.7)
        indices = tuple(index for index in indices if (n, index) in mine)
        # What reads nothing is skipped in any case: of that a little is enough.
        skippable = random.choice((0.0, 0.6)) if tables[n].reads else 0.05
        parts.append(
            Part(
                n,
                indices,
                tuple(random.random() < skippable for _ in indices),
                tuple(random.random() < 0.02 for _ in indices),
                random.choice((None, None, 1, 2)),
            )
        )
    return Request(
        run=f"r{number}",
        at_ms=random.choice((0, random.randrange(within_ms // 4), random.randrange(within_ms))),
        service_class=random.choice([classes[0].name, *(one.name for one in classes)]),
        owner=random.choice(("ann", "bob")),
        priority=random.choice((0, 0, 1)),
        concurrency=random.choice((None, None, 1, 3)),
        joins=random.random() < 0.5,
        parts=tuple(parts),
    )


def _heads(random: Random, tables: tuple[Table, ...], requests: dict[str, Request]) -> frozenset[Partition]:
    """Draw which partitions have a version from the start; what a run reads or may skip without making it must."""
    everything = [(n, index) for n, table in enumerate(tables) for index in range(table.size)]
    needed: set[Partition] = set()
    for request in requests.values():
        made = set(request.partitions())
        for part in request.parts:
            for index, skippable, blocked in zip(part.indices, part.skippable, part.blocked, strict=True):
                if skippable or blocked:
                    needed.add((part.table, index))
                reads = tables[part.table].reads
                needed |= {(read.upstream, at) for read in reads for at in read.lists[index]} - made
    return frozenset(one for one in everything if one in needed or random.random() < 0.6)


def _changes(
    random: Random,
    requests: dict[str, Request],
    pools: dict[str, Pool],
    tables: tuple[Table, ...],
    heals_ms: int,
    *,
    is_shared: bool,
) -> tuple[Change, ...]:
    breakers = [*(f"pool:{name}" for name in pools), *(f"dataset:{table.name}" for table in tables)]
    changes = []
    for _ in range(random.choice((0, 4, 10, 20))):
        at_ms = random.randrange(heals_ms)
        # What is revived beside other runs is rare.
        verb = random.choice((*VERBS, *("retry",) * 8) if is_shared else VERBS)
        match verb:
            case "resize":
                changes.append(Change(at_ms, verb, random.choice(list(pools)), random.randint(0, 5)))
            case "trip" | "reset":
                changes.append(Change(at_ms, verb, random.choice(breakers)))
            case _:
                # Most while there is something to be changed.
                request = random.choice(list(requests.values()))
                after_ms = random.randrange(random.choice((3_000, 20_000)))
                changes.append(Change(min(request.at_ms + after_ms, heals_ms), verb, request.run, random.randint(0, 3)))
    # A cancel ends what the rest is to show, so it is rare.
    kept = [one for one in changes if one.verb != "cancel" or random.random() < 0.5]
    clock = [
        Change(random.randrange(heals_ms), "clock", "", random.choice((-1, 1)) * random.randrange(1, 240_000))
        for _ in range(random.choice((0, 0, 1, 3)))
    ]
    crashes = [Change(random.randrange(heals_ms), "crash", "") for _ in range(random.choice((0, 0, 1, 2)))]
    return tuple(sorted([*kept, *clock, *crashes]))
