"""A state store that is older than the data beside it is refused, and nothing is changed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headgate.errors import ConflictError, UnavailableError
from headgate.store.sqlite import open_store
from headgate.store.witness import FILE_NAME, Mark, Witness

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.store.sqlite import SqliteStore

# Each N is one journal entry; the process dies as a killed coordinator does, and leaves the write-ahead log behind.
WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from headgate.store.sqlite import open_store
folder, notes, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
store = open_store(folder / "state.db", data_root=folder / "data", create=True)
for n in range(notes):
    with store.transaction() as tx:
        tx.journal("note", author="ada", run="", reason="x" * 500, body={"n": n}, now_ms=n)
    if how == "checkpoint" and n == notes // 2:
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def write_and_die(folder: Path, notes: int, how: str = "") -> None:
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(folder), str(notes), how], check=False)
    assert done.returncode == -signal.SIGKILL


def opened(folder: Path, *, create: bool = True) -> SqliteStore:
    return open_store(folder / "state.db", data_root=folder / "data", create=create)


def note(store: SqliteStore, text: str = "") -> None:
    with store.transaction() as tx:
        tx.journal("note", author="ada", run="", reason=text, body={}, now_ms=1)


def refused(folder: Path, text: str) -> None:
    """Demand a refusal, by a reader as by a writer, that leaves every file as it was."""
    before = contents(folder)
    for create in (False, True):
        with pytest.raises(ConflictError, match=text) as caught:
            opened(folder, create=create)
        assert "Nothing was changed" in caught.value.message
        assert str(folder / "state.db") in caught.value.message
        assert str(folder / "data") in caught.value.hint
        assert contents(folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    # SQLite makes the -shm file, and an empty -wal file, for as long as the database is open.
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in files.items() if data and not name.endswith("-shm")}


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    write_and_die(tmp_path, 20, "checkpoint")
    assert (tmp_path / "state.db-wal").stat().st_size > 0
    return tmp_path


def test_a_kill_loses_nothing(killed: Path) -> None:
    store = opened(killed)
    assert len(list(store.journal_entries())) == 20
    assert store.check() == []
    store.close()


def test_a_deleted_wal_is_noticed(killed: Path) -> None:
    (killed / "state.db-wal").unlink()
    refused(killed, "has seen 20 changes, the state store knows only 11 of them")


def test_a_deleted_wal_that_held_everything_is_noticed(tmp_path: Path) -> None:
    write_and_die(tmp_path, 3)
    (tmp_path / "state.db-wal").unlink()
    refused(tmp_path, "it was lost")


def test_a_cut_wal_is_noticed(killed: Path) -> None:
    wal = killed / "state.db-wal"
    os.truncate(wal, wal.stat().st_size // 2)
    with pytest.raises(ConflictError, match=r"has seen 20 changes, the state store knows only 1\d of them"):
        opened(killed)


def test_a_flipped_bit_in_the_wal_is_noticed(killed: Path) -> None:
    wal = killed / "state.db-wal"
    data = bytearray(wal.read_bytes())
    data[len(data) // 4] ^= 1
    wal.write_bytes(data)
    with pytest.raises(ConflictError, match="has seen 20 changes"):
        opened(killed)


def test_a_deleted_database_is_noticed(killed: Path) -> None:
    (killed / "state.db").unlink()
    refused(killed, "it is missing or empty, but the data folder .* belongs to one")


def test_an_emptied_database_is_noticed(killed: Path) -> None:
    os.truncate(killed / "state.db", 0)
    refused(killed, "it is missing or empty, but the data folder .* belongs to one")


def test_data_without_state_and_witness_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "data" / "flights").mkdir(parents=True)
    (tmp_path / "data" / "flights" / "x.parquet").write_bytes(b"PAR1")
    refused(tmp_path, "has data files")


def test_a_wal_without_its_database_is_noticed(tmp_path: Path) -> None:
    write_and_die(tmp_path, 1)
    (tmp_path / "state.db").unlink()
    (tmp_path / "data" / FILE_NAME).unlink()
    refused(tmp_path, "state.db-wal, which is a part of it, is there")


def test_an_older_copy_is_noticed_also_when_it_went_on(tmp_path: Path) -> None:
    store = opened(tmp_path)
    note(store)
    store.close()
    shutil.copy(tmp_path / "state.db", tmp_path / "copy.db")
    store = opened(tmp_path)
    note(store, "one")
    note(store, "two")
    store.close()
    shutil.copy(tmp_path / "copy.db", tmp_path / "state.db")
    refused(tmp_path, "has seen 3 changes, the state store knows only 1 of them")

    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "copy.db", tmp_path / "elsewhere" / "state.db")
    (tmp_path / "elsewhere" / "data").mkdir()
    mark = Witness(tmp_path / "data").read()
    assert mark is not None
    other = open_beside(tmp_path / "elsewhere", Mark(mark.store, 0, ""))
    for text in ("1", "2", "3"):
        note(other, text)
    other.close()
    shutil.copy(tmp_path / "elsewhere" / "state.db", tmp_path / "state.db")
    refused(tmp_path, "change 3 in the state store is not the one that the data folder .* has seen")


def open_beside(folder: Path, mark: Mark) -> SqliteStore:
    Witness(folder / "data").create(mark)
    return opened(folder)


def test_the_data_of_another_store_is_noticed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        store = opened(tmp_path / name)
        note(store)
        store.close()
    shutil.copy(tmp_path / "a" / "data" / FILE_NAME, tmp_path / "b" / "data" / FILE_NAME)
    refused(tmp_path / "b", "belongs to another state store")


def test_data_that_was_moved_away_is_noticed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    note(store)
    store.close()
    shutil.rmtree(tmp_path / "data")
    refused(tmp_path, f"has recorded 1 changes, but the data folder .* has no {FILE_NAME}")


def test_a_store_newer_than_its_witness_is_fine_and_the_coordinator_brings_it_up_to_date(tmp_path: Path) -> None:
    store = opened(tmp_path)
    note(store)
    store.close()
    old = (tmp_path / "data" / FILE_NAME).read_bytes()
    store = opened(tmp_path)
    note(store)
    store.close()
    (tmp_path / "data" / FILE_NAME).write_bytes(old)

    reader = opened(tmp_path, create=False)
    assert reader.check() == []
    assert (tmp_path / "data" / FILE_NAME).read_bytes() == old
    reader.close()
    store = opened(tmp_path)
    with store.lead():
        mark = Witness(tmp_path / "data").read()
    assert mark is not None
    assert mark.seq == 2
    store.close()


def test_a_store_that_is_lost_while_it_is_open_is_found_by_check_and_by_the_next_coordinator(tmp_path: Path) -> None:
    store = opened(tmp_path)
    note(store)
    (mark,) = [Witness(tmp_path / "data").read()]
    assert mark is not None
    store._witness.write(Mark(mark.store, 5, "f" * 64))
    (sentence,) = store.check()
    assert "has seen 5 changes" in sentence
    with pytest.raises(ConflictError, match="has seen 5 changes"), store.lead():
        pass
    store.close()


def test_a_witness_that_vanishes_is_named_and_what_was_written_is_kept(tmp_path: Path) -> None:
    store = opened(tmp_path)
    (tmp_path / "data" / FILE_NAME).unlink()
    with pytest.raises(
        UnavailableError, match=rf"{FILE_NAME} cannot be written: .*; the changes that it should record are stored"
    ):
        note(store)
    assert len(list(store.journal_entries())) == 1
    store.close()


def test_a_damaged_witness_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    path = tmp_path / "data" / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b"0000 ", b"0001 ", 1))
    with pytest.raises(ConflictError, match=f"{FILE_NAME} is damaged"):
        opened(tmp_path)


def test_a_creation_that_was_killed_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    opened(tmp_path, create=False).close()
    store = opened(tmp_path)
    (tmp_path / "data" / FILE_NAME).unlink()
    store.close()
    # Killed between the schema and the witness: nothing was recorded yet, so nothing can be lost.
    store = opened(tmp_path)
    note(store)
    assert Witness(tmp_path / "data").read() is not None
    store.close()


def test_a_mark_survives_the_file_and_is_readable_for_people(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    assert witness.read() is None
    witness.create(Mark("ab" * 16, 0, ""))
    assert witness.read() == Mark("ab" * 16, 0, "")
    witness.write(Mark("ab" * 16, 12, "cd" * 32))
    assert witness.read() == Mark("ab" * 16, 12, "cd" * 32)
    assert (tmp_path / FILE_NAME).read_text().split()[2:4] == ["00000000000000000012", "cd" * 32]
    witness.close()
    witness.close()
    assert [p.name for p in tmp_path.iterdir()] == [FILE_NAME]
