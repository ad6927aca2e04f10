from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from headgate.errors import UsageError
from headgate.model.plan import Request
from headgate.planning.planner import make_plan
from headgate.views.explain import Moved
from headgate.views.ranges import KeyRange
from headgate.views.why import RootCause, WhyView, plan_why

if TYPE_CHECKING:
    from view_scene import Shop


def why(shop: Shop, dataset: str, key: str, request: Request | None = None) -> WhyView:
    store = shop.store()
    try:
        snapshot = shop.snapshot(store)
        return plan_why(store, snapshot, make_plan(snapshot, request or Request()), dataset, key)
    finally:
        store.close()


def test_what_was_never_built_is_its_own_cause(shop: Shop) -> None:
    found = why(shop, "trend", "2024-01-02")
    assert found.sentence == "trend/2024-01-02 is in the plan because it has no version yet"
    assert found.roots == (RootCause("trend", "missing", "missing", 1, (KeyRange("2024-01-02", "2024-01-02", 1),)),)


def test_a_changed_file_is_followed_to_all_that_is_made_from_it(shop: Shop) -> None:
    shop.backfill()
    store = shop.store()
    (recorded,) = store.heads("landed", ["2024-01-04"])
    store.close()
    shop.land(4, "a,100\n")
    shop.land(5, "a,100\n")
    found = why(shop, "told", "all")
    assert found.sentence == (
        "told/all is in the plan because its input total/all is in the plan, "
        "because its input trend/2024-01-04 is in the plan (as is 1 more), "
        "because its input sales/2024-01-04 is in the plan, "
        f"because its input landed/2024-01-04 is late: the file changed after version {recorded.id}"
    )
    assert [(step.dataset, step.key, step.why) for step in found.steps] == [
        ("told", "all", "upstream"),
        ("total", "all", "upstream"),
        ("trend", "2024-01-04", "upstream"),
        ("sales", "2024-01-04", "late"),
    ]
    assert found.steps[-1].moved == (Moved("landed", "2024-01-04", recorded.id, 0),)
    assert found.roots == (
        RootCause(
            "sales", "late", "late data: a file came or changed since", 2, (KeyRange("2024-01-04", "2024-01-05", 2),)
        ),
    )


def test_late_data_stays_late_once_it_is_recorded(shop: Shop) -> None:
    shop.backfill()
    shop.land(2, "a,100\n")
    shop.backfill("trend")  # records the file, and has nothing to build
    found = why(shop, "sales", "2024-01-02")
    assert re.search(r"landed/2024-01-02 is late: the file changed after version \d+$", found.sentence)


def test_a_newer_input_says_from_which_version_to_which(shop: Shop) -> None:
    shop.backfill()
    shop.land(2, "a,100\n")
    shop.backfill("sales")
    found = why(shop, "trend", "2024-01-02")
    (step,) = found.steps
    (moved,) = step.moved
    assert step.why == "inputs"
    assert step.text == f"its input sales/2024-01-02 moved from version {moved.before} to {moved.now}"


def test_another_mapping_is_told(shop: Shop) -> None:
    shop.backfill("sales", "trend")
    shop.edit("trailing(2)", "trailing(1)")
    found = why(shop, "trend", "2024-01-03")
    assert re.search(r"made from version \d+ of sales/2024-01-02, which is no input any more$", found.sentence)


def test_changed_code_says_from_what_to_what(shop: Shop) -> None:
    shop.backfill("sales")
    before = shop.project().datasets["sales"].code
    shop.edit("return landed\n", "return landed.slice(0)\n")
    after = shop.project().datasets["sales"].code
    found = why(shop, "sales", "2024-01-02")
    assert found.steps[0].text == f"its code changed from {before[:12]} to {after[:12]}"
    assert found.steps[0].code == (before, after)


def test_a_failure_is_told_with_its_run_until_it_is_built(shop: Shop) -> None:
    shop.land(3, "bad,1\n")
    run = shop.backfill().run
    found = why(shop, "sales", "2024-01-03")
    assert found.steps[0].why == "failed"
    assert found.steps[0].text.startswith(f"its last attempt failed in run {run}: ")
    assert "a bad row" in found.steps[0].text
    # Blocked by it, never tried.
    assert why(shop, "trend", "2024-01-03").steps[0].why == "missing"
    shop.land(3, "good,1\n")
    shop.backfill()
    assert why(shop, "sales", "2024-01-03").absent == "it is up to date"


def test_what_is_not_in_the_plan_says_why_not(shop: Shop) -> None:
    shop.backfill()
    assert why(shop, "sales", "2024-01-03").sentence == "sales/2024-01-03 is not in the plan: it is up to date"
    absent = why(shop, "sales", "2024-01-03", Request(("trend",), forced=True)).absent
    assert absent == "it is not in the selection and range that were asked for"
    forced = why(shop, "sales", "2024-01-03", Request(forced=True))
    assert forced.steps[0].text == "everything that was asked for is rebuilt (--all)"


def test_unknown_names_are_refused(shop: Shop) -> None:
    with pytest.raises(UsageError, match="there is no dataset 'landed'"):
        why(shop, "landed", "2024-01-03")
    with pytest.raises(UsageError, match="sales has no partition '2025-01-03'"):
        why(shop, "sales", "2025-01-03")


def test_what_was_built_again_without_a_change_was_made_from_the_newer_file(shop: Shop) -> None:
    shop.backfill()
    shop.land(5, "b,10\na,5\n")  # the same rows in another order
    shop.backfill()
    store = shop.store()
    heads = shop.snapshot(store).heads["sales"]
    (recorded,) = store.heads("landed", ["2024-01-05"])
    store.close()
    assert heads.attempt is not None
    assert [later > version for later, version in zip(heads.attempt, heads.version, strict=True)] == [False] * 4 + [
        True
    ]
    shop.land(5, "c,1\n")
    assert why(shop, "sales", "2024-01-05").sentence.endswith(f"the file changed after version {recorded.id}")


def test_a_file_that_is_gone_and_may_be_missing_is_named(shop: Shop) -> None:
    shop.edit("@headgate.dataset(partitions=DAYS)\n", "@headgate.dataset(partitions=DAYS, inputs=MAY_LACK)\n")
    shop.edit(
        'tz="Europe/Berlin")\n',
        'tz="Europe/Berlin")\nMAY_LACK = {"landed": headgate.input("landed", allow_missing=True)}\n',
    )
    shop.backfill()
    store = shop.store()
    (recorded,) = store.heads("landed", ["2024-01-04"])
    store.close()
    (shop.root / "landing" / "2024-01-04.csv").unlink()
    found = why(shop, "sales", "2024-01-04")
    assert found.sentence == (
        "sales/2024-01-04 is in the plan because "
        f"it was made from version {recorded.id} of landed/2024-01-04, which is no input any more"
    )
    assert found.steps[0].moved == (Moved("landed", "2024-01-04", recorded.id, None),)
