"""What is left of a run is held to the guard rails again before it goes on."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headgate.drivers.plans import judge_rest, keep
from headgate.drivers.proposal import propose
from headgate.drivers.resume import restore
from headgate.drivers.session import Session
from headgate.drivers.submission import new_run
from headgate.drivers.world import look
from headgate.errors import ConflictError
from headgate.model.plan import Request
from headgate.model.reason import Why
from headgate.model.run import Attempt, AttemptState, ErrorClass, Failure, RunState
from headgate.model.verdict import Override
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store
from headgate.views.why import plan_why

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.drivers.proposal import Proposal
    from headgate.model.run import Run
    from headgate.store.store import Store

NOW_MS = 1_704_412_800_000
"""2024-01-05T00:00Z: four days have ended."""
BAD = Failure(ErrorClass.DATA, "a bad row")
PIPELINE = """
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01")

headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS, inputs={"landed": headgate.input("landed", allow_missing=True)})
def sales(landed: pa.Table) -> pa.Table:
    return landed


@headgate.dataset(partitions=DAYS, snapshot_only=True)
def stock() -> pa.Table:
    return pa.table({"n": [1]})


@headgate.dataset(partitions=headgate.static(["a", "b"]), idempotent=False)
def mail() -> None:
    pass
"""


class Place:
    """A project with runs that were planned on 2024-01-05, in its state store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "landing").mkdir()
        for day in range(1, 5):
            (root / "landing" / f"2024-01-{day:02}.csv").write_text("n\n1\n")
        (root / "resting_pipeline.py").write_text(PIPELINE)
        self.configure("")
        self.store: Store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=True)

    def configure(self, text: str) -> None:
        (self.root / "headgate.toml").write_text(f'[project]\nmodules = ["resting_pipeline"]\n{text}')

    def run_of(self, request: Request, state: RunState, *overrides: Override) -> Run:
        """Record a run of a plan that was kept, as `headgate backfill` does."""
        project = load(self.root)
        world = look(project, self.store, NOW_MS)
        plan = make_plan(world.snapshot, request)
        proposal = propose(
            project,
            self.store,
            world,
            plan,
            author="ada",
            reason="a test",
            service_class="backfill",
            overrides=overrides,
        )
        keep(self.store, project, proposal, NOW_MS)
        run = new_run(plan, state, reason="a test", author="ada", service_class="backfill")
        with self.store.transaction() as tx:
            tx.observe(world.observations, author="ada", now_ms=NOW_MS)
            tx.add_run(run)
        return run

    def attempted(self, run: Run, dataset: str, key: str, state: AttemptState, failure: Failure | None = BAD) -> None:
        number = self.store.next_id()
        with self.store.transaction() as tx:
            tx.start_attempts([Attempt(number, run.id, dataset, key, 1, AttemptState.RUNNING, "", None, NOW_MS)])
        with self.store.transaction() as tx:
            if state is AttemptState.LOST:
                tx.fence_attempts(now_ms=NOW_MS)
            else:
                tx.end_attempts([(number, state, failure)], now_ms=NOW_MS)

    def planned(self, name: str) -> Proposal:
        """Plan all of a dataset."""
        project = load(self.root)
        world = look(project, self.store, NOW_MS)
        plan = make_plan(world.snapshot, Request((name,)))
        return propose(
            project, self.store, world, plan, author="ada", reason="a test", service_class="backfill", overrides=()
        )

    def refused(self, run: Run, *, retry: bool = False) -> ConflictError:
        """Ask for a run to go on, and return why it does not; nothing of it has changed."""
        session = Session(self.root)
        before = session.store.run(run.id)
        try:
            with pytest.raises(ConflictError) as caught:
                session.go_on(run.id, retry=retry, reason="once more")
            assert session.store.run(run.id) == before
        finally:
            session.close()
        entry = [*self.store.journal_entries(run=run.id)][-1]
        assert (entry.kind, entry.reason) == (f"{'retry' if retry else 'resume'} refused", "once more")
        assert json.loads(entry.body) == {"refused": caught.value.message}
        return caught.value

    def passes(self, run: Run, *, retry: bool, now_ms: int = NOW_MS) -> None:
        project = load(self.root)
        world = look(project, self.store, now_ms)
        recorded = restore(project, self.store, world, run, retry=retry)
        judge_rest(project, self.store, world, run, recorded)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    before = sys.path.copy()
    made = Place(tmp_path)
    yield made
    made.store.close()
    sys.path[:] = before
    sys.modules.pop("resting_pipeline", None)


def test_a_window_that_has_become_the_past_is_not_resumed(place: Place) -> None:
    run = place.run_of(Request(("stock",), start="2024-01-04"), RunState.INTERRUPTED)
    place.passes(run, retry=False)
    refused = place.refused(run)
    assert refused.message.startswith(
        f"run {run.id} must not go on: snapshot_only of stock: 1 partition (2024-01-04); only the current window"
    )
    assert refused.hint.endswith('headgate plan stock --reason "..." --override snapshot_only --because "..."')


@pytest.mark.parametrize("retry", [False, True])
def test_files_that_are_gone_since_are_not_built_as_if_they_had_never_been(place: Place, retry: bool) -> None:
    run = place.run_of(Request(("sales",), end="2024-01-04"), RunState.FAILED if retry else RunState.INTERRUPTED)
    place.passes(run, retry=retry)
    (place.root / "landing" / "2024-01-02.csv").unlink()
    message = place.refused(run, retry=retry).message
    assert "retention of sales: 1 partition (2024-01-02) without files of landed that were there before" in message


def test_what_is_done_of_a_run_is_not_asked_for_again(place: Place) -> None:
    run = place.run_of(Request(("sales",), end="2024-01-04"), RunState.INTERRUPTED)
    place.attempted(run, "sales", "2024-01-02", AttemptState.FAILED)
    (place.root / "landing" / "2024-01-02.csv").unlink()
    place.passes(run, retry=False)
    with pytest.raises(ConflictError, match="retention of sales"):
        place.passes(run, retry=True)


@pytest.mark.parametrize("state", [AttemptState.FAILED, AttemptState.LOST, AttemptState.CANCELLED])
def test_effects_that_must_not_happen_twice_are_retried_by_an_override_only(place: Place, state: AttemptState) -> None:
    run = place.run_of(Request(("mail",)), RunState.FAILED)
    place.attempted(run, "mail", "a", state)
    refused = place.refused(run, retry=True)
    assert "non_idempotent of mail: 1 partition (a) once more; its effects must not happen twice" in refused.message
    with_override = place.run_of(
        Request(("mail",)), RunState.FAILED, Override("non_idempotent", "nobody got any", "ada")
    )
    place.attempted(with_override, "mail", "a", AttemptState.FAILED)
    place.passes(with_override, retry=True)


def test_a_rule_that_was_set_since_counts_with_its_rationale(place: Place) -> None:
    run = place.run_of(Request(("sales",), end="2024-01-04"), RunState.INTERRUPTED)
    place.configure('[policies.protected]\nuntil = 2024-01-03\nbecause = "Closed books."\n')
    message = place.refused(run).message
    assert "protected of sales: 2 partitions (2024-01-01 to 2024-01-02); protected until 2024-01-03" in message
    assert message.endswith(" (because: Closed books.)")
    place.configure('[policies.protected]\nuntil = 2024-01-03\nverdict = "allow"\n')
    place.passes(run, retry=False)


def test_a_rule_that_was_let_pass_denies_no_more_than_then(place: Place) -> None:
    allowed = '[policies.protected]\nuntil = 2024-01-03\nverdict = "allow"\n'
    place.configure(allowed)
    run = place.run_of(Request(("sales",), end="2024-01-04"), RunState.INTERRUPTED)
    place.passes(run, retry=False)
    place.configure(allowed.replace("allow", "deny"))
    place.refused(run)


def test_amounts_and_reasons_were_asked_of_the_plan(place: Place) -> None:
    run = place.run_of(Request(("sales",), end="2024-01-04"), RunState.INTERRUPTED)
    place.configure('[policies]\nmax_partitions = { limit = 1, verdict = "deny" }\nticket = { pattern = "OPS" }\n')
    place.passes(run, retry=False)


def test_a_run_is_not_handed_over_to_a_coordinator_either(place: Place) -> None:
    run = place.run_of(Request(("mail",)), RunState.FAILED)
    place.attempted(run, "mail", "b", AttemptState.FAILED)
    with place.store.lead("run another"):
        assert "non_idempotent of mail" in place.refused(run, retry=True).message
        with place.store.transaction() as tx:
            assert tx.pending_commands() == []


@pytest.mark.parametrize("state", [AttemptState.LOST, AttemptState.CANCELLED, AttemptState.RUNNING])
def test_a_plan_knows_of_effects_that_an_attempt_may_have_had_before_it_was_lost(
    place: Place, state: AttemptState
) -> None:
    run = place.run_of(Request(("mail",)), RunState.RUNNING)
    assert place.planned("mail").verdict.findings == ()
    if state is AttemptState.RUNNING:
        # Its coordinator died, and nobody has taken over yet.
        with place.store.transaction() as tx:
            tx.start_attempts([Attempt(5, run.id, "mail", "b", 1, AttemptState.RUNNING, "", None, NOW_MS)])
    else:
        place.attempted(run, "mail", "b", state, None)
    proposal = place.planned("mail")
    (finding,) = proposal.verdict.findings
    assert (finding.rule, finding.outcome, finding.value) == ("non_idempotent", "deny", "1 partition (b) once more")
    assert [Why(one).name for one in proposal.plan.datasets[0].why] == ["MISSING", "FAILED"]
    why = plan_why(place.store, proposal.world.snapshot, proposal.plan, "mail", "b")
    assert why.steps[0].text == f"its last attempt, in run {run.id}, came to no end: nobody knows how far it came"


def test_what_another_run_has_made_meanwhile_is_not_asked_for(place: Place) -> None:
    run = place.run_of(Request(("mail",)), RunState.FAILED)
    place.attempted(run, "mail", "a", AttemptState.FAILED)
    project = load(place.root)
    world = look(project, place.store, NOW_MS)
    recorded = restore(project, place.store, world, run, retry=True)
    taken = replace(recorded, inherited={"mail": np.array([True, False])})
    judge_rest(project, place.store, world, run, taken)
