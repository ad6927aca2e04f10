from __future__ import annotations

import hashlib
import os
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

import headgate
from headgate.model.version import File
from headgate.project import landing
from headgate.project.landing import Missing, observe
from headgate.project.seen_files import READ_AGAIN_NS, SETTLED_NS, FileState, Seen, SeenFiles

if TYPE_CHECKING:
    from pathlib import Path

MINUTE_NS = 60 * 10**9
SOURCE = headgate.source("a", path="a.csv")


class Looker:
    """Looks at one file, as one command after the other does, some time after it was written."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.file = root / "a.csv"
        self.reads = 0
        hashed = landing._hash

        def counted(stream: object) -> tuple[str, int]:
            self.reads += 1
            return hashed(stream)

        monkeypatch.setattr(landing, "_hash", counted)

    def look(self, after_ns: int) -> File | Missing:
        """Look some time after now, which is when the test writes."""
        now_ns = time.time_ns() + after_ns
        seen = SeenFiles(self.root / "seen", lambda: now_ns)
        ((_, found),) = observe(self.root, SOURCE, SOURCE.partitioning.grid(0), [0], seen)
        seen.save()
        return found


@pytest.fixture
def looker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looker:
    made = Looker(tmp_path, monkeypatch)
    made.file.write_text("x\n1\n")
    return made


def holding(text: str) -> File:
    return File("a.csv", -1, len(text), "sha256:" + hashlib.sha256(text.encode()).hexdigest())


def test_a_file_that_has_not_changed_is_read_once(looker: Looker) -> None:
    assert [looker.look(n * 2 * MINUTE_NS) for n in (1, 2, 3)] == [holding("x\n1\n")] * 3
    assert looker.reads == 1


def test_a_file_that_may_still_change_unseen_is_read_each_time(looker: Looker) -> None:
    assert [looker.look(SETTLED_NS - 10**9) for _ in range(3)] == [holding("x\n1\n")] * 3
    assert looker.reads == 3
    assert not (looker.root / "seen").exists()


def test_a_change_in_the_same_tick_is_seen(looker: Looker, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that stands still, the second write leaves the state of the file as it was."""
    status = looker.file.stat()
    monkeypatch.setattr(landing, "state_of", lambda now: FileState(1, 2, now.st_size, 3, status.st_ctime_ns))
    assert looker.look(10**9) == holding("x\n1\n")
    looker.file.write_text("x\n2\n")
    assert looker.look(2 * MINUTE_NS) == holding("x\n2\n")


def test_a_file_landed_again_with_its_old_size_and_time_is_read(looker: Looker) -> None:
    looker.look(2 * MINUTE_NS)
    status = looker.file.stat()
    looker.file.write_text("x\n2\n")
    os.utime(looker.file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert looker.file.stat().st_mtime_ns == status.st_mtime_ns
    assert looker.look(4 * MINUTE_NS) == holding("x\n2\n")


def test_another_file_of_the_same_size_and_time_in_its_place_is_read(looker: Looker) -> None:
    looker.look(2 * MINUTE_NS)
    status = looker.file.stat()
    other = looker.root / "other"
    other.write_text("x\n3\n")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(looker.file)
    assert looker.look(4 * MINUTE_NS) == holding("x\n3\n")


def test_what_is_written_to_while_it_is_read_is_not_remembered(looker: Looker, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = landing._hash

    def overtaken(stream: object) -> tuple[str, int]:
        found = hashed(stream)
        looker.file.write_text("x\n1\n2\n")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(landing, "_hash", overtaken)
        looker.look(2 * MINUTE_NS)
    assert looker.look(4 * MINUTE_NS) == holding("x\n1\n2\n")


def test_a_file_is_read_again_after_a_day_and_when_the_clock_was_set_back(looker: Looker) -> None:
    for after_ns in (2 * MINUTE_NS, 2 * MINUTE_NS + READ_AGAIN_NS, 4 * MINUTE_NS):
        looker.look(after_ns)
    assert looker.reads == 3


def test_a_file_that_is_gone_or_may_not_be_read_is_missing_all_the_same(looker: Looker) -> None:
    looker.look(2 * MINUTE_NS)
    looker.file.unlink()
    assert looker.look(4 * MINUTE_NS) == Missing("a.csv: there is no such file")
    looker.file.mkdir()
    assert looker.look(6 * MINUTE_NS) == Missing("a.csv: not a regular file")


@pytest.mark.parametrize("cut", [b"", b"\n", b"\xff\xfe", b"[]", b"headgate-seen-files-1 00000000\n"])
def test_a_record_that_is_not_one_is_as_good_as_none(looker: Looker, cut: bytes) -> None:
    (looker.root / "seen").write_bytes(cut)
    assert looker.look(2 * MINUTE_NS) == holding("x\n1\n")
    assert looker.look(4 * MINUTE_NS) == holding("x\n1\n")
    assert looker.reads == 1


def test_a_record_with_a_changed_or_lost_byte_is_not_believed(looker: Looker) -> None:
    looker.look(2 * MINUTE_NS)
    record = (looker.root / "seen").read_bytes()
    for n, at in enumerate(range(0, len(record), 7), 2):
        for damaged in (record[:at], record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]):
            (looker.root / "seen").write_bytes(damaged)
            before = looker.reads
            assert looker.look(3 * MINUTE_NS) == holding("x\n1\n")
            assert looker.reads == before + 1, n


def test_where_nothing_can_be_written_files_are_read(tmp_path: Path) -> None:
    seen = SeenFiles(tmp_path / "nowhere" / "seen", lambda: MINUTE_NS * 10)
    seen.note("/a", Seen(FileState(1, 1, 1, 1, 1), MINUTE_NS * 10, "sha256:0"))
    seen.save()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_asked_for_any_more_is_forgotten(tmp_path: Path) -> None:
    clock = count(MINUTE_NS * 10).__next__
    state = FileState(1, 2, 3, 4, 5)
    first = SeenFiles(tmp_path / "seen", clock)
    for name in ("/a", "/b"):
        first.note(name, Seen(state, first.now_ns(), name))
    first.save()
    second = SeenFiles(tmp_path / "seen", clock)
    assert second.hash_of("/a", state) == "/a"
    assert second.hash_of("/b", state._replace(inode=9)) is None
    second.save()
    third = SeenFiles(tmp_path / "seen", clock)
    assert (third.hash_of("/a", state), third.hash_of("/b", state)) == ("/a", None)
