"""Random projects with a history, and a slow plain model of what planning must say about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from zlib import crc32

import numpy as np

from headgate.core.events import AttemptSucceeded, Lane, RunSubmitted, SlotsOffered
from headgate.core.scheduler import Scheduler
from headgate.model.calendar import instant, zone_of
from headgate.model.dataset import Dataset, Format, Input, Source
from headgate.model.mapping import All, Custom, Fixed, Mapping, Offset, Overlap, Trailing
from headgate.model.partitioning import (
    UNPARTITIONED,
    Partitioning,
    Unit,
    daily,
    hourly,
    monthly,
    product,
    static,
    weekly,
)
from headgate.model.plan import Plan, Request
from headgate.model.reason import Why
from headgate.model.run import TaskState
from headgate.planning.codec import plan_to_json
from headgate.planning.digest import pinned_digest, seed, window_seed
from headgate.planning.planner import make_plan, with_problems
from headgate.planning.snapshot import Heads, Snapshot
from headgate.planning.stages import make_stages

AS_OF_MS = int(datetime(2020, 3, 5, tzinfo=UTC).timestamp() * 1000)
KEYS = static(["ewr", "jfk", "lga"])
DATES = (None, "2020-02-26", "2020-03-01", "2020-03-03T06:00", "2020-03-04T12:00+02:00", "2020-03-08")

Node = tuple[str, int]


@dataclass
class Head:
    """A published partition: who made it from what. `pins` has each version with the parameter that it fills."""

    version: int
    code: str
    pins: frozenset[tuple[str, str, int]]
    content: int
    attempt: int = 0


@dataclass
class Town:
    """A project and the state of its world, kept partition by partition in dictionaries."""

    datasets: dict[str, Dataset]
    sources: dict[str, Source]
    heads: dict[Node, Head] = field(default_factory=dict)
    absent: set[Node] = field(default_factory=set)
    failed: set[Node] = field(default_factory=set)
    versions: int = 0
    reading: dict[Node, list[tuple[str, Input, list[int], bool]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.grids = {n: d.partitioning.grid(AS_OF_MS) for n, d in (self.datasets | self.sources).items()}
        snapshot = self.snapshot()
        for name in self.datasets:
            for i in range(self.grids[name].size):
                self.reading[name, i] = []
                for parameter, entry in self.datasets[name].inputs.items():
                    reads = snapshot.reads(name, entry, np.array([i], np.int64))
                    self.reading[name, i].append((parameter, entry, list(reads.of(0)), bool(reads.beyond[0])))

    def snapshot(self) -> Snapshot:
        heads = {}
        for name, grid in self.grids.items():
            made = [self.heads.get((name, i)) for i in range(grid.size)]
            codes = sorted({head.code for head in made if head})
            heads[name] = Heads(
                np.array([head.version if head else 0 for head in made], np.int64),
                np.array([self.digest(name, head) if head else 0 for head in made], np.uint64),
                np.array([codes.index(head.code) if head else 0 for head in made], np.int32),
                tuple(codes),
                {i: "it is not there" for n, i in sorted(self.absent) if n == name},
                np.array([head.attempt if head else 0 for head in made], np.int64),
                np.array([i for n, i in sorted(self.failed) if n == name], np.int64),
            )
        return Snapshot(self.datasets, self.sources, self.grids, heads, AS_OF_MS)

    def nodes(self, name: str) -> list[Node]:
        return [(name, i) for i in range(self.grids[name].size)]

    def all_nodes(self) -> list[Node]:
        return [node for name in self.datasets for node in self.nodes(name)]

    def upstream(self, node: Node) -> list[Node]:
        return [(entry.dataset, u) for _, entry, reads, _ in self.reading.get(node, ()) for u in reads]

    def digest(self, name: str, head: Head) -> int:
        window = window_seed(self.datasets[name].partitioning) if name in self.datasets else 0
        pins = (
            pinned_digest(seed(parameter, upstream, Format.CSV if upstream in self.sources else ""), [version])
            for parameter, upstream, version in head.pins
        )
        return (window + sum(pins)) % 2**64

    def pins(self, node: Node) -> frozenset[tuple[str, str, int]]:
        return frozenset(
            (parameter, entry.dataset, self.heads[entry.dataset, u].version)
            for parameter, entry, reads, _ in self.reading[node]
            for u in reads
            if (entry.dataset, u) in self.heads and not (entry.allow_missing and (entry.dataset, u) in self.absent)
        )

    def arrive(self, node: Node, content: int, *, numbered: bool = True) -> None:
        """Let a source's file arrive, or change; its version has a negative number until somebody records it."""
        self.versions += 1
        self.heads[node] = Head(self.versions if numbered else -1 - node[1], "", frozenset(), content)

    def build(self, node: Node, kinds: int) -> bool:
        """Publish a partition from the present heads; return whether its content is new."""
        name, i = node
        below = [self.heads[one].content for one in self.upstream(node) if one in self.heads]
        content = crc32(repr((name, i, self.datasets[name].code, below)).encode()) % kinds
        old = self.heads.get(node)
        changed = old is None or old.content != content
        self.versions += 1
        version = self.versions if changed else old.version
        self.heads[node] = Head(version, self.datasets[name].code, self.pins(node), content, self.versions)
        self.failed.discard(node)
        return changed

    def why(self, node: Node) -> Why:
        head, now = self.heads.get(node), self.pins(node)
        if head is not None and head.code == self.datasets[node[0]].code and head.pins == now:
            return Why.NONE
        if node in self.failed:
            return Why.FAILED
        if head is None:
            return Why.MISSING
        if head.code != self.datasets[node[0]].code:
            return Why.CODE
        files = [version for _, upstream, version in now if upstream in self.sources]
        return Why.LATE if any(version < 0 or version > head.attempt for version in files) else Why.INPUTS

    def wanted(self, request: Request) -> set[Node]:
        found: set[Node] = set()
        for text in request.select or tuple(self.datasets):
            before, _, rest = text.partition("+") if text[0] in "+123" else ("0", "", text)
            name, plus_down, after = rest.partition("+")
            base = {node for node in self.nodes(name) if self.in_range(node, request)}
            found |= self.around(base, int(before) if before else None, self.upstream)
            found |= self.around(base, int(after or -1) if plus_down else 0, self.downstream)
        return {node for node in found if node[0] in self.datasets}

    def downstream(self, node: Node) -> list[Node]:
        return [other for other in self.all_nodes() if node in self.upstream(other)]

    @staticmethod
    def around(base, steps, following) -> set[Node]:
        found, edge = set(base), set(base)
        steps = None if steps == -1 else steps
        while edge and steps != 0:
            edge = {other for node in edge for other in following(node)} - found
            found |= edge
            steps = None if steps is None else steps - 1
        return found

    def in_range(self, node: Node, request: Request) -> bool:
        grid = self.grids[node[0]]
        window = grid.window(node[1])
        if window is None:
            return True
        zone = zone_of(grid.axis.zone)

        def at(text: str) -> int:
            moment = datetime.fromisoformat(text)
            return int(moment.timestamp()) * 1000 if moment.tzinfo else instant(moment, zone)

        late = request.end is not None and window[0] >= at(request.end)
        early = request.start is not None and window[1] <= at(request.start)
        return not late and not early

    def plan(self, request: Request) -> tuple[dict[Node, Why], set[Node]]:
        """Return why each partition of a plan is in it, and which of them are blocked."""
        wanted = self.wanted(request)
        why = {node: self.why(node) for node in wanted}
        planned = {node for node in wanted if why[node] is not Why.NONE}
        while more := {n for n in wanted - planned if planned & set(self.upstream(n))}:
            planned |= more
            why |= dict.fromkeys(more, Why.UPSTREAM)
        if request.forced:
            why |= dict.fromkeys(wanted - planned, Why.FORCED)
            planned = wanted
        blocked = {node for node in planned if self.lacks(node, planned)}
        while more := {n for n in planned - blocked if self.needs(n) & blocked}:
            blocked |= more
        return {node: why[node] for node in planned}, blocked

    def lacks(self, node: Node, planned: set[Node]) -> bool:
        cut = any(beyond and not entry.allow_missing for _, entry, _, beyond in self.reading[node])
        return cut or any(
            one not in planned and (one not in self.heads or one in self.absent) for one in self.needs(node)
        )

    def needs(self, node: Node) -> set[Node]:
        return {
            (entry.dataset, u) for _, entry, reads, _ in self.reading[node] if not entry.allow_missing for u in reads
        }


def make_town(number: int) -> Town:
    """Return a random project with a random history: files that came and changed, partitions built, code changed."""
    random = Random(number)
    sources = {
        f"src{n}": Source(f"src{n}", _partitioning(random), "x", Format.CSV) for n in range(random.randint(0, 2))
    }
    datasets: dict[str, Dataset] = {}
    for n in range(random.randint(1, 4)):
        name, partitioning = f"d{n}", _partitioning(random)
        inputs = {}
        for p, other in enumerate(random.choices([*sources, *datasets, name], k=random.randint(0, 3))):
            own = partitioning if other == name else (sources | datasets)[other].partitioning
            mapping = _mapping(random, partitioning, own, itself=other == name)
            if mapping is not None:
                inputs[f"p{p}"] = Input(other, mapping, allow_missing=random.random() < 0.2)
        datasets[name] = Dataset(name, partitioning, inputs, "m:f", "code 1", is_async=random.random() < 0.3)
    if random.random() < 0.4:
        _tie(random, datasets)
    town = Town(datasets, sources)
    _live_through(random, town)
    return town


def _tie(random: Random, datasets: dict[str, Dataset]) -> None:
    """Let two datasets read each other, one of them an earlier window."""
    days = daily("2020-02-24")
    one = {"ahead": Input("tick", Overlap())}
    other = {"before": Input("tock", Offset(-random.randint(1, 2)), allow_missing=random.random() < 0.2)}
    datasets["tock"] = Dataset("tock", days, one, "m:f", "code 1")
    datasets["tick"] = Dataset("tick", days, other, "m:f", "code 1")


def _partitioning(random: Random) -> Partitioning:
    zone = random.choice(["UTC", "UTC", "America/New_York", "Asia/Kolkata"])
    time = random.choice(
        [
            lambda: hourly("2020-03-04T18:00", tz=zone),
            lambda: daily("2020-02-24", tz=zone),
            lambda: daily("2020-02-24", "2020-03-02", tz=zone),
            lambda: daily("2020-03-09", tz=zone),
            lambda: weekly("2020-02-03", tz=zone),
            lambda: monthly("2019-12-01", tz=zone),
        ]
    )
    return random.choice([time, time, lambda: product(time(), KEYS), lambda: KEYS, lambda: UNPARTITIONED])()


def _mapping(random: Random, down: Partitioning, up: Partitioning, *, itself: bool) -> Mapping | None:
    if itself:
        return Offset(-random.randint(1, 3)) if down.time else None
    choices: list[Mapping] = [Overlap(), All(), _custom(random, down, up)]
    if up.statics:
        choices.append(Fixed(random.choice(up.statics)))
    if up.time and down.time:
        choices += [Trailing(3), Trailing(2, Unit.DAY), Offset(-1), Offset(1)]
    return random.choice(choices)


def _custom(random: Random, down: Partitioning, up: Partitioning) -> Custom:
    mine, theirs = down.grid(AS_OF_MS), up.grid(AS_OF_MS)
    table = {
        key: [theirs.key(random.randrange(theirs.size)) for _ in range(random.randint(0, 3))] if theirs.size else []
        for key in mine.keys(range(mine.size))
    }
    return Custom(table.__getitem__, "table")


def _live_through(random: Random, town: Town) -> None:
    for name in town.sources:
        for node in town.nodes(name):
            if random.random() < 0.9:
                town.arrive(node, random.randrange(3))
    if random.random() < 0.2:
        return
    for _ in range(random.randint(1, 3)):
        run(town, make_plan(town.snapshot(), Request()), random, most=random.choice([3, 10_000]))
        for name in town.sources:
            for node in town.nodes(name):
                if random.random() < 0.1:
                    town.arrive(node, random.randrange(3), numbered=random.random() < 0.5)
                if random.random() < 0.05:
                    town.absent.add(node)
    for name, dataset in town.datasets.items():
        if random.random() < 0.2:
            object.__setattr__(dataset, "code", "code 2")
        for node in town.nodes(name):
            if random.random() < 0.05:
                town.heads.pop(node, None)
            if random.random() < 0.05:
                town.failed.add(node)


def run(
    town: Town, plan: Plan, random: Random, *, most: int, before: dict[Node, bool] | None = None
) -> dict[Node, bool]:
    """Run a plan, at most for a number of builds.

    Args:
        town: The world; what is built changes it.
        plan: The plan.
        random: Decides what ends next.
        most: After so many builds the coordinator dies.
        before: What earlier sessions built, and whether its content was new.

    Returns:
        What has been built in the run, and whether its content was new.
    """
    built = dict(before or {})
    for name in town.sources:
        for node in town.nodes(name):
            if node in town.heads and town.heads[node].version < 0:
                town.arrive(node, town.heads[node].content)
    states = {}
    for part in plan.datasets:
        nodes = [(part.name, i) for i in part.indices.tolist()]
        states[part.name] = np.array([TaskState.SUCCEEDED if n in built else 0 for n in nodes], np.uint8)
    left = {name: array == TaskState.WAITING for name, array in states.items()}
    plan = with_problems(town.snapshot(), plan, left)
    scheduler = Scheduler()
    step = scheduler.handle(RunSubmitted("r", make_stages(plan, town.snapshot(), states)), 0)
    running: list[tuple[int, Node]] = []
    while len(built) - len(before or {}) < most:
        for lane in Lane:
            step = scheduler.handle(SlotsOffered(lane, 2, 1_000), 0)
            running += [
                (start.task, (plan.datasets[start.stage].name, int(plan.datasets[start.stage].indices[start.position])))
                for start in step.effects
                if hasattr(start, "task")
            ]
        if not running:
            break
        task, node = running.pop(random.randrange(len(running)))
        built[node] = town.build(node, kinds=3)
        step = scheduler.handle(AttemptSucceeded("r", task, built[node]), 0)
        running += [
            (start.task, (plan.datasets[start.stage].name, int(plan.datasets[start.stage].indices[start.position])))
            for start in step.effects
            if hasattr(start, "task")
        ]
    return built


if __name__ == "__main__":
    for number in range(30):
        print(plan_to_json(make_plan(make_town(number).snapshot(), Request(("+d0+",)))))
