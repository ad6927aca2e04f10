"""`check` finds what was changed behind the store's back, and says it in sentences."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from headgate.errors import UnavailableError
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.journal import checkpoints_digest, entry_hash
from headgate.store.records import Candidate, Observation
from headgate.store.sqlite import open_store
from headgate.store.sqlite_check import MAX_OF_A_KIND

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.store.sqlite import SqliteStore


def opened(folder: Path) -> SqliteStore:
    return open_store(folder / "state.db", data_root=folder / "data", create=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with a source, two runs that built it, and content that did not change the second time."""
    folder = tmp_path_factory.mktemp("template")
    store = opened(folder)
    with store.transaction() as tx:
        tx.observe([Observation("landing", "k1", File("k1.csv", -1, 3, "xxh3:aa"))], author="ada", now_ms=1)
    for number, run in ((2, "run1"), (3, "run2")):
        expects = 2 if number == 3 else None
        with store.transaction() as tx:
            tx.add_run(Run(run, RunKind.BACKFILL, RunState.RUNNING, "why", "ada", "{}", "h", number, None))
            tx.start_attempts(
                [Attempt(number, run, "flights", "k1", 1, AttemptState.RUNNING, f"s/{number}", expects, 2)]
            )
        files = (File(f"s/{number}", 1, 3, f"xxh3:{number}"),)
        with store.transaction() as tx:
            made = ("same", None, "c0de", None, (1,), 7, None, None, 2)
            tx.publish([Candidate(number, run, "flights", "k1", files, 1, 3, *made)], author="ada", now_ms=3)
    assert store.check() == []
    store.close()
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("state.db", "data/journal-head"):
        (tmp_path / name).write_bytes((template / name).read_bytes())
    return tmp_path


TAMPERED = [
    ("UPDATE journal SET author = 'eve' WHERE seq = 2", ["journal entry 2 (run.submitted) does not match its hash"]),
    (
        "UPDATE journal SET body = substr(body, 2) WHERE seq = 3",
        ["journal entry 3 (publish) does not match its hash", "journal entry 3 (publish) are not the ones"],
    ),
    ("DELETE FROM journal WHERE seq = 3", ["the journal jumps from entry 2 to 4", "journal entry 3, which did not"]),
    ("UPDATE journal SET hash = 'x' WHERE seq = 4", ["journal entry 4 (", "journal entry 5 ("]),
    (
        "INSERT INTO journal SELECT 6, at_ms, author, kind, run, reason, body, hash FROM journal WHERE seq = 4",
        ["journal entry 6 (run.submitted) does not match"],
    ),
    ("UPDATE head SET version = 99", ["the head of flights k1 is version 99", "the head of landing k1 is version 99"]),
    (
        "UPDATE head SET version = 1 WHERE key = 'k1' AND checkpoint = 3",
        ["the head of flights k1 is version 1, which is not a version of it"],
    ),
    (
        "UPDATE head SET checkpoint = 1 WHERE checkpoint = 3",
        [
            "the head of flights k1 rests on checkpoint 1, which is not one of version 2",
            "the head of flights k1 rests on checkpoint 1, but 3 was published after it",
        ],
    ),
    ("DELETE FROM head WHERE checkpoint = 3", ["flights k1 has checkpoint 3 but no head"]),
    (
        "DELETE FROM version WHERE id = 2",
        [
            "the checkpoints of journal entry 3 (publish) are not",
            "the head of flights k1 is version 2",
            "checkpoint 2 of flights k1 made version 2",
            "checkpoint 3 of flights k1 made version 2",
            "checkpoint 3 of flights k1 followed version 2, which does not exist",
        ],
    ),
    ("UPDATE version SET content = 'other' WHERE id = 2", ["the checkpoints of journal entry 3 (publish) are not"]),
    (
        'UPDATE version SET files = \'[["s/2",1,3,"xxh3:evil"]]\' WHERE id = 2',
        ["the checkpoints of journal entry 3 (publish) are not"],
    ),
    (
        "UPDATE checkpoint SET code = 'evil' WHERE attempt = 3",
        ["the checkpoints of journal entry 5 (publish) are not the ones that it recorded"],
    ),
    (
        "DELETE FROM checkpoint WHERE attempt = 3",
        [
            "the checkpoints of journal entry 5 (publish) are not",
            "the head of flights k1 rests on checkpoint 3",
            "the head of flights k1 rests on checkpoint 3, but 2",
            "the lineage says that checkpoint 3 read version 1, but there is no checkpoint 3",
            "attempt 3 of flights k1 in run run2 succeeded, but has no checkpoint",
        ],
    ),
    ("DELETE FROM lineage WHERE checkpoint = 3", ["the checkpoints of journal entry 5 (publish) are not"]),
    (
        "UPDATE lineage SET version = 77 WHERE checkpoint = 3",
        ["the checkpoints of journal entry 5 (publish) are not", "but there is no version 77"],
    ),
    (
        "UPDATE attempt SET state = 'failed' WHERE id = 3",
        ["checkpoint 3 of flights k1 has no succeeded attempt of that number"],
    ),
    (
        "INSERT INTO quarantine (attempt, at_ms, candidate, gates) VALUES (3, 1, '{}', '[]')",
        ["attempt 3 is held in quarantine, which does not fit what became of it"],
    ),
]


@pytest.mark.parametrize(("tampering", "sentences"), TAMPERED)
def test_tampering_is_found(folder: Path, tampering: str, sentences: list[str]) -> None:
    connection = sqlite3.connect(folder / "state.db")
    with connection:
        connection.execute(tampering)
    connection.close()
    store = opened(folder)
    found = store.check()
    store.close()
    assert len(found) == len(sentences), found
    for sentence, part in zip(found, sentences, strict=True):
        assert part in sentence


def test_what_cannot_be_decoded_is_damage(folder: Path) -> None:
    connection = sqlite3.connect(folder / "state.db")
    with connection:
        connection.execute("UPDATE version SET files = substr(files, 2) WHERE id = 2")
    connection.close()
    store = opened(folder)
    with pytest.raises(UnavailableError, match=r"the state store is damaged: '.*' is no JSON"):
        list(store.heads("flights"))
    store.close()


def test_text_that_is_not_utf_8_is_damage(folder: Path) -> None:
    connection = sqlite3.connect(folder / "state.db")
    with connection:
        connection.execute("UPDATE run SET plan = cast(x'7bff7d' AS text)")
        connection.execute("UPDATE journal SET body = cast(x'7bff7d' AS text) WHERE seq = 3")
    connection.close()
    store = opened(folder)
    for read in (lambda: store.run("run1"), store.check, lambda: list(store.journal_entries())):
        with pytest.raises(UnavailableError, match=r"it is damaged \(a text in column '\w+' is not UTF-8\)$") as caught:
            read()
        assert caught.value.hint
    store.close()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE run SET kind = 'backfhll'",
        "UPDATE run SET state = 'rvnning'",
        "UPDATE attempt SET state = 'succeedee'",
    ],
)
def test_a_word_that_does_not_exist_is_damage(folder: Path, tampering: str) -> None:
    connection = sqlite3.connect(folder / "state.db")
    with connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(tampering)
    connection.close()
    store = opened(folder)
    with pytest.raises(UnavailableError, match=r"the state store is damaged: '\w+' is none of \w+, ") as caught:
        [store.runs(), store.attempts("run1")]
    assert caught.value.hint
    store.close()


def test_rows_may_be_given_up_after_the_store(folder: Path) -> None:
    store = opened(folder)
    rows = store.kept_versions("flights")
    next(rows)
    store.close()
    # Were it to raise, the warning would be an error.
    del rows


def test_a_damaged_page_is_found(folder: Path) -> None:
    connection = sqlite3.connect(folder / "state.db")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'attempt_task'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with (folder / "state.db").open("r+b") as file:
        file.seek((page - 1) * size + size - 12)
        file.write(b"\x7f" * 12)
    store = opened(folder)
    found = store.check()
    store.close()
    assert found
    assert all(sentence.startswith("the database file is damaged: ") for sentence in found)


def test_many_findings_of_a_kind_are_cut_short(folder: Path) -> None:
    store = opened(folder)
    with store.transaction() as tx:
        tx.start_attempts(
            [Attempt(n, "run1", "flights", f"k{n}", 1, AttemptState.RUNNING, "", None, 2) for n in range(10, 60)]
        )
    *shown, last = store.check()
    assert len(shown) == MAX_OF_A_KIND
    assert last == "... and 30 more like this"
    store.close()


def test_no_field_of_an_entry_can_be_shifted_into_its_neighbour() -> None:
    def hashed(author: str, kind: str) -> str:
        return entry_hash("p", seq=1, at_ms=2, author=author, kind=kind, run="", reason="", body="{}")

    assert len({hashed("a", "bc"), hashed("ab", "c"), hashed("", "abc"), hashed("a", 'b","c')}) == 4


def test_a_digest_does_not_depend_on_the_order_of_records() -> None:
    one = (1, "d", "k1", 1, None, "c", 0, "", ["h"], [7])
    two = (2, "d", "k2", 2, 1, "c", 0, "", [], [])
    assert checkpoints_digest([one, two]) == checkpoints_digest([two, one])
    assert checkpoints_digest([one]) != checkpoints_digest([two])
