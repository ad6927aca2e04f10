"""What lineage costs where one partition was built many times: counted in steps of SQLite's machine, not in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.store.sqlite import SqliteStore

CODE = "c0de"
ASKED: dict[str, Callable[[SqliteStore, range], list[object]]] = {
    "made_of": lambda store, _: list(store.made_of([1])),
    "traced": lambda store, versions: list(store.traced(versions)),
    "seen": lambda store, versions: list(store.seen(versions)),
    "resting_on": lambda store, _: list(store.resting_on([1])),
    "resting_on_code": lambda store, _: list(store.resting_on_code(CODE, since_ms=0, until_ms=10)),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    yield opened
    opened.close()


def build(store: SqliteStore, number: int, dataset: str, inputs: tuple[int, ...], expects: int | None) -> None:
    run = f"r{number}"
    attempt = Attempt(number, run, dataset, "all", 1, AttemptState.RUNNING, f"{dataset}/{number}", expects, 1)
    with store.transaction() as tx:
        tx.add_run(Run(run, RunKind.BACKFILL, RunState.RUNNING, "why", "ada", "{}", run, 1, None))
        tx.start_attempts([attempt])
        made = Candidate(
            attempt=number, run=run, dataset=dataset, key="all", files=(File(attempt.path, 1, 1, f"h{number}"),),
            rows=1, bytes=1, content=f"h@1:1:{number}", schema=(("n", "int64"),), code=CODE, declared_version=None,
            inputs=inputs, inputs_digest=number, watermark_ms=None, offsets=None, started_ms=1,
        )  # fmt: skip
        tx.publish([made], author="ada", now_ms=2)


def steps(store: SqliteStore, ask: Callable[[], list[object]]) -> tuple[int, int]:
    """Return how many tens of steps a question takes, and how many answers it has."""
    taken = 0

    def count() -> None:
        nonlocal taken
        taken += 1

    store._connection.set_progress_handler(count, 10)
    answers = ask()
    store._connection.set_progress_handler(None, 0)
    return taken, len(answers)


def test_a_partition_that_was_built_again_and_again_costs_as_much_as_many_partitions(store: SqliteStore) -> None:
    build(store, 1, "table", (), None)
    counted: dict[str, list[tuple[int, int]]] = {name: [] for name in ASKED}
    last = 1
    for size in (40, 160):
        for number in range(last + 1, size + 2):
            build(store, number, "report", (1,), number - 1 if number > 2 else None)
        last = size + 1
        for name, ask in ASKED.items():
            counted[name].append(steps(store, lambda ask=ask, last=last: ask(store, range(1, last + 1))))
    for name, ((few, answers), (many, more)) in counted.items():
        assert more >= answers + 120, name
        # Four times as many versions; sixteen times as many steps if each looked at all the others.
        assert many < 6 * few, name
