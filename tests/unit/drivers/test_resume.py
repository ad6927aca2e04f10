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
from headgate.model.run import Attempt, AttemptState, RunState, TaskState
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = """
import headgate as hg

@hg.dataset(partitions=hg.daily("2024-01-01", "2024-01-03"), idempotent={idempotent})
def mail(ctx: hg.Context) -> None:
    pass
"""


@pytest.mark.parametrize(
    ("idempotent", "retry", "state"),
    [
        (True, False, TaskState.WAITING),
        (False, False, TaskState.FAILED),
        (False, True, TaskState.WAITING),
    ],
)
def test_what_must_not_happen_twice_is_not_begun_again_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idempotent: bool, retry: bool, state: TaskState
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
            tx.start_attempts([Attempt(1, run.id, "mail", "2024-01-01", 1, AttemptState.RUNNING, "", None, 1_000)])
        with store.transaction() as tx:
            tx.fence_attempts(now_ms=2_000)
        recorded = restore(project, store, world, run, retry=retry)
    finally:
        store.close()
        sys.modules.pop("mail_pipeline", None)
    assert [TaskState(one) for one in recorded.states["mail"]] == [state, TaskState.WAITING]
