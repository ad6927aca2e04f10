"""Commands that run nothing, as a user calls them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("pipeline", None)


def call(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.stderr
    assert done.stderr == ""
    return done


def data(*arguments: str, code: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", code=code).stdout)


@pytest.fixture
def shop(tmp_path: Path) -> str:
    root = tmp_path / "shop"
    call("init", str(root))
    return str(root)


def test_init_writes_a_project_that_holds_and_says_what_next(tmp_path: Path) -> None:
    done = call("-C", str(tmp_path), "init", "new shop")
    assert {"headgate.toml", "pipeline.py", "README.md", ".gitignore"} <= {
        path.name for path in (tmp_path / "new shop").iterdir()
    }
    assert f"headgate -C '{tmp_path / 'new shop'}' plan" in done.stdout
    assert call("-C", str(tmp_path / "new shop"), "check").stdout.startswith("project ok: 1 source, 3 datasets")


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("mine")
    done = CliRunner().invoke(main, ["-C", str(tmp_path), "init"])
    assert done.exit_code == 2
    assert str(tmp_path / "pipeline.py") in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.py"]
    assert (tmp_path / "pipeline.py").read_text() == "mine"


def test_init_into_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(main, ["init", str(tmp_path / "file")])
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr


def test_check_as_json(shop: str) -> None:
    assert data("-C", shop, "check") == {"ok": True, "problems": [], "state": None, "orphans": [], "next": []}
    state = {"heads": 0, "files": 0, "bytes": 0}
    expected = {"ok": True, "problems": [], "state": state, "orphans": [], "next": []}
    assert data("-C", shop, "check", "--state") == expected


def test_status_as_json_is_a_list_of_runs(shop: str) -> None:
    assert data("-C", shop, "status") == {"runs": [], "breakers": [], "stuck_mirrors": {}, "holds": []}
    assert f"headgate -C {shop} plan" in call("-C", shop, "status").stdout


def test_graph_names_every_dataset_and_edge(shop: str) -> None:
    shown = call("-C", shop, "graph").stdout
    for part in (
        "landed_orders  source, 14 partitions",
        "revenue_weekly  dataset, 2",
        "reads revenue  overlapping windows",
    ):
        assert part in shown
    found = data("-C", shop, "graph")
    assert {node["name"] for node in found["datasets"]} == {"landed_orders", "orders", "revenue", "revenue_weekly"}
    assert {(edge["dataset"], edge["reads"]) for edge in found["edges"]} == {
        ("orders", "landed_orders"),
        ("revenue", "orders"),
        ("revenue_weekly", "revenue"),
    }


def test_plan_says_what_and_why(shop: str) -> None:
    shown = call("-C", shop, "plan", "+revenue", "--start", "2024-01-02", "--end", "2024-01-04").stdout
    assert shown.splitlines()[0] == "4 partitions to build"
    assert "2024-01-02 to 2024-01-03" in shown
    assert "missing" in shown
    found = data("-C", shop, "plan", "--keys", "revenue_weekly")
    assert (found["partitions"], found["blocked"], found["considered"]) == (2, 2, 2)
    (reason,) = found["datasets"][0]["reasons"]
    assert reason["keys"] == ["2024-01-01", "2024-01-08"]
    assert reason["ranges"] == [{"first": "2024-01-01", "last": "2024-01-08", "count": 2}]
    assert "needs revenue/2024-01-01" in found["problems"][0]["text"]


def test_plan_of_an_empty_range_is_nothing(shop: str) -> None:
    shown = call("-C", shop, "plan", "orders", "--start", "2030-01-01").stdout
    assert shown == ("nothing to do: no partition is in this range, they go from 2024-01-01 to 2024-01-14 (orders)\n")
    found = data("-C", shop, "plan", "--start", "2030-01-01")
    assert (found["partitions"], found["id"], found["expires_ms"], found["standing"]) == (0, None, None, None)
    assert "go from 2024-01-01 to 2024-01-08 (revenue_weekly)" in found["empty"]
    assert data("-C", shop, "plan", "list") == {"plans": []}


def test_what_cannot_be_built_is_named_and_nothing_is_started(shop: str, tmp_path: Path) -> None:
    for path in (tmp_path / "shop" / "landing").iterdir():
        path.unlink()
    done = call("-C", shop, "backfill", "--reason", "x", code=1)
    assert "orders/2024-01-01 needs landed_orders/2024-01-01: landing/2024-01-01.csv" in done.stdout
    assert "nothing was started: 30 partitions cannot be built" in done.stdout
    assert not (tmp_path / "shop" / ".headgate").exists()


def test_explain_before_anything_was_built(shop: str) -> None:
    shown = call("-C", shop, "explain", "revenue_weekly", "2024-01-08").stdout
    assert shown.startswith("revenue_weekly/2024-01-08 is missing: no version has been published\n")
    assert "revenue 2024-01-08 to 2024-01-14 (7), overlapping windows" in shown
    found = data("-C", shop, "explain", "landed_orders", "2024-01-08")
    assert (found["state"], found["kind"]) == ("present", "source")


def test_history_before_anything_was_built(shop: str) -> None:
    assert call("-C", shop, "history", "orders").stdout == "nothing has been published of orders yet\n"
    assert data("-C", shop, "history", "orders", "2024-01-02") == {"versions": [], "rollbacks": []}


def test_query_without_datasets(shop: str) -> None:
    assert data("-C", shop, "query", "select 1 as a, 'x' as b") == [{"a": 1, "b": "x"}]
    assert data("-C", shop, "query", "select i from range(5) t(i)", "--limit", "2") == [{"i": 0}, {"i": 1}]
    assert data("-C", shop, "query", "select 1 as a where false") == []
    shown = call("-C", shop, "query", "select i, 'x' as t from range(60) t(i)").stdout
    assert shown.endswith("the first 50 rows; --limit shows more\n")
    wide = call("-C", shop, "query", "select repeat('y', 100) as y, [1, null] as l, null as n").stdout
    assert "y" * 57 + "..." in wide
    assert "[1, null]" in wide


def test_next_steps_name_the_folder_that_followed_the_command(shop: str) -> None:
    assert f"headgate -C {shop} plan" in call("status", "-C", shop).stdout
    assert data("query", "select 1 as a", "-C", shop) == [{"a": 1}]


def test_plan_tells_what_lacks_an_input_from_what_depends_on_it(shop: str, tmp_path: Path) -> None:
    (tmp_path / "shop" / "landing" / "2024-01-03.csv").unlink()
    shown = call("-C", shop, "plan").stdout
    assert "3 of them cannot be built: 1 lacks an input, 2 more depend on it\n" in shown
    found = data("-C", shop, "plan")
    assert (found["blocked"], found["lacking"]) == (3, 1)
    assert (
        "1 of them cannot be built: 1 lacks an input\n"
        in call("-C", shop, "plan", "orders", "--start", "2024-01-03", "--end", "2024-01-05").stdout
    )


def test_one_row_is_not_rows(shop: str) -> None:
    shown = call("-C", shop, "query", "select i from range(9) t(i)", "--limit", "1").stdout
    assert shown.endswith("the first 1 row; --limit shows more\n")
