"""What is light must stay light: looked at in a process of its own, by what is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("numpy", "pydantic", "polars", "pyarrow", "duckdb", "pandas", "asyncio", "rich", "msgspec", "multiprocessing")

PROBE = """
import sys
from headgate.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0, end.code
print(*[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
print(*[name for name in sys.modules if name.startswith("headgate.cli.")], file=sys.stderr)
"""


def imported(*arguments: str) -> tuple[str, list[str]]:
    command = [sys.executable, "-c", PROBE.format(heavy=HEAVY), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    heavy, cli = done.stderr.splitlines()
    return heavy, cli.split()


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "headgate.toml").write_text("")
    return tmp_path


def test_help_imports_no_command_and_nothing_heavy() -> None:
    assert imported("--help") == ("", ["headgate.cli.main"])


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json")])
def test_status_imports_nothing_heavy(empty: Path, arguments: tuple[str, ...]) -> None:
    heavy, cli = imported("-C", str(empty), *arguments)
    assert heavy == ""
    assert set(cli) == {f"headgate.cli.{name}" for name in ("main", "status", "options", "text")}
