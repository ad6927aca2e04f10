from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.errors import UsageError
from headgate.model.run import Attempt, AttemptState, ErrorClass, Failure, RunKind
from headgate.model.version import File
from headgate.store.records import Candidate
from headgate.views.cause import bad_code, bad_file, bad_run, bad_version
from headgate.views.impact import impact
from headgate.views.lineage import Ask, Direction, lineage

if TYPE_CHECKING:
    from view_scene import Shop


@pytest.fixture
def built(shop: Shop):
    assert shop.backfill().state == "succeeded"
    store = shop.store()
    yield store
    store.close()


def head(store, dataset: str, key: str) -> int:
    (version,) = store.heads(dataset, [key])
    return version.id


def places(view) -> list[str]:
    return [f"{node.distance} {node.dataset}/{node.key}" for node in view.nodes]


def test_up_to_the_files(built):
    view = lineage(built, Ask("trend", "2024-01-03"))
    assert places(view) == [
        "0 trend/2024-01-03",
        "1 sales/2024-01-02",
        "1 sales/2024-01-03",
        "2 landed/2024-01-02",
        "2 landed/2024-01-03",
    ]
    assert view.root.version == view.asked == head(built, "trend", "2024-01-03")
    files = [node.files[0].path for node in view.nodes if not node.run]
    assert files == ["landing/2024-01-02.csv", "landing/2024-01-03.csv"]
    ids = {node.id for node in view.nodes}
    assert {edge.made for edge in view.edges} | {edge.source for edge in view.edges} == ids
    assert len(view.edges) == 4
    assert places(lineage(built, Ask("trend", "2024-01-03", depth=1))) == places(view)[:3]


def test_down_to_what_was_made(built):
    view = lineage(built, Ask("landed", "2024-01-05", direction=Direction.DOWN))
    assert places(view) == [
        "0 landed/2024-01-05",
        "1 sales/2024-01-05",
        "2 trend/2024-01-05",
        "3 total/all",
        "4 told/all",
    ]
    assert places(lineage(built, Ask("told", "all", direction=Direction.DOWN))) == ["0 told/all"]


def test_versions_that_are_not_there_are_named_with_those_that_are(shop, built):
    day = head(built, "sales", "2024-01-03")
    with pytest.raises(UsageError, match=f"version {day} is one of sales/2024-01-03, not of sales/2024-01-02"):
        lineage(built, Ask("sales", "2024-01-02", version=day))
    with pytest.raises(UsageError, match="no version 999 of sales/2024-01-03") as raised:
        lineage(built, Ask("sales", "2024-01-03", version=999))
    assert raised.value.hint == f"Its newest versions: {day}."
    with pytest.raises(UsageError, match="sales/2024-01-09 has no head"):
        lineage(built, Ask("sales", "2024-01-09"))


def of(store, shop: Shop, cause):
    found, request = impact(store, shop.snapshot(store), cause)
    return found, request, {part.name: (part.heads, part.curable, part.former) for part in found.datasets}


def test_a_bad_file_taints_what_rests_on_it_and_a_better_one_cures_it(shop, built):
    cause = bad_file(built, shop.root, "2024-01-03.csv")
    found, request, counts = of(built, shop, cause)
    tainted = {"landed": (1, 0, 0), "sales": (1, 0, 0), "trend": (2, 0, 0), "total": (1, 0, 0), "told": (1, 0, 0)}
    assert counts == tainted
    assert (found.heads, found.curable, request.only) == (5, 0, ())
    assert [stay.why for part in found.datasets for stay in part.staying] == [
        "would rest on the same file again, as it is"
    ] * 4
    shop.land(3, "a,7\n")
    found, request, counts = of(built, shop, cause)
    assert counts == {name: (heads, heads if name != "landed" else 0, 0) for name, (heads, _, _) in tainted.items()}
    assert [(one.dataset, one.runs) for one in request.only] == [
        ("sales", ((2, 3),)),
        ("told", ((0, 1),)),
        ("total", ((0, 1),)),
        ("trend", ((2, 4),)),
    ]
    assert (request.kind, request.forced, request.cause) == (RunKind.REPAIR, True, "landing/2024-01-03.csv")
    steps = {part.name: (part.first_step, part.last_step) for part in found.datasets}
    assert steps == {"landed": (0, 0), "sales": (1, 1), "trend": (2, 2), "total": (3, 3), "told": (4, 4)}


def test_what_was_rebuilt_from_a_better_file_is_tainted_no_more(shop, built):
    bad = bad_file(built, shop.root, "landing/2024-01-03.csv")
    shop.land(3, "a,7\n")
    shop.backfill()
    store = shop.store()
    try:
        # `told` has no content, so it is made again and again; the number of rows in `total` is the same as before.
        found, _, counts = of(store, shop, bad)
        assert {name: heads for name, (heads, _, _) in counts.items() if heads} == {}
        assert found.former > 0
        both = bad_file(store, shop.root, "landing/2024-01-03.csv")
        assert len(both.versions) == 2
        (old,) = bad.files
        again = bad_file(store, shop.root, "landing/2024-01-03.csv", hash_prefix=old.hash.partition(":")[2][:8])
        assert again.versions == bad.versions
    finally:
        store.close()


def test_code_taints_what_it_made_until_it_is_changed(shop, built):
    code = next(iter(built.checkpoints("trend", limit=1))).code
    cause = bad_code(built, code[:10])
    found, _, counts = of(built, shop, cause)
    assert counts == {"trend": (5, 0, 0), "total": (1, 0, 0), "told": (1, 0, 0)}
    assert found.cause.text == f"code {code[:12]} of trend"
    shop.edit('("value", "sum")', '("value", "max")')
    found, request, counts = of(built, shop, cause)
    assert counts == {"trend": (5, 5, 0), "total": (1, 1, 0), "told": (1, 1, 0)}
    assert [one.dataset for one in request.only] == ["told", "total", "trend"]


def test_a_dataset_that_is_gone_cannot_be_cured(shop, built):
    cause = bad_file(built, shop.root, "2024-01-05.csv")
    shop.land(5, "a,7\n")
    shop.edit("\n\n@headgate.dataset\ndef told(total) -> None:\n    return None\n", "\n")
    found, _, counts = of(built, shop, cause)
    assert counts["told"] == (1, 0, 0)
    assert [stay.why for stay in found.datasets[-1].staying] == ["is not in the project as it is now"]
    assert found.curable == found.heads - 1


def test_a_run_and_a_version_are_causes_too(shop, built):
    (run,) = built.runs()
    _, request, counts = of(built, shop, bad_run(built, run.id[:9]))
    assert counts == {"sales": (5, 5, 0), "trend": (5, 5, 0), "total": (1, 1, 0), "told": (1, 1, 0)}
    _, request, counts = of(built, shop, bad_version(built, head(built, "trend", "2024-01-02")))
    assert counts == {"trend": (1, 1, 0), "total": (1, 1, 0), "told": (1, 1, 0)}
    assert request.cause == f"version {head(built, 'trend', '2024-01-02')} of trend/2024-01-02"
    nothing = bad_run(built, "latest", times=(0, 1))
    assert of(built, shop, nothing)[2] == {}


def test_causes_that_are_not_there_or_mean_several_are_refused_with_the_nearest(shop, built):
    with pytest.raises(UsageError, match=r"no source has ever had a file '2024-01-04\.cvs'") as raised:
        bad_file(built, shop.root, "2024-01-04.cvs")
    assert (raised.value.hint or "").startswith("Did you mean landing/2024-01-04.csv")
    with pytest.raises(UsageError, match=r"no content of landing/2024-01-04\.csv has a hash"):
        bad_file(built, shop.root, "2024-01-04.csv", hash_prefix="zz")
    with pytest.raises(UsageError, match="was recorded in that time"):
        bad_file(built, shop.root, "2024-01-04.csv", times=(0, 1))
    with pytest.raises(UsageError, match="nothing was made by code 'zz'") as raised:
        bad_code(built, "zz")
    assert "of trend" in (raised.value.hint or "")
    with pytest.raises(UsageError, match="nothing was made by code ''"):
        bad_code(built, "")
    with pytest.raises(UsageError, match="there is no version 999"):
        bad_version(built, 999)
    with pytest.raises(UsageError, match="run"):
        bad_run(built, "nope")
    absolute = bad_file(built, shop.root, str(shop.root.resolve() / "landing" / "2024-01-04.csv"))
    assert absolute.text == "landing/2024-01-04.csv"


def test_what_gates_have_refused_has_its_lineage_too(built):
    source, parent = head(built, "landed", "2024-01-03"), head(built, "sales", "2024-01-03")
    (run,) = built.runs()
    number = built.next_id()
    attempt = Attempt(number, run.id, "trend", "2024-01-03", 2, AttemptState.RUNNING, "staging/x.parquet", None, 1)
    made = ((File("staging/x.parquet", 1, 9, "sha256:ab"),), 1, 9, "h@1:1:1", None, "c0de", None, (parent,), 0)
    refused = Candidate(number, run.id, "trend", "2024-01-03", *made, None, None, 1, parameters='{"n":1}')
    with built.transaction() as tx:
        tx.start_attempts([attempt])
        tx.quarantine([(refused, Failure(ErrorClass.DATA, "not so"))], author="ada", now_ms=2)
    view = lineage(built, Ask("trend", "2024-01-03", version=number))
    assert (view.root.version, view.root.state, view.root.parameters) == (number, "quarantined", {"n": 1})
    assert [node.version for node in view.nodes] == [number, parent, source]
    assert places(lineage(built, Ask("trend", "2024-01-03", version=number, depth=1))) == [
        "0 trend/2024-01-03",
        "1 sales/2024-01-03",
    ]
    down = lineage(built, Ask("trend", "2024-01-03", version=number, direction=Direction.DOWN))
    assert places(down) == ["0 trend/2024-01-03"]
    with pytest.raises(UsageError, match="is one of trend/2024-01-03, not of sales/2024-01-03"):
        lineage(built, Ask("sales", "2024-01-03", version=number))
