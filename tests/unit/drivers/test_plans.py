"""Plans that were kept: decided on, and run exactly as they were shown, or not at all."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.live import Coordinator
from headgate.drivers.plans import Moved, Redeemed, Standing, decide, keep, named_plan, redeem, standing
from headgate.drivers.proposal import propose
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.errors import ConflictError, UsageError
from headgate.executors.inline import InlineExecutor
from headgate.model.plan import Request
from headgate.model.run import RunState
from headgate.model.verdict import Override
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.model.plan import Plan, StoredPlan
    from headgate.planning.binding import Change
    from headgate.store.store import Store

DAY_MS = 24 * 60 * 60 * 1000
NOW_MS = 1_704_412_800_000
"""2024-01-05T00:00Z: four days have ended."""
PIPELINE = """
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01")

headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS)
def sales(landed: pa.Table) -> pa.Table:
    return landed


@headgate.dataset(partitions=DAYS, inputs={"sales": headgate.trailing(2)})
def trend(sales: pa.Table) -> pa.Table:
    return sales


@headgate.dataset(partitions=DAYS)
def other(landed: pa.Table) -> pa.Table:
    return landed
"""
RULES = """
[approvers]
leads = ["bob", "cid", "ada"]
finance = ["dan"]
[policies]
approvers = "leads"
"""
FEW = RULES + "[policies.max_partitions]\nlimit = 3\n"
WORK = Request(("sales", "trend"), end="2024-01-04")


class Place:
    """A project whose plans are made and run at times that the test gives."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "landing").mkdir()
        for day in range(1, 9):
            self.land(day, "1\n")
        self.configure("")
        (root / "kept_plans.py").write_text(PIPELINE)
        self.store: Store = open_store(root / "state.db", data_root=root / "data", create=True)

    def configure(self, text: str, *, name: str = "shop") -> None:
        (self.root / "headgate.toml").write_text(f'[project]\nname = "{name}"\nmodules = ["kept_plans"]\n{text}')

    def land(self, day: int, rows: str) -> None:
        (self.root / "landing" / f"2024-01-{day:02}.csv").write_text("value\n" + rows)

    def edit(self, old: str, new: str) -> None:
        path = self.root / "kept_plans.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def made(
        self,
        request: Request = WORK,
        *,
        author: str = "ada",
        reason: str = "a test",
        overrides: tuple[Override, ...] = (),
        now_ms: int = NOW_MS,
    ) -> StoredPlan:
        """Make a plan and keep it."""
        project = load(self.root)
        world = look(project, self.store, now_ms)
        plan = make_plan(world.snapshot, request)
        proposal = propose(
            project,
            self.store,
            world,
            plan,
            author=author,
            reason=reason,
            service_class="backfill",
            overrides=overrides,
        )
        return keep(self.store, project, proposal, now_ms)

    def decide(self, stored: StoredPlan, author: str, *, yes: bool = True, reason: str = "looked at it") -> StoredPlan:
        return decide(
            self.store,
            load(self.root),
            stored.hash[:8],
            is_approval=yes,
            author=author,
            reason=reason,
            now_ms=NOW_MS + 1,
        )

    def redeem(self, stored: StoredPlan, *, now_ms: int = NOW_MS + 2) -> Redeemed | Moved:
        project = load(self.root)
        return redeem(self.store, project, named_plan(self.store, project, stored.hash), now_ms)

    def run(self, redeemed: Redeemed | Moved) -> str:
        """Run a plan that holds to its end."""
        assert isinstance(redeemed, Redeemed)
        project = load(self.root)
        with self.store.lead():
            take_over(self.store, project.paths.data, NOW_MS, author="ada")
            executor = InlineExecutor(self.root)
            coordinator = Coordinator(project, self.store, executor, author="ada")
            run = coordinator.submit(redeemed.world, redeemed.plan, reason="a test")
            assert coordinator.drive().state is RunState.SUCCEEDED
            executor.close()
        return run

    def build(self, *select: str, end: str | None = None) -> str:
        return self.run(self.redeem(self.made(Request(select, end=end))))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    before = sys.path.copy()
    made = Place(tmp_path)
    yield made
    made.store.close()
    sys.path[:] = before


def standing_of(place: Place, stored: StoredPlan, *, now_ms: int = NOW_MS + 2) -> Standing:
    return standing(named_plan(place.store, load(place.root), stored.hash), now_ms)


def changed(found: Redeemed | Moved) -> dict[str, Change]:
    assert isinstance(found, Moved)
    return {change.dataset: change for change in found.changes}


def refused(place: Place, stored: StoredPlan, *parts: str, now_ms: int = NOW_MS + 2) -> None:
    with pytest.raises(ConflictError) as caught:
        place.redeem(stored, now_ms=now_ms)
    for part in (stored.hash[:12], *parts):
        assert part in caught.value.message


def test_a_plan_is_run_exactly_as_it_was_shown_and_only_once(place: Place) -> None:
    stored = place.made()
    assert (stored.author, stored.reason, stored.project) == ("ada", "a test", "shop")
    redeemed = place.redeem(stored)
    assert isinstance(redeemed, Redeemed)
    assert plan_to_json(redeemed.plan) == stored.body
    run = place.run(redeemed)
    assert standing_of(place, stored) is Standing.RUN
    refused(place, stored, f"was run already, as run {run}")
    with pytest.raises(ConflictError, match=f"was run already, as run {run}"):
        place.decide(stored, "bob", yes=False)
    assert [(made.dataset, made.succeeded) for made in place.store.made(run)] == [("sales", 3), ("trend", 3)]


def test_two_that_redeem_the_same_plan_make_one_run(place: Place) -> None:
    stored = place.made()
    both = place.redeem(stored), place.redeem(stored)
    run = place.run(both[0])
    with pytest.raises(ConflictError, match=f"as run {run}"):
        place.run(both[1])
    assert [one.id for one in place.store.runs()] == [run]


def test_a_plan_expires(place: Place) -> None:
    place.configure('[plans]\nexpire = "2h"\n')
    stored = place.made()
    last_ms = NOW_MS + 2 * 60 * 60 * 1000 - 1
    assert isinstance(place.redeem(stored, now_ms=last_ms), Redeemed)
    refused(place, stored, "has expired", now_ms=last_ms + 1)
    project = load(place.root)
    with pytest.raises(ConflictError, match="has expired"):
        decide(place.store, project, stored.hash, is_approval=True, author="bob", reason="late", now_ms=last_ms + 1)


def test_a_plan_that_is_not_there_or_not_of_this_project(place: Place) -> None:
    project = load(place.root)
    with pytest.raises(UsageError, match="there is no plan 'feed'") as caught:
        named_plan(place.store, project, "feed")
    assert "makes one" in caught.value.hint
    stored = place.made()
    for text in ("", "g", stored.hash + "0", f" {stored.hash}"):
        with pytest.raises(UsageError, match="there is no plan") as caught:
            named_plan(place.store, project, text)
        assert caught.value.hint == f"The newest is {stored.hash[:12]}."
    assert named_plan(place.store, project, stored.hash[:1]) == stored
    place.configure("", name="another")
    with pytest.raises(UsageError, match=f"plan {stored.hash[:12]} is for project shop, and this is another"):
        named_plan(place.store, load(place.root), stored.hash)


def test_a_beginning_that_several_plans_have_is_refused(place: Place) -> None:
    # 17 hashes of 16 first digits.
    made = [place.made(now_ms=NOW_MS + n).hash for n in range(17)]
    first = next(hash_[0] for n, hash_ in enumerate(made) if hash_[0] in {one[0] for one in made[:n]})
    with pytest.raises(UsageError, match=f"several plans start with {first}"):
        named_plan(place.store, load(place.root), first)


def build_input(place: Place) -> None:
    place.build("sales", end="2024-01-02")


@pytest.mark.parametrize(
    ("happens", "names"),
    [
        (lambda place: place.land(8, "9\n"), "a file that is not read"),
        (lambda place: place.land(4, "9\n"), "a file after the range"),
        (lambda place: place.build("other"), "another dataset is built"),
        (
            lambda place: place.edit("def other(landed: pa.Table) -> pa.Table:\n    return landed", ADDED),
            "a new dataset",
        ),
        (lambda place: place.edit("def other(landed", "def others(landed"), "a dataset is gone"),
        (lambda place: place.configure("[concurrency]\ntotal = 1\n"), "a limit"),
        (lambda place: place.edit("    return landed", "    # A comment.\n    return landed"), "a comment"),
    ],
)
def test_what_is_not_in_the_plan_does_not_matter(place: Place, happens: Callable[[Place], object], names: str) -> None:
    stored = place.made()
    happens(place)
    redeemed = place.redeem(stored, now_ms=NOW_MS + DAY_MS - 1)
    assert isinstance(redeemed, Redeemed), names
    assert plan_to_json(redeemed.plan) == stored.body
    place.run(redeemed)
    assert standing_of(place, stored) is Standing.RUN


ADDED = """def other(landed: pa.Table) -> pa.Table:
    return landed


@headgate.dataset(partitions=DAYS)
def added(landed: pa.Table) -> pa.Table:
    return landed"""


def test_what_is_up_to_date_may_come_and_go_without_the_plan_being_usable_twice(place: Place) -> None:
    place.build("other")
    everything = Request()
    stored = place.made(everything)
    place.edit("def other(landed", "def _gone(landed")
    place.edit("@headgate.dataset(partitions=DAYS)\ndef _gone", "def _gone")
    redeemed = place.redeem(stored)
    assert isinstance(redeemed, Redeemed)
    assert make_plan(redeemed.world.snapshot, everything).considered < redeemed.plan.considered
    place.run(redeemed)
    assert standing_of(place, stored) is Standing.RUN


def test_a_changed_input_is_a_world_that_moved(place: Place) -> None:
    stored = place.made()
    place.land(2, "9\n")
    found = changed(place.redeem(stored))
    assert {name: change.inputs_moved for name, change in found.items()} == {"sales": True}


def test_a_head_that_moved_is_a_world_that_moved(place: Place) -> None:
    place.build("sales", "trend", end="2024-01-04")
    stored = place.made(replace(WORK, forced=True))
    # Another version of the same content counts, too: what would be replaced is another one than was looked at.
    place.land(2, "9\n")
    place.build("sales", end="2024-01-04")
    found = changed(place.redeem(stored))
    assert found["sales"].inputs_moved
    assert found["trend"].inputs_moved
    assert not len(found["sales"].added) + len(found["sales"].removed)


def test_what_was_built_meanwhile_is_named(place: Place) -> None:
    stored = place.made()
    place.build("sales", end="2024-01-03")
    moved = place.redeem(stored)
    found = changed(moved)
    assert found["sales"].removed.tolist() == [0, 1]
    assert found["sales"].added.tolist() == []
    assert isinstance(moved, Moved)
    assert (moved.then.size, moved.now.size, moved.guard_rails) == (6, 4, False)


def test_changed_code_is_a_world_that_moved(place: Place) -> None:
    stored = place.made()
    place.edit("    return sales", "    return sales.slice(0)")
    found = changed(place.redeem(stored))
    assert set(found) == {"trend"}
    assert found["trend"].code is not None


def test_another_mapping_is_a_world_that_moved(place: Place) -> None:
    stored = place.made()
    place.edit("trailing(2)", "trailing(3)")
    assert set(changed(place.redeem(stored))) == {"trend"}


@pytest.mark.parametrize(
    "text",
    [
        RULES,
        '[policies.max_partitions]\nlimit = 1_000\nverdict = "deny"\n',
        "[policies.protected]\nuntil = 2001-01-01\n",
    ],
)
def test_other_guard_rails_are_a_world_that_moved(place: Place, text: str) -> None:
    stored = place.made()
    place.configure(text)
    moved = place.redeem(stored)
    assert isinstance(moved, Moved)
    assert (moved.guard_rails, moved.changes) == (True, ())


@pytest.mark.parametrize("declared", ["idempotent=False", "snapshot_only=True"])
def test_guard_rails_in_the_code_count_of_what_is_planned(place: Place, declared: str) -> None:
    stored = place.made()
    other = "@headgate.dataset(partitions=DAYS)\ndef other("
    place.edit(other, f"@headgate.dataset(partitions=DAYS, {declared})\ndef other(")
    assert isinstance(place.redeem(stored), Redeemed)
    place.edit(
        "@headgate.dataset(partitions=DAYS)\ndef sales", f"@headgate.dataset(partitions=DAYS, {declared})\ndef sales"
    )
    moved = place.redeem(stored)
    assert isinstance(moved, Moved)
    assert moved.guard_rails


def test_a_window_that_has_become_the_past_is_not_built_of_what_shows_only_the_present(place: Place) -> None:
    place.configure('[plans]\nexpire = "72h"\n')
    place.edit(
        "@headgate.dataset(partitions=DAYS)\ndef sales",
        "@headgate.dataset(partitions=DAYS, snapshot_only=True)\ndef sales",
    )
    stored = place.made(Request(("sales",), start="2024-01-04"))
    assert isinstance(place.redeem(stored, now_ms=NOW_MS + DAY_MS // 2), Redeemed)
    with pytest.raises(ConflictError, match="does not hold any more: snapshot_only of sales"):
        place.redeem(stored, now_ms=NOW_MS + DAY_MS)


def test_a_plan_that_needs_approval_runs_after_it(place: Place) -> None:
    place.configure(FEW)
    stored = place.made()
    assert standing_of(place, stored) is Standing.PENDING
    refused(place, stored, "needs the approval of leads")
    for author in ("eve", "dan"):
        with pytest.raises(ConflictError, match=rf"{author} may not approve it: that is for leads \(bob, cid, ada\)"):
            place.decide(stored, author)
    assert standing_of(place, stored) is Standing.PENDING
    with pytest.raises(ConflictError, match="an approval needs a reason"):
        place.decide(stored, "bob", reason=" ")
    decided = place.decide(stored, "bob")
    assert [(one.author, one.is_approval, one.reason) for one in decided.decisions] == [("bob", True, "looked at it")]
    with pytest.raises(ConflictError, match="has all approvals"):
        place.decide(stored, "cid")
    place.run(place.redeem(stored))


def test_one_person_may_approve_the_own_plan_where_nothing_else_is_said(place: Place) -> None:
    place.configure(FEW)
    assert place.decide(place.made(author="ada"), "ada").decisions[0].author == "ada"


def test_where_two_persons_are_required_the_author_cannot_approve(place: Place) -> None:
    place.configure(FEW + "persons = 2\n")
    stored = place.made(author="ada")
    with pytest.raises(ConflictError, match="ada is the author of the plan, and max_partitions takes two persons"):
        place.decide(stored, "ada")
    refused(place, stored, "needs the approval of leads")
    place.decide(stored, "cid")
    assert isinstance(place.redeem(stored), Redeemed)


def test_two_groups_have_to_approve_each(place: Place) -> None:
    place.configure(
        FEW
        + '[policies.schema_change]\n[datasets.sales.policies.protected]\nverdict = "approval"\napprovers = "finance"\n'
    )
    stored = place.made()
    refused(place, stored, "needs the approval of leads and of finance")
    place.decide(stored, "bob")
    refused(place, stored, "needs the approval of finance")
    with pytest.raises(ConflictError, match="cid may not approve it"):
        place.decide(stored, "cid")
    place.decide(stored, "dan")
    assert isinstance(place.redeem(stored), Redeemed)


def test_what_was_rejected_stays_rejected(place: Place) -> None:
    place.configure(FEW)
    stored = place.made()
    place.decide(stored, "bob")
    place.decide(stored, "eve", yes=False, reason="not this month")
    refused(place, stored, "was rejected by eve: not this month")
    for yes in (True, False):
        with pytest.raises(ConflictError, match="was rejected by eve"):
            place.decide(stored, "bob", yes=yes)
    kinds = [(entry.kind, entry.author) for entry in place.store.journal_entries(kind="plan")]
    assert kinds == [("plan.approved", "bob"), ("plan.rejected", "eve")]


def test_a_rejection_counts_whatever_was_recorded_after_it(place: Place) -> None:
    place.configure(FEW)
    stored = place.made()
    no = place.decide(stored, "eve", yes=False).decisions[0]
    yes = replace(no, author="bob", is_approval=True)
    with place.store.transaction() as tx:
        # As two would that decide at the same moment.
        assert tx.decide_plan(stored.hash, yes)
    assert standing_of(place, stored) is Standing.REJECTED


def test_a_plan_that_needs_no_approval_can_be_rejected_but_not_approved(place: Place) -> None:
    stored = place.made()
    with pytest.raises(ConflictError, match="needs no approval"):
        place.decide(stored, "bob")
    place.decide(stored, "eve", yes=False)
    assert standing_of(place, stored) is Standing.REJECTED


def test_what_is_denied_is_not_approved_but_overridden_with_a_reason(place: Place) -> None:
    place.configure('[policies.max_partitions]\nlimit = 3\nverdict = "deny"\nbecause = "It is shared."\n')
    stored = place.made()
    assert standing_of(place, stored) is Standing.DENIED
    refused(place, stored, "is denied by the guard rails")
    with pytest.raises(ConflictError, match="denied by max_partitions, and no approval lifts that"):
        place.decide(stored, "bob")
    override = Override("max_partitions", "Sunday night", "ada")
    lifted = place.made(overrides=(override,), now_ms=NOW_MS + 1)
    assert isinstance(place.redeem(lifted), Redeemed)
    (entry,) = place.store.journal_entries(kind="plan.override")
    assert (entry.author, entry.reason) == ("ada", "Sunday night")
    assert json.loads(entry.body) == {"plan": lifted.hash, "rule": "max_partitions"}
    (finding,) = json.loads(lifted.verdict)["findings"]
    assert (finding["overridden_by"], finding["overridden_because"]) == ("ada", "Sunday night")
    assert finding["because"] == "It is shared."
    with pytest.raises(UsageError, match="retention did not object"):
        place.made(overrides=(Override("retention", "x", "ada"),))


def test_an_overridden_rule_with_approvers_still_asks_for_them(place: Place) -> None:
    place.configure(FEW + 'verdict = "deny"\n')
    stored = place.made(overrides=(Override("max_partitions", "Sunday night", "ada"),))
    refused(place, stored, "needs the approval of leads")
    place.decide(stored, "bob")
    assert isinstance(place.redeem(stored), Redeemed)


def test_the_same_plan_is_kept_once(place: Place) -> None:
    first = place.made()
    assert place.made(author="eve") == first
    assert [plan.author for plan in place.store.plans()] == ["ada"]


def test_the_hash_names_what_is_built(place: Place) -> None:
    stored = place.made()
    assert stored.hash == plan_hash(stored.body)
    plans: list[Plan] = []
    for request in (WORK, replace(WORK, forced=True), replace(WORK, end="2024-01-03")):
        plans.append(make_plan(look(load(place.root), place.store, NOW_MS).snapshot, request))
    assert [plan_hash(plan_to_json(plan)) == stored.hash for plan in plans] == [True, False, False]
