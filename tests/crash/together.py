"""A project in which everything happens at once, and what every read of it must show.

Each row says of which partition and of which turn of the code it is, so that any read can be checked by itself: see
`wrong_in`. As a script it is a reader that does so all the time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scene import Scene

import headgate
from headgate.errors import UnavailableError
from headgate.store.sqlite import open_store
from headgate.views.query import query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headgate.store.store import Store

DAYS = 5
ROWS = 20
BATCHES = 4
TABLES = ("events", "trend", "readings", "total")
KEYS = {name: {f"2024-01-{day:02d}" for day in range(1, DAYS + 1)} for name in TABLES[:3]} | {"total": {"all"}}
# What the gates of events refuse: rows of a grade below this one.
FINE, DOUBTFUL, FORBIDDEN = 2, 1, 0
# With these remainders by 4 everything passes.
CLEAN = (0, 2)
VACUUMED = "vacuumed"
"""A file that is there once a vacuum may have taken files from under a reader."""
HELD = "held"
"""A file that is there while readers may see what a run made that has left out what a rollback holds."""
MISSES = 50
"""How often in a row a reader may lose its files to a vacuum."""

CONFIG = """
[project]
name = "together"
modules = ["together_pipeline"]

[workers]
processes = 2

[breaker]
failures = 1000000

[retry]
attempts = 3
backoff = 0.01
"""

PIPELINE = """
import pyarrow as pa
import pyarrow.compute as pc

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-06")

landed = headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS, mirror="delta", gates=[headgate.unique("n"), headgate.in_range("grade", min=2)])
def events(landed: pa.Table, ctx) -> pa.Table:
    turn, day, rows = EVENTS_TURN, int(ctx.key[-2:]), landed.num_rows
    extra = {(1, 2): [0], (3, 4): [1]}.get((turn % 4, day), [])
    n = list(range(rows + len(extra)))
    return pa.table(
        {
            "day": [day] * len(n),
            "turn": [turn] * len(n),
            "n": n,
            "value": [day * 1000 + turn * 7 + one for one in n],
            "grade": [2] * rows + extra,
        }
    )


def summed(events: pa.Table, turn: int) -> pa.Table:
    sums = [("value", "sum"), ("value", "count"), ("grade", "min")]
    found = events.group_by(["day", "turn"]).aggregate(sums)
    names = {"day": "of_day", "turn": "of_turn", "value_sum": "value", "value_count": "rows", "grade_min": "grade"}
    found = found.rename_columns([names[name] for name in found.column_names])
    return found.append_column("turn", pa.array([turn] * found.num_rows))


@headgate.dataset(partitions=DAYS, inputs={"events": headgate.trailing(2)}, gates=[headgate.unique("of_day")])
def trend(events: pa.Table, ctx) -> pa.Table:
    turn, day = TREND_TURN, int(ctx.key[-2:])
    found = summed(events, turn)
    found = found.append_column("day", pa.array([day] * found.num_rows))
    return pa.concat_tables([found, found[:1]]) if (turn % 4, day) == (1, 3) else found


@headgate.dataset(partitions=DAYS, batches=0)
def readings(events: pa.Table, ctx):
    turn, day = READINGS_TURN, int(ctx.key[-2:])
    found = summed(events, turn).append_column("day", pa.array([day]))
    for n in range(ctx.resume_from or 0, 4):
        yield headgate.Batch(found.append_column("batch", pa.array([n])), offset=n + 1)


@headgate.dataset
def total(events: pa.Table) -> pa.Table:
    return summed(events, TOTAL_TURN)
"""


class Together(Scene):
    """The project, its code by turns, and its readers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "landing").mkdir(parents=True)
        (root / "headgate.toml").write_text(CONFIG)
        for day in range(1, DAYS + 1):
            rows = "".join(f"{n}\n" for n in range(ROWS))
            (root / "landing" / f"2024-01-{day:02d}.csv").write_text("n\n" + rows)
        self.turns = dict.fromkeys(TABLES, 0)
        self.write()

    def write(self, **turns: int) -> None:
        """Make the code that of other turns, in one step."""
        self.turns |= turns
        text = PIPELINE
        for name, turn in self.turns.items():
            text = text.replace(f"{name.upper()}_TURN", str(turn))
        (self.root / ".next").write_text(text)
        (self.root / ".next").replace(self.root / "together_pipeline.py")

    @property
    def data(self) -> Path:
        return self.root / "data"

    def opened(self) -> Store:
        return open_store(self.root / ".headgate" / "state.db", data_root=self.data, create=False)

    def contents(self) -> dict[tuple[str, str], str]:
        store = self.opened()
        try:
            return {(name, v.key): f"{v.content} {v.schema}" for name in TABLES for v in store.heads(name)}
        finally:
            store.close()


Row = dict[str, Any]


def wrong_in(rows: Mapping[str, Sequence[Row]], *, released: bool = True) -> Iterator[str]:
    """Yield what is wrong with a read of tables, each by its name.

    Args:
        rows: The rows of each table.
        released: Whether somebody may have released what is doubtful.
    """
    for name, found in rows.items():
        parts: dict[str, list[Row]] = {}
        for row in found:
            parts.setdefault("all" if name == "total" else f"2024-01-{row['day']:02d}", []).append(row)
        if parts.keys() != KEYS[name]:
            yield f"{name} has the partitions {sorted(parts)}"
        for key, part in parts.items():
            if len({row["turn"] for row in part}) != 1:
                yield f"{name}/{key} has rows of several turns"
            if min(row["grade"] for row in part) < (DOUBTFUL if released else FINE):
                yield f"{name}/{key} has rows that its gate refuses"
            check = _wrong_in_events if name == "events" else _wrong_in_sums
            yield from (f"{name}/{key}: {what}" for what in check(part, _days_in(name, key)))


def _days_in(name: str, key: str) -> list[int]:
    """Return the days of events that a partition is made of."""
    if name == "total":
        return list(range(1, DAYS + 1))
    day = int(key[-2:])
    return list(range(max(1, day - 1), day + 1)) if name == "trend" else [day]


def _wrong_in_events(part: Sequence[Row], days: list[int]) -> Iterator[str]:
    rows = ROWS + (min(row["grade"] for row in part) < FINE)
    if sorted(row["n"] for row in part) != list(range(rows)):
        yield f"its rows are {sorted(row['n'] for row in part)}"
    if sum(row["value"] for row in part) != value_of(days[0], part[0]["turn"], rows):
        yield "its rows do not sum up to what its turn makes of its day"


def _wrong_in_sums(part: Sequence[Row], days: list[int]) -> Iterator[str]:
    batches: dict[int, list[Row]] = {}
    for row in part:
        batches.setdefault(row.get("batch", 0), []).append(row)
    if sorted(batches) != list(range(BATCHES if "batch" in part[0] else 1)):
        yield f"it has the batches {sorted(batches)}"
    for batch in batches.values():
        if sorted(row["of_day"] for row in batch) != days:
            yield f"it is made of the days {sorted(row['of_day'] for row in batch)}"
    if len({(row["of_day"], row["of_turn"], row["value"]) for row in part}) != len(days):
        yield "it is made of several turns of one day"
    for row in part:
        if row["rows"] != ROWS + (row["grade"] < FINE) or row["value"] != value_of(
            row["of_day"], row["of_turn"], row["rows"]
        ):
            yield f"it has another sum than what it is made of: {row}"


def value_of(day: int, turn: int, rows: int) -> int:
    return sum(day * 1000 + turn * 7 + n for n in range(rows))


# Rows that are of another turn than what they are made of: none where everything is published together and nothing is
# held.
MIXED = """
    select 'trend' as made, made.day, of_day, of_turn, e.turn from trend as made join events as e on e.day = of_day
        and e.n = 0 where e.turn != of_turn
    union all
    select 'readings', made.day, of_day, of_turn, e.turn from readings as made join events as e on e.day = of_day
        and e.n = 0 where e.turn != of_turn
    union all
    select 'total', 0, of_day, of_turn, e.turn from total join events as e on e.day = of_day
        and e.n = 0 where e.turn != of_turn
"""


def read_by_python(root: Path) -> dict[str, list[Row]]:
    return {name: headgate.read(name, project=root).arrow().to_pylist() for name in TABLES}


def read_by_sql(root: Path) -> dict[str, list[Row]]:
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    try:
        found = {}
        for name in TABLES:
            answer = query(store, root / "data", f"select * from {name}")
            found[name] = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        return found
    finally:
        store.close()


def mixed(root: Path) -> list[tuple[object, ...]]:
    """Return what does not belong together, in one look at all tables."""
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    try:
        return list(query(store, root / "data", MIXED).rows)
    finally:
        store.close()


def read_mirror(root: Path) -> dict[str, list[Row]]:
    import polars as pl

    return {"events": pl.scan_delta(str(root / "data" / "events")).collect().to_dicts()}


def is_gone(error: BaseException) -> bool:
    """Return whether an error is the one that a reader gets whose files a vacuum has taken."""
    return isinstance(error, UnavailableError) and (
        "No such file" in str(error) or "is not there any more" in str(error)
    )


def is_gone_from_mirror(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError)


def keep_reading(root: Path, how: str, *, is_consistent: bool) -> str:
    """Read until standard input ends or a read is wrong; return how often, or what was wrong."""
    import select

    reads = misses = 0
    read, gone = {
        "python": (read_by_python, is_gone),
        "sql": (read_by_sql, is_gone),
        "mirror": (read_mirror, is_gone_from_mirror),
    }[how]
    while not (select.select([sys.stdin], [], [], 0.01)[0] and not sys.stdin.read(1)):
        try:
            wrong = list(wrong_in(read(root), released=(root / "released").exists()))
            # Also before the read: the file may go while it goes on.
            was_held = (root / HELD).exists()
            found = mixed(root) if is_consistent and how == "sql" else []
            if found and not was_held and not (root / HELD).exists():
                wrong.append(f"not made of what is beside it: {found}")
        except Exception as error:
            misses += 1
            if not gone(error) or misses > MISSES or not (root / VACUUMED).exists():
                raise
            continue
        if wrong:
            return "; ".join(wrong)
        reads, misses = reads + 1, 0
    return f"{reads}"


if __name__ == "__main__":
    outcome = keep_reading(Path(sys.argv[1]), sys.argv[2], is_consistent=json.loads(sys.argv[3]))
    print(outcome)
    sys.exit(0 if outcome.isdigit() else 1)
