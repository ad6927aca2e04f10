"""The flights year from landed files: `headgate backfill` beside a hand-written script that keeps no state."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import polars as pl

from bench.headgate_side import HEADGATE
from bench.measure import Figure, Figures, by_turns

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "flights"
SCRIPT = Path(__file__).with_name("flights_script.py")
DATASETS = (
    "flights",
    "weather",
    "flights_weather",
    "carrier_delays",
    "carrier_delays_monthly",
    "origin_trend",
    "airlines",
    "airports",
)


class Sides:
    """Both sides, on the same landed files; each time from nothing.

    Each time in a new folder: ext4 is slow to make files where others have just been deleted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.landing = folder / "landing"
        self.turns = 0
        _timed(sys.executable, EXAMPLE / "land.py", self.landing)

    def headgate_s(self) -> float:
        self.turns += 1
        self.project = self.folder / f"project-{self.turns}"
        self.project.mkdir()
        for name in ("pipeline.py", "headgate.toml"):
            shutil.copy(EXAMPLE / name, self.project)
        (self.project / "landing").symlink_to(self.landing)
        return _timed(HEADGATE, "-C", self.project, "backfill", "--yes", "--reason", "benchmark")

    def script_s(self) -> float:
        self.out = self.folder / f"out-{self.turns}"
        return _timed(sys.executable, SCRIPT, self.landing, self.out)

    def check(self) -> None:
        """Refuse to compare sides that did not make the same rows."""
        for dataset in DATASETS:
            ours, theirs = (
                pl.scan_parquet(folder / dataset / "**" / "*.parquet").select(pl.len()).collect().item()
                for folder in (self.project / "data", self.out)
            )
            if ours != theirs:
                raise SystemExit(f"{dataset}: Headgate made {ours} rows, the script {theirs}")


def _timed(*command: str | Path) -> float:
    started = perf_counter()
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    elapsed = perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with exit code {done.returncode}\n{done.stdout}")
    return elapsed


def run() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(Path(folder))
        headgate, script = by_turns(5, sides.headgate_s, sides.script_s)
        sides.check()
    meaning = f"headgate backfill, whole process ({headgate:.2f} s), by bench/flights_script.py ({script:.2f} s)"
    return {"ratio_to_script": Figure(headgate / script, meaning, "at most 1.3")}
