from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "polars", "pyarrow", "duckdb", "pandas", "pydantic")


@pytest.mark.parametrize(
    "module",
    [
        "headgate.executors.local",
        "headgate.executors.inline",
        "headgate.worker.__main__",
        "headgate.worker.loop",
        "headgate.worker.io_loop",
    ],
)
def test_imports_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded == "[]\n"
