from __future__ import annotations

import sys
from importlib import resources

import polars as pl
import pytest

import headgate
from headgate.model.version import File
from headgate.project.landing import observe
from headgate.project.load import load
from headgate.project.seen_files import SeenFiles

FAR = 4_000_000_000_000


@pytest.fixture
def project(tmp_path):
    path = sys.path.copy()
    with resources.as_file(resources.files("headgate") / "cli" / "starter") as starter:
        for file in starter.rglob("*"):
            if file.is_file():
                target = tmp_path / file.relative_to(starter)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.read_bytes())
    yield load(tmp_path)
    sys.path[:] = path
    del sys.modules["pipeline"]


def test_the_starter_has_three_datasets_and_every_file_of_its_source(project):
    assert list(project.datasets) == ["orders", "revenue", "revenue_weekly"]
    source = project.sources["landed_orders"]
    grid = source.partitioning.grid(FAR)
    found = list(observe(project.root, source, grid, range(grid.size), SeenFiles(project.root / "seen")))
    assert len(found) == 14
    assert all(isinstance(file, File) for _, file in found)
    assert {".gitignore", "README.md"} <= {file.name for file in project.root.iterdir()}


def test_the_functions_of_the_starter_agree_with_each_other(project):
    pipeline = sys.modules["pipeline"]
    days = []
    for file in sorted((project.root / "landing").iterdir())[:7]:
        orders = pipeline.orders(pl.scan_csv(file))
        assert not orders.collect()["order_id"].is_duplicated().any()
        days.append(pipeline.revenue(headgate.Context("revenue", file.stem), orders))
    weekly = pipeline.revenue_weekly(headgate.Context("revenue_weekly", "2024-01-01"), pl.concat(days)).collect()
    daily = pl.concat(days).collect()
    assert sorted(weekly["country"]) == ["DE", "FR", "NL"]
    assert weekly["orders"].sum() == daily["orders"].sum() > 35
    assert weekly["revenue_eur"].sum() == pytest.approx(daily["revenue_eur"].sum())
