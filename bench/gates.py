"""What looking at results costs: the flights year with gates and checksums, beside the same year with neither.

Both sides are examples/flights with lines added at the end of its pipeline: gates on one, on the other what takes the
content checksum and the hash of the file out of staging. Neither is a switch that Headgate has. Datasets have the gates
that somebody careful declares: keys that are there and are not repeated, values in their bounds, and no flight lost on
the way from one dataset to the next; six for flights, three or four for what is built from it, one for airlines and
airports.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.headgate_side import HEADGATE
from bench.measure import Figure, Figures, by_turns

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "flights"

GATED = """
KEYS = [hg.not_null("year", "month", "day"), hg.row_count(min=1)]
GATES = {
    flights: [
        hg.not_null("year", "month", "day", "origin", "dest", "carrier", "flight", "time_hour"),
        hg.row_count(min=1),
        hg.unique("carrier", "flight", "origin", "time_hour", "sched_dep_time"),
        hg.accepted_values("origin", ["EWR", "JFK", "LGA"]),
        hg.in_range("dep_delay", -120, 1500, severity="warn"),
        hg.sums_match("landed_flights"),
    ],
    weather: [hg.not_null("origin", "time_hour"), hg.unique("origin", "time_hour"), hg.in_range("humid", 0, 100)],
    flights_weather: [*KEYS, hg.sums_match("flights"), hg.sums_match("flights", "distance", of="distance")],
    carrier_delays: [*KEYS, hg.unique("carrier"), hg.sums_match("flights", "flights")],
    carrier_delays_monthly: [hg.not_null("carrier"), hg.unique("carrier"), hg.sums_match("flights", "flights")],
    origin_trend: [*KEYS, hg.unique("origin"), hg.in_range("days", 1, 7)],
    airlines: [hg.unique("carrier")],
    airports: [hg.unique("faa")],
}
for function, gates in GATES.items():
    object.__setattr__(function.__headgate__, "gates", (*gates,))
"""
UNCHECKED = """
import sys

for function in (flights, weather, flights_weather, carrier_delays, carrier_delays_monthly, origin_trend):
    object.__setattr__(function.__headgate__, "gates", ())
if "headgate.worker.attempt" in sys.modules:
    from types import SimpleNamespace

    from headgate.tables import staging

    class Unchecked:
        rows = 0

        def update(self, data):
            self.rows += getattr(data, "num_rows", 0)

        def text(self):
            return ""

        hexdigest = text

    staging.ContentChecksum = Unchecked
    staging.hashlib = SimpleNamespace(sha256=Unchecked, file_digest=lambda file, name: Unchecked())
"""


class Sides:
    """Both sides, on the same landed files; each time from nothing, in a new folder."""

    def __init__(self, folder: Path, end: str | None) -> None:
        self.folder = folder
        self.landing = folder / "landing"
        self.span: list[str] = ["--end", end] if end else []
        self.turns = 0
        self.cpu_s: dict[str, list[float]] = {GATED: [], UNCHECKED: []}
        subprocess.run([sys.executable, EXAMPLE / "land.py", self.landing], check=True, stdout=subprocess.DEVNULL)

    def gated_s(self) -> float:
        return self._backfill_s(GATED)

    def unchecked_s(self) -> float:
        return self._backfill_s(UNCHECKED)

    def _backfill_s(self, added: str) -> float:
        self.turns += 1
        project = self.folder / f"project-{self.turns}"
        project.mkdir()
        shutil.copy(EXAMPLE / "headgate.toml", project)
        (project / "pipeline.py").write_text((EXAMPLE / "pipeline.py").read_text() + added)
        (project / "landing").symlink_to(self.landing)
        command: list[str | Path] = [HEADGATE, "-C", project, "backfill", "--yes", "--reason", "benchmark", *self.span]
        used, started = _used_s(), perf_counter()
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        elapsed = perf_counter() - started
        self.cpu_s[added].append(_used_s() - used)
        if done.returncode:
            raise SystemExit(f"headgate ended with exit code {done.returncode}\n{done.stdout}")
        return elapsed


def _used_s() -> float:
    """Return the CPU seconds of all processes that were waited for, workers included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run() -> Figures:
    # A shorter span, for trying: HEADGATE_BENCH_END=2013-02-01.
    end = os.environ.get("HEADGATE_BENCH_END")
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(Path(folder), end)
        gated, unchecked = by_turns(11, sides.gated_s, sides.unchecked_s)
    meaning = f"headgate backfill with gates and checksums ({gated:.2f} s) beyond one with neither ({unchecked:.2f} s)"
    cpu_gated, cpu_unchecked = median(sides.cpu_s[GATED]), median(sides.cpu_s[UNCHECKED])
    cpu_meaning = f"the same of CPU seconds ({cpu_gated:.2f} s, {cpu_unchecked:.2f} s): other load disturbs them less"
    return {
        "overhead": Figure(gated / unchecked - 1, meaning, "at most 0.15"),
        "overhead_cpu": Figure(cpu_gated / cpu_unchecked - 1, cpu_meaning),
    }
