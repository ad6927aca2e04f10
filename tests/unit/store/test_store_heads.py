from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from headgate.store import sqlite_reads
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.sqlite import SqliteStore

Row = tuple[str, int, str, int, int]
"""Key, version, code, digest and attempt of a head."""


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_reads, "HEADS_AT_A_TIME", 3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    yield opened
    opened.close()


def write(store: SqliteStore, heads: list[Row], dataset: int = 1) -> None:
    connection = sqlite3.connect(store._path, isolation_level=None)
    connection.execute("INSERT INTO dataset VALUES (?, ?)", (dataset, f"d{dataset}"))
    for key, version, code, digest, attempt in heads:
        connection.execute(
            "INSERT OR IGNORE INTO version VALUES (?, ?, ?, '[]', 1, 1, '', NULL, 1, NULL, NULL)",
            (version, dataset, key),
        )
        signed = digest - 2**64 if digest >= 2**63 else digest
        values = (attempt, dataset, key, version, code, signed)
        connection.execute(
            "INSERT INTO checkpoint VALUES (?, NULL, ?, ?, ?, NULL, ?, NULL, ?, NULL, NULL, 1, 1, 1, NULL)", values
        )
        connection.execute("INSERT INTO head VALUES (?, ?, ?, ?)", (dataset, key, version, attempt))
    connection.close()


def read(store: SqliteStore, dataset: str = "d1") -> list[list[Row]]:
    return [
        [
            (key.decode(), version, some.codes[code], digest, attempt)
            for key, version, code, digest, attempt in zip(
                some.keys.tolist(),
                some.version.tolist(),
                some.code.tolist(),
                some.inputs_digest.tolist(),
                some.attempt.tolist(),
                strict=True,
            )
        ]
        for some in store.head_columns(dataset)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7])
def test_heads_come_so_many_at_a_time(store: SqliteStore, count: int) -> None:
    heads = [(f"2013-01-{day:02}", day, "c0de", 2**64 - day, day) for day in range(1, count + 1)]
    write(store, heads)
    write(store, [("2013-01-01", 100, "other", 0, 100)], dataset=2)
    assert read(store) == [heads[at : at + 3] for at in range(0, count, 3)]


def test_keys_of_any_length_and_code_of_any_kind_come_as_they_are(store: SqliteStore) -> None:
    codes = ["a", "b", "a", "", "", "", "b", "b", "b"]
    keys = ["a", "a.b", "a/b-c", "b", "bb", "bbb", "c1", "c2", "cc=3"]
    digests = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 5, 6, 7, 8]
    heads = [
        (key, n, code, digest, n) for n, (key, code, digest) in enumerate(zip(keys, codes, digests, strict=True), 1)
    ]
    write(store, heads)
    assert [head for some in read(store) for head in some] == heads


def test_a_checkpoint_may_be_of_an_attempt_that_made_nothing_new(store: SqliteStore) -> None:
    heads = [("k1", 1, "a", 0, 1), ("k2", 2, "a", 0, 7), ("k3", 3, "a", 0, 2**40)]
    write(store, heads)
    assert read(store) == [heads]


def test_a_dataset_that_nobody_knows_has_no_heads(store: SqliteStore) -> None:
    write(store, [])
    assert read(store) == read(store, "d2") == []
