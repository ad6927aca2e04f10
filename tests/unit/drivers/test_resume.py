"""What a run that is taken up again begins anew, and what not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.clock import now_ms
from headgate.drivers.resume import restore
from headgate.drivers.submission import new_run
from headgate.drivers.world import look
from headgate.model.plan import Request
from headgate.model.policy import OnOverlap
from headgate.model.run import Attempt, AttemptState, RunState, TaskState
from headgate.planning.planner import current_digest, make_plan
from headgate.planning.stages import make_stages
from headgate.project.load import load
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = """
import headgate as hg

@hg.dataset(partitions=hg.daily("2024-01-01", "2024-01-03"), idempotent={idempotent})
def mail(ctx: hg.Context) -> None:
    pass
"""


def a_candidate(attempt: Attempt, code: str, inputs_digest: int) -> Candidate:
    return Candidate(
        attempt=attempt.id,
        run=attempt.run,
        dataset=attempt.dataset,
        key=attempt.key,
        files=(),
        rows=0,
        bytes=0,
        content="",
        schema=None,
        code=code,
        declared_version=None,
        inputs=(),
        inputs_digest=inputs_digest,
        watermark_ms=None,
        offsets=None,
        started_ms=attempt.started_ms,
    )


@pytest.mark.parametrize(
    ("idempotent", "retry", "state"),
    [
        (True, False, TaskState.WAITING),
        (False, False, TaskState.FAILED),
        (False, True, TaskState.WAITING),
    ],
)
@pytest.mark.parametrize("ended", [AttemptState.LOST, AttemptState.CANCELLED, AttemptState.FENCED])
def test_what_must_not_happen_twice_is_not_begun_again_after_a_crash(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    idempotent: bool,
    retry: bool,
    state: TaskState,
    ended: AttemptState,
) -> None:
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["mail_pipeline"]\n')
    (tmp_path / "mail_pipeline.py").write_text(PIPELINE.format(idempotent=idempotent))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "mail_pipeline", raising=False)
    project = load(tmp_path)
    store = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    try:
        world = look(project, store, now_ms())
        plan = make_plan(world.snapshot, Request())
        run = new_run(plan, RunState.RUNNING, reason="a test", author="ada", service_class="backfill")
        with store.transaction() as tx:
            tx.add_run(run)
            attempt = Attempt(1, run.id, "mail", "2024-01-01", 1, AttemptState.RUNNING, "", None, 1_000)
            tx.start_attempts([attempt])
            if ended is AttemptState.CANCELLED:
                tx.end_attempts([(1, ended, None)], now_ms=2_000)
            tx.fence_attempts(now_ms=2_000)
            if ended is AttemptState.FENCED:
                tx.publish([a_candidate(attempt, "", 0)], author="ada", now_ms=2_000)
        assert store.attempts(run.id)[0].state is ended
        recorded = restore(project, store, world, run, retry=retry)
    finally:
        store.close()
        sys.modules.pop("mail_pipeline", None)
    assert [TaskState(one) for one in recorded.states["mail"]] == [state, TaskState.WAITING]


@pytest.mark.parametrize(
    ("overlap", "inherited"),
    [(OnOverlap.JOIN, [True, False]), (OnOverlap.REFUSE, [True, False]), (OnOverlap.QUEUE, None)],
)
def test_what_another_run_has_made_since_counts_as_made_unless_it_was_to_be_built_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: OnOverlap, inherited: list[bool] | None
) -> None:
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["mail_pipeline"]\n')
    (tmp_path / "mail_pipeline.py").write_text(PIPELINE.format(idempotent=True))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "mail_pipeline", raising=False)
    project = load(tmp_path)
    store = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    try:
        world = look(project, store, now_ms())
        plan = make_plan(world.snapshot, Request(forced=True))
        mine, other = (
            new_run(plan, RunState.RUNNING, reason="", author="ada", service_class="backfill", overlap=overlap)
            for _ in range(2)
        )
        attempt = Attempt(1, other.id, "mail", "2024-01-01", 1, AttemptState.RUNNING, "", None, 1_000)
        with store.transaction() as tx:
            tx.add_run(mine)
            tx.add_run(other)
            tx.start_attempts([attempt])
        code = project.datasets["mail"].code
        digest = int(current_digest(world.snapshot, world.snapshot.datasets["mail"])[0])
        with store.transaction() as tx:
            tx.publish([a_candidate(attempt, code, digest)], author="ada", now_ms=2_000)
        world = look(project, store, now_ms())
        recorded = restore(project, store, world, mine, retry=False)
        (stage,) = make_stages(plan, world.snapshot, recorded.states, inherited=recorded.inherited)
    finally:
        store.close()
        sys.modules.pop("mail_pipeline", None)
    assert recorded.states["mail"].tolist() == [TaskState.WAITING] * 2
    assert (None if stage.inherited is None else stage.inherited.tolist()) == inherited
    assert stage.skippable.tolist() == (inherited or [False, False])
