from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import headgate


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_headgate_imports_nothing_heavy():
    heavy = {"numpy", "pydantic", "polars", "pyarrow", "asyncio", "click", "duckdb", "logging", "zoneinfo"}
    assert not heavy & loaded_after("import headgate")


def test_declaring_imports_no_library_for_data():
    code = "import headgate\n@headgate.dataset(partitions=headgate.daily('2024-01-01'))\ndef f(ctx): pass"
    assert not {"pydantic", "polars", "pyarrow", "asyncio", "click", "duckdb"} & loaded_after(code)


@pytest.mark.parametrize("name", headgate.__all__)
def test_every_public_name_is_there(name):
    assert getattr(headgate, name) is not None
    assert name in dir(headgate)


def test_the_table_of_names_is_all_there_is():
    assert set(headgate._MODULES) | {"__version__"} == set(headgate.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'headgate' has no attribute 'datasett'"):
        headgate.datasett  # noqa: B018


def test_the_version_is_that_of_the_package():
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert headgate.__version__ == pyproject["project"]["version"]
