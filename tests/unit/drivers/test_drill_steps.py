"""Drills that find something: what does not hold is a problem, by name, and stands in the journal."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headgate.cli.main import main
from headgate.drivers.drill import Drill, Eyes, Wanted, drill
from headgate.drivers.drill_sample import take_sample
from headgate.drivers.session import Session
from headgate.drivers.world import look
from headgate.views.drill import EYES, differing, examined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.model.version import Version
    from headgate.store.store import Store

pytestmark = pytest.mark.slow

CONFIG = '[project]\nmodules = ["rehearsed"]\n[workers]\nprocesses = 1\n'
PIPELINE = """
import pyarrow as pa
import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-05")

@headgate.dataset(partitions=DAYS, batch=4, partition_column="day", gates=[
    headgate.unique("n"), headgate.not_null("n", "day", "more"), headgate.foreign_key("n", "pieces"),
    headgate.in_range("n", max=0, severity="warn"),
])
def ranged(pieces: pa.Table, ctx: headgate.Context) -> pa.Table:
    days = [day for day in ctx.keys for _ in range(3)]
    return pa.table({"day": days, "n": [0, 1, 2] * len(ctx.keys), "more": [{"a": [1]}] * len(days)})

@headgate.dataset(batches=0)
def pieces(ctx):
    for n in range(ctx.resume_from or 0, 3):
        yield headgate.Batch(pa.table({"n": [n] * 2}), offset=n + 1)

@headgate.dataset(gates=[headgate.row_count(min=0)])
def one() -> pa.Table:
    return pa.table({"n": [1]})
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rehearsed")
    (root / "rehearsed.py").write_text(PIPELINE)
    (root / "headgate.toml").write_text(CONFIG)
    done = CliRunner().invoke(main, ["-C", str(root), "backfill", "--yes", "--reason", "first"])
    assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def session(built: Path, tmp_path: Path) -> Iterator[Session]:
    opened = Session(shutil.copytree(built, tmp_path / "project"))
    yield opened
    opened.close()


def rehearse(session: Session, *names: str, eyes: Eyes = EYES, partitions: int = 20) -> Drill:
    wanted = Wanted(names, partitions, keep=False, author="ada", reason="a test")
    return drill(session.project, session.store, wanted, eyes, lambda _step: None)


def journaled(session: Session) -> list[dict[str, object]]:
    return [json.loads(entry.body) for entry in session.store.journal_entries(kind="drill")]


def test_ranged_attempts_batches_and_single_rows_are_rehearsed_on(session: Session) -> None:
    done = rehearse(session)
    assert (done.problems, done.chosen, done.derived, done.by_diff) == ([], 6, 0, 6)
    # Rows that lack are noticed by no gate of these, but for the last row; a warning that was there before is none.
    assert (done.gated, done.by_gates) == (5, 4)
    assert [(one.dataset, one.how) for one in done.missed] == [("ranged", "rows dropped")]
    assert journaled(session)[0]["ok"] is True


def test_the_newest_heads_of_each_dataset_are_taken_in_turn(session: Session) -> None:
    snapshot = look(session.project, session.store, 2**41).snapshot
    some = take_sample(session.store, snapshot, ["ranged", "one"], 3)
    assert sorted(version.dataset for version in some.chosen) == ["one", "ranged", "ranged"]
    assert some == take_sample(session.store, snapshot, ["ranged", "one"], 3)
    newest = max(session.store.heads("ranged"), key=lambda version: version.id)
    assert newest in some.chosen
    below = take_sample(session.store, snapshot, ["pieces"], 1)
    assert [version.dataset for version in below.derived] == ["ranged"] * 4


def blind(_store: Store, _data_root: Path, _run: Run) -> set[tuple[str, str]]:
    return set()


def trusting(_data_root: Path, versions: Sequence[Version]) -> Iterator[tuple[Version, list[str]]]:
    return ((version, []) for version in versions)


def late(looks: int) -> Callable[[Path, Sequence[Version]], Iterator[tuple[Version, list[str]]]]:
    """Return eyes to which everything is broken after so many looks."""
    left = looks

    def see(data_root: Path, versions: Sequence[Version]) -> Iterator[tuple[Version, list[str]]]:
        nonlocal left
        left -= 1
        for version, wrong in examined(data_root, versions):
            yield version, wrong if left >= 0 else ["it is not what it was"]

    return see


@pytest.mark.parametrize(
    ("eyes", "said"),
    [
        (Eyes(blind, examined), "diff did not notice one/"),
        (Eyes(differing, trusting), "verify finds 0 versions broken, where one file was cut off"),
        (Eyes(differing, late(2)), "after the rollback one/all: it is not what it was"),
    ],
)
def test_what_does_not_hold_is_a_problem_and_journaled(session: Session, eyes: Eyes, said: str) -> None:
    done = rehearse(session, "one", eyes=eyes)
    assert [problem for problem in done.problems if said in problem] == done.problems
    assert len(done.problems) == 1
    (body,) = journaled(session)
    assert (body["ok"], body["problems"], body["first"]) == (False, 1, done.problems)


def test_what_only_looks_ends_there_when_nothing_is_sound(session: Session) -> None:
    done = rehearse(session, "one", eyes=Eyes(differing, late(0)))
    assert len(done.problems) == 1
    assert "is broken, without any drill: it is not what it was" in done.problems[0]
    assert (done.chosen, done.to_safety_ms, [step.name for step in done.steps]) == (0, None, ["copy", "look"])
