"""Who follows the heads, and what becomes of mirrors that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from headgate.drivers import mirror
from headgate.drivers.mirror import Mirroring, Mirrors, alone, mirror_now, take_down
from headgate.errors import ConflictError, InternalError, UnavailableError, UsageError
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.project.load import load
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store
from headgate.tables.staging import stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.project.load import Project
    from headgate.store.store import Store

PIPELINE = """
import pyarrow as pa

import headgate


@headgate.dataset(mirror="delta")
def good() -> pa.Table: ...


@headgate.dataset(mirror="delta")
def odd() -> pa.Table: ...


@headgate.dataset
def plain() -> pa.Table: ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "headgate.toml").write_text('[project]\nname = "m"\nmodules = ["mirrored_pipeline"]\n')
    (tmp_path / "mirrored_pipeline.py").write_text(PIPELINE)
    return load(tmp_path)


def opened(project: Project) -> Store:
    return open_store(project.paths.state, data_root=project.paths.data, create=True)


@pytest.fixture
def store(project: Project) -> Iterator[Store]:
    found = opened(project)
    yield found
    found.close()


def publish(project: Project, store: Store, dataset: str, table: pa.Table) -> None:
    number = store.next_id()
    run = f"r{number}"
    path = f"{dataset}/{run}/all-a{number:04}.parquet"
    (project.paths.data / path).parent.mkdir(parents=True)
    staged = stage(project.paths.data / path, table.schema, table.to_batches())
    (head,) = list(store.heads(dataset)) or [None]
    with store.transaction() as tx:
        tx.add_run(Run(run, RunKind.BACKFILL, RunState.RUNNING, "test", "ada", "{}", run, 1, None))
        expects = None if head is None else head.identity
        tx.start_attempts([Attempt(number, run, dataset, "all", 1, AttemptState.RUNNING, path, expects, 1)])
        files = (File(path, staged.rows, staged.bytes, staged.hash),)
        made = (staged.content, staged.schema, "code", None, (), 0, None, None, 1)
        candidate = Candidate(number, run, dataset, "all", files, staged.rows, staged.bytes, *made)
        assert tx.publish([candidate], author="ada", now_ms=2) == ["new"]


def shown(project: Project, dataset: str) -> int:
    return DeltaTable(str(project.paths.data / dataset)).count()


def test_one_that_cannot_go_on_holds_no_other_back(project: Project, store: Store) -> None:
    publish(project, store, "good", pa.table({"n": [1, 2]}))
    publish(project, store, "odd", pa.table({"n": pa.array([1], pa.uint8())}))
    errors = mirror_now(project, store)
    assert errors == store.stuck_mirrors()
    assert list(errors) == ["odd"]
    assert errors["odd"].startswith("column n is uint8, for which Delta Lake has no type. Cast it")
    assert shown(project, "good") == 2
    publish(project, store, "odd", pa.table({"n": [1]}))
    assert mirror_now(project, store) == store.stuck_mirrors() == {}
    assert shown(project, "odd") == 1
    assert not (project.paths.data / "plain").exists()


def test_what_failed_is_tried_again_when_something_happened(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(project, store, "odd", pa.table({"n": pa.array([1], pa.uint8())}))
    mirrors = Mirrors(project.paths.data, ["odd"], store)
    assert "odd" in mirrors.follow()
    monkeypatch.setattr(mirror.delta, "reconcile", lambda *_: pytest.fail("nothing has happened"))
    assert "odd" in mirrors.follow()
    monkeypatch.undo()
    publish(project, store, "odd", pa.table({"n": [1]}))
    assert mirrors.follow() == {}


def test_what_failed_is_tried_again_after_a_while(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(project, store, "good", pa.table({"n": [1]}))
    mirrors = Mirrors(project.paths.data, ["good"], store)

    def full(*_: object) -> None:
        raise UnavailableError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(mirror.delta, "reconcile", full)
        assert mirrors.follow() == {"good": "no space left"}
    monkeypatch.setattr(mirror, "RETRY_S", 0.0)
    assert mirrors.follow() == {}
    assert shown(project, "good") == 1


def stop(project: Project, store: Store, name: str) -> None:
    take_down(store, project.paths.data, name, forget=True, author="ada", reason="nobody reads it")


def is_there(project: Project, name: str) -> bool:
    return (project.paths.data / name / "_delta_log").exists()


def test_one_that_is_stopped_while_its_heads_are_followed_stays_stopped(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(project, store, "good", pa.table({"n": [1]}))
    mirrors = Mirrors(project.paths.data, ["good"], store)
    (one,) = mirrors._mirrors
    follow = one.follow

    def followed_and_stopped(store: Store) -> int | None:
        entry = follow(store)
        stop(project, store, "good")
        return entry

    with monkeypatch.context() as patched:
        patched.setattr(one, "follow", followed_and_stopped)
        mirrors.follow()
    for number in range(2):
        publish(project, store, "good", pa.table({"n": [number]}))
        assert mirrors.follow() == {}
    assert (store.mirrors(), is_there(project, "good")) == ([], False)


def test_one_that_never_worked_and_is_stopped_stays_stopped(project: Project, store: Store) -> None:
    publish(project, store, "odd", pa.table({"n": pa.array([1], pa.uint8())}))
    begun: set[str] = set()
    assert "odd" in Mirrors(project.paths.data, ["odd"], store, begun).follow()
    assert "odd" in store.stuck_mirrors()
    stop(project, store, "odd")
    publish(project, store, "odd", pa.table({"n": [1]}))
    # Anew, as after an error of the state store.
    assert Mirrors(project.paths.data, ["odd"], store, begun).follow() == {}
    assert (store.mirrors(), is_there(project, "odd")) == ([], False)


def test_a_bug_in_one_mirror_is_told_and_ends_nothing(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(project, store, "good", pa.table({"n": [1]}))
    monkeypatch.setattr(mirror.delta, "reconcile", lambda *_: 1 // 0)
    assert mirror_now(project, store)["good"].startswith("ZeroDivisionError")


def test_a_live_coordinator_is_left_to_do_it(project: Project, store: Store) -> None:
    publish(project, store, "good", pa.table({"n": [1]}))
    with store.lead():
        assert mirror_now(project, store) == {}
    assert not (project.paths.data / "good" / "_delta_log").exists()


def test_the_thread_follows_once_more_in_the_end(project: Project, store: Store) -> None:
    with Mirroring(project, lambda: opened(project)):
        publish(project, store, "good", pa.table({"n": [1, 2, 3]}))
    assert shown(project, "good") == 3
    assert [(one.dataset, one.behind) for one in store.mirrors()] == [("good", 0)]


def test_the_thread_outlives_a_state_store_that_cannot_be_opened(project: Project) -> None:
    def closed() -> Store:
        raise UnavailableError("the disk is gone")

    with Mirroring(project, closed):
        pass


def test_one_writes_at_a_time(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_WAIT_S", 0.0)
    with alone(tmp_path), pytest.raises(ConflictError, match=r"keeps the mirror in .* busy"), alone(tmp_path):
        pytest.fail("two hold it")
    with alone(tmp_path):
        pass


def test_a_file_elsewhere_is_never_named(project: Project, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(project, store, "good", pa.table({"n": [1]}))
    (project.paths.data / "odd").mkdir()
    found = mirror._Mirror(project.paths.data, "odd", set())
    versions = {version.id: version for version in store.shown_versions([1])}
    with pytest.raises(InternalError, match="outside of the folder of odd"):
        found._wanted(store, versions)


def test_taking_down_a_mirror_leaves_the_data(project: Project, store: Store) -> None:
    publish(project, store, "good", pa.table({"n": [1]}))
    mirror_now(project, store)
    data = project.paths.data
    take_down(store, data, "good", forget=True, author="ada", reason="enough")
    assert store.mirrors() == []
    assert [path.suffix for path in (data / "good").rglob("*") if path.is_file()] in (
        [".parquet", ".lock"],
        [".lock", ".parquet"],
    )
    with pytest.raises(UsageError, match="no mirror of plain"):
        take_down(store, data, "plain", forget=True, author="ada", reason="enough")
