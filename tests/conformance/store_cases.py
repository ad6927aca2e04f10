"""What the tests of state stores share: the implementations, and builders with defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate, Observation, Published
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.store.store import Store


def sqlite_opener(folder: Path) -> Callable[[], Store]:
    return lambda: open_store(folder / "state" / "state.db", data_root=folder / "data", create=True)


# Each takes a folder of its own and gives a function that opens the store in it, as often as it is called.
OPENERS = {"sqlite": sqlite_opener}

RUN = "20130101T000000-a1"
SCHEMA = (("day", "date"), ("n", "int64"))


def a_run(run: str = RUN, **changes: object) -> Run:
    made = Run(run, RunKind.BACKFILL, RunState.RUNNING, "why not", "ada", '{"plan":1}', "ph", 1_000, None)
    return replace(made, **changes)


def an_attempt(number: int, key: str = "k1", dataset: str = "flights", run: str = RUN, **changes: object) -> Attempt:
    path = f"staging/{dataset}/{number}.parquet"
    return replace(Attempt(number, run, dataset, key, 1, AttemptState.RUNNING, path, None, 2_000), **changes)


def a_candidate(attempt: Attempt, **changes: object) -> Candidate:
    file = File(attempt.path, 10, 1_000, f"xxh3:{attempt.id:032x}")
    made = Candidate(
        attempt=attempt.id,
        run=attempt.run,
        dataset=attempt.dataset,
        key=attempt.key,
        files=(file,),
        rows=10,
        bytes=1_000,
        content=f"h@1:10:{attempt.id}",
        schema=SCHEMA,
        code="c0de",
        declared_version=None,
        inputs=(),
        inputs_digest=0,
        watermark_ms=None,
        offsets=None,
        started_ms=attempt.started_ms,
    )
    return made._replace(**changes)


def seen(key: str, content: str, *, dataset: str = "landing", path: str | None = None) -> Observation:
    return Observation(dataset, key, File(path or f"landing/{key}.csv", -1, len(content), f"xxh3:{content}"))


def head_rows(store: Store, dataset: str = "flights") -> list[tuple[str, int, str, int, int]]:
    """Return key, version, code, digest and attempt of each head, by key."""
    return sorted(
        (key.decode(), version, some.codes[code], digest, attempt)
        for some in store.head_columns(dataset)
        for key, version, code, digest, attempt in zip(
            *(column.tolist() for column in (some.keys, some.version, some.code, some.inputs_digest, some.attempt)),
            strict=True,
        )
    )


def begin(store: Store, *attempts: Attempt, run: str = RUN) -> None:
    with store.transaction() as tx:
        if run not in [known.id for known in store.runs()]:
            tx.add_run(a_run(run))
        tx.start_attempts(attempts)


def publish(store: Store, *candidates: Candidate, now_ms: int = 3_000) -> list[Published]:
    with store.transaction() as tx:
        return tx.publish(candidates, author="ada", now_ms=now_ms)


def build(store: Store, number: int, key: str = "k1", **changes: object) -> Published:
    """Start an attempt that expects the present head, and publish what it made."""
    (head,) = list(store.heads("flights", [key])) or [None]
    attempt = an_attempt(number, key, expects=head.id if head else None)
    run = f"{RUN}-{number}"
    attempt = replace(attempt, run=run)
    begin(store, attempt, run=run)
    (verdict,) = publish(store, a_candidate(attempt, **changes))
    return verdict
