from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CONFIG = '[project]\nmodules = ["repaired"]\n[workers]\nprocesses = 1\n'
PIPELINE = """
import pyarrow as pa
import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-04")

@headgate.dataset(partitions=DAYS)
def numbers(ctx: headgate.Context) -> pa.Table:
    ctx.logger.info("counting")
    return pa.table({"n": [1, 2, 3]})

@headgate.dataset(partitions=DAYS)
def objects(numbers):
    import polars as pl
    return pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)})
"""


def headgate(root: Path, *arguments: str) -> Result:
    from click.testing import CliRunner

    from headgate.cli.main import main

    return CliRunner().invoke(main, ["-C", str(root), *arguments])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "headgate.toml").write_text(CONFIG)
    (tmp_path / "repaired.py").write_text(PIPELINE)
    done = headgate(tmp_path, "backfill", "numbers", "--yes", "--reason", "first")
    assert done.exit_code == 0, done.output
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "harm", [lambda file: file.unlink(), lambda file: file.write_bytes(b"x" * file.stat().st_size)]
)
def test_rebuilding_repairs_a_lost_or_damaged_file_though_its_content_is_the_same(root: Path, harm) -> None:
    harm(next((root / "data" / "numbers").rglob("2024-01-02*.parquet")))
    assert headgate(root, "check", "--state").exit_code == 1
    arguments = ("backfill", "numbers", "--start", "2024-01-02", "--end", "2024-01-03", "--all", "--yes")
    repaired = headgate(root, *arguments, "--reason", "repair")
    assert repaired.exit_code == 0, repaired.output
    assert headgate(root, "check", "--state").exit_code == 0
    rows = json.loads(headgate(root, "query", "select sum(n) s from numbers", "--json").stdout)
    assert rows == [{"s": 18}]


@pytest.mark.slow
def test_what_a_function_logs_is_kept_with_its_partition(root: Path) -> None:
    log = (root / ".headgate" / "workers.log").read_text()
    assert "INFO headgate.numbers 2024-01-02 a" in log


@pytest.mark.slow
def test_python_objects_are_refused_by_name(root: Path) -> None:
    failed = headgate(root, "backfill", "objects", "--yes", "--reason", "objects")
    assert failed.exit_code == 1
    assert "column o holds Python objects" in failed.output
