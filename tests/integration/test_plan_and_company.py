"""A plan of which somebody else builds a part before it begins: real workers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.forecast import forecast_from_json
from headgate.drivers.naming import named_run
from headgate.drivers.session import Session
from headgate.errors import ConflictError
from headgate.model.plan import Request
from headgate.model.run import RunState
from headgate.model.verdict import Override
from headgate.planning.codec import plan_from_json
from headgate.views.run_record import run_record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

POLICIES = """
[workers]
processes = 1
[policies]
max_partitions = {limit = 3, verdict = "deny"}
"""
PIPELINE = """
import pyarrow as pa
import headgate as hg

@hg.dataset(partitions=hg.daily("2024-01-01", "2024-01-05"))
def company(ctx: hg.Context) -> pa.Table:
    return pa.table({"n": [1]})
"""


def built(session: Session, request: Request, *, reason: str) -> None:
    world, plan = session.plan(request)
    assert session.backfill(world, plan, reason=reason).state is RunState.SUCCEEDED


def test_what_was_built_meanwhile_is_left_out_unless_just_this_plan_was_to_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["company_pipeline"]\n' + POLICIES)
    (tmp_path / "company_pipeline.py").write_text(PIPELINE)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "company_pipeline", raising=False)
    session, other = Session(tmp_path), Session(tmp_path)
    try:
        overrides = (Override("max_partitions", "it is a test"),)
        proposal = session.propose(Request(), reason="all", service_class="backfill", overrides=overrides)
        session.keep(proposal)
        world, plan = proposal.world, proposal.plan
        assert plan.size == 4
        built(other, Request(end="2024-01-02"), reason="the first day")
        with pytest.raises(ConflictError, match="the world has moved since this plan was made"):
            session.backfill(world, plan, reason="just this", is_exact=True)
        summary = session.backfill(world, plan, reason="what is left")
        assert summary.state is RunState.SUCCEEDED
        assert [sum(part.tasks.values()) for part in summary.progress.datasets] == [3]
        summary = session.backfill(world, plan, reason="nothing is left")
        assert (summary.state, summary.progress.datasets) == (RunState.SUCCEEDED, ())
        attempts = {run.reason: len(session.store.attempts(run.id)) for run in session.store.runs()}
        assert attempts == {"the first day": 1, "what is left": 3, "nothing is left": 0}
        for listed in session.store.runs():
            run = named_run(session.store, listed.id)
            kept = run_record(session.store, run).plan
            if run.reason == "the first day":
                # Nobody had kept its plan.
                assert kept is None
                continue
            assert kept is not None
            assert (kept.run, kept.hash, kept.reason) == (run.id, run.plan_hash, "all")
            assert [one.overridden_because for one in kept.verdict.findings] == ["it is a test"]
            stored = session.store.plan(kept.hash)
            assert stored is not None
            assert plan_from_json(stored.body).size == attempts[run.reason]
            told = forecast_from_json(stored.forecast).datasets if stored.forecast else ()
            assert sum(one.partitions for one in told) == attempts[run.reason]
    finally:
        session.close()
        other.close()
        sys.modules.pop("company_pipeline", None)
