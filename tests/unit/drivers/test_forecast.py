from __future__ import annotations

import sys
from itertools import product
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.clock import now_ms
from headgate.drivers.forecast import accuracy, forecast_from_json, forecast_to_json
from headgate.drivers.live import Coordinator
from headgate.drivers.plans import keep
from headgate.drivers.proposal import propose
from headgate.drivers.submission import new_run
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.errors import UsageError
from headgate.executors.inline import InlineExecutor
from headgate.model.forecast import Accuracy, ChainLink, Cost, PoolUse, WidestStage
from headgate.model.plan import Request
from headgate.model.run import Attempt, AttemptState, RunState
from headgate.model.version import File
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.records import Candidate, Published
from headgate.store.sqlite import open_store
from headgate.views.forecast import hindsight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.model.forecast import DatasetForecast, Forecast

PIPELINE = """
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-02-01")

headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS)
def sales(landed: pa.Table) -> pa.Table:
    return landed


@headgate.dataset(partitions=DAYS)
def doubled(sales: pa.Table) -> pa.Table:
    return sales
"""
LARGE = """
import headgate

HOURS = headgate.hourly("2024-01-01", "2025-01-01")


@headgate.dataset(partitions=HOURS)
def log() -> None:
    pass


@headgate.dataset(partitions=HOURS)
def view(log) -> None:
    pass
"""
SMALL, BIG = 20, 2_000


class Sized:
    # A project whose days are small or big, run by the real coordinator inside this process.

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "landing").mkdir(parents=True)
        (root / "sized_pipeline.py").write_text(PIPELINE)
        self.configure("")

    def configure(self, text: str) -> None:
        (self.root / "headgate.toml").write_text(
            f'[project]\nmodules = ["sized_pipeline"]\n[workers]\nprocesses = 2\n{text}'
        )

    def land(self, day: int, rows: int) -> None:
        lines = [f"{day},{n * 7919 % 10_007}" for n in range(rows)]
        (self.root / "landing" / f"2024-01-{day:02}.csv").write_text("\n".join(["day,value", *lines]) + "\n")

    def took(self, days: range, *, ms_of: Callable[[int], int]) -> None:
        # Record a run of these days in which attempts took as long as is said for the bytes that they read.
        project = load(self.root)
        store = open_store(self.root / "state.db", data_root=self.root / "data", create=True)
        world = look(project, store, now_ms())
        plan = make_plan(world.snapshot, Request())
        run = new_run(plan, RunState.RUNNING, reason="a test", author="ada", service_class="backfill")
        at = run.created_ms
        with store.transaction() as tx:
            tx.observe(world.observations, author="ada", now_ms=at)
            tx.add_run(run)
        for day, (name, reads) in product(days, [("sales", "landed"), ("doubled", "sales")]):
            key = f"2024-01-{day:02}"
            (read,) = store.heads(reads, [key])
            number, read_bytes = store.next_id(), sum(file.bytes for file in read.files)
            file = File(f"{name}/{number}.parquet", 1, read_bytes // 2, f"xxh3:{number:032x}")
            attempt = Attempt(number, run.id, name, key, 1, AttemptState.RUNNING, file.path, None, at)
            with store.transaction() as tx:
                tx.start_attempts([attempt])
            at += ms_of(read_bytes)
            made = Candidate(
                number, run.id, name, key, (file,), 1, file.bytes, f"h@1:1:{number}", (("value", "int64"),), "c0de",
                None, (read.id,), 0, None, None, attempt.started_ms,
            )  # fmt: skip
            with store.transaction() as tx:
                assert tx.publish([made], author="ada", now_ms=at) == [Published.NEW]
        store.close()

    def forecast(self, *, day: int | None = None, forced: bool = False, run: bool = False) -> Forecast:
        # Plan a day, or what has landed, forecast it, and run it if asked to.
        start, end = (None, None) if day is None else (f"2024-01-{day:02}", f"2024-01-{day + 1:02}")
        project = load(self.root)
        store = open_store(self.root / "state.db", data_root=self.root / "data", create=True)
        try:
            world = look(project, store, now_ms())
            plan = make_plan(world.snapshot, Request((), start, end, forced))
            proposal = propose(project, store, world, plan, author="ada", reason="a test", service_class="backfill")
            found = proposal.forecast
            assert found is not None
            if run:
                keep(store, project, proposal, now_ms())
                with store.lead():
                    take_over(store, project.paths.data, now_ms(), author="ada")
                    executor = InlineExecutor(self.root)
                    coordinator = Coordinator(project, store, executor, author="ada")
                    coordinator.submit(world, plan, reason="a test")
                    assert coordinator.drive().state is not RunState.INTERRUPTED
                    executor.close()
            return found
        finally:
            store.close()


@pytest.fixture
def sized(tmp_path: Path) -> Iterator[Sized]:
    before = sys.path.copy()
    yield Sized(tmp_path / "sized")
    sys.path[:] = before
    sys.modules.pop("sized_pipeline", None)


def of(found: Forecast, name: str) -> DatasetForecast:
    (one,) = (one for one in found.datasets if one.name == name)
    return one


def test_what_reads_more_is_forecast_to_take_longer(sized: Sized) -> None:
    for day in range(1, 21):
        sized.land(day, BIG if day % 2 else SMALL)
    sized.took(range(1, 21), ms_of=lambda read_bytes: 20 + read_bytes // 10)
    sized.land(21, BIG)
    sized.land(22, SMALL)
    sized.land(23, 2 * BIG)
    big, small, huge = (sized.forecast(day=day) for day in (21, 22, 23))
    assert {of(found, "sales").basis for found in (big, small, huge)} == {"sizes"}
    for day, found in ((21, big), (22, small), (23, huge)):
        # What is read was never seen before; what `doubled` will read is not made yet.
        landed_bytes = (sized.root / "landing" / f"2024-01-{day}.csv").stat().st_size
        assert of(found, "sales").read_bytes == landed_bytes
        assert of(found, "sales").typical_ms == pytest.approx(20 + landed_bytes / 10, rel=0.1)
        assert of(found, "doubled").read_bytes == of(found, "sales").written_bytes
        assert of(found, "sales").written_bytes == pytest.approx(landed_bytes / 2, rel=0.1)
    assert huge.p50_ms > big.p50_ms > small.p50_ms


def test_a_declared_duration_stands_in_for_a_history(sized: Sized) -> None:
    sized.land(1, SMALL)
    sized.configure('[datasets.sales]\ntypical = "30s"\n')
    found = sized.forecast(day=1)
    assert (found.assumed, found.declared, found.assumed_ms) == (("doubled",), ("sales",), 1000)
    assert found.p50_ms == 31_000
    assert found.chain == (ChainLink("sales", 1, 30_000), ChainLink("doubled", 1, 1000))
    assert found.chain_ms == 31_000
    sized.forecast(day=1, run=True)
    assert sized.forecast(day=1, forced=True).declared == ()


def test_what_a_run_takes_and_costs(sized: Sized) -> None:
    for day in (1, 2, 3):
        sized.land(day, SMALL)
    sized.configure(
        """
[datasets.sales]
typical = "1h"
pools = {warehouse = 2}
[datasets.doubled]
typical = "30m"
[pools]
warehouse = 4
[rates]
currency = "EUR"
slot_hour = 0.5
gb_read = 1_000_000
[rates.pools.warehouse]
slot_hour = 2
"""
    )
    found = sized.forecast()
    assert found.slot_ms == 3 * 3_600_000 + 3 * 1_800_000
    assert found.pools == (PoolUse("warehouse", 3 * 2 * 3_600_000),)
    assert found.widest == WidestStage("sales", 3)
    landed = sum(path.stat().st_size for path in (sized.root / "landing").iterdir())
    assert (found.read_bytes, found.written_bytes, found.unsized) == (landed, None, ("sales", "doubled"))
    assert found.cost is not None
    assert (found.cost.currency, found.cost.is_partial) == ("EUR", True)
    assert found.cost.amount == pytest.approx(4.5 * 0.5 + landed / 1000 + 6 * 2, abs=1e-3)
    # On two processes the oldest days go first: the last of `sales` is begun after one of `doubled`.
    assert {one.name: one.p90_ms for one in found.datasets} == {"sales": 9_000_000, "doubled": found.p90_ms}
    costs = {one.name: one.cost for one in found.datasets}
    assert costs["sales"].amount == pytest.approx(3 * 0.5 + landed / 1000 + 6 * 2, abs=1e-3)
    assert costs["doubled"] == Cost(1.5 * 0.5, "EUR", is_partial=True)
    assert forecast_from_json(forecast_to_json(found)) == found
    sized.configure("")
    assert sized.forecast().cost is None


def test_what_is_cheap_adds_up(sized: Sized) -> None:
    for day in (1, 2, 3):
        sized.land(day, SMALL)
    sized.configure('[datasets.sales]\ntypical = "1s"\n[datasets.doubled]\ntypical = "2s"\n[rates]\nslot_hour = 0.01')
    found = sized.forecast()
    assert [one.cost and one.cost.amount for one in found.datasets] == [8.333e-06, 1.6667e-05]
    assert found.cost == Cost(2.5e-05, "", is_partial=False)


def test_a_recorded_forecast_is_compared_with_what_the_run_took(sized: Sized) -> None:
    for day in (1, 2):
        sized.land(day, SMALL)
    first = sized.forecast(run=True)
    assert first.accuracy is None
    store = open_store(sized.root / "state.db", data_root=sized.root / "data", create=False)
    (run,) = store.runs()
    found = hindsight(store, run.id)
    past = accuracy(store)
    store.close()
    assert found is not None
    assert found.forecast == first
    assert found.elapsed_ms == run.finished_ms - run.created_ms
    assert not found.was_disturbed
    # Four partitions of a second each were assumed, on two processes: that says nothing of forecasts.
    assert found.error == pytest.approx(2000 / found.elapsed_ms - 1)
    assert past is None
    assert [(one.dataset, one.attempts) for one in found.datasets] == [("doubled", 2), ("sales", 2)]
    landed = sum(path.stat().st_size for path in (sized.root / "landing").iterdir())
    sales = next(one for one in found.datasets if one.dataset == "sales")
    assert sales.read_bytes == landed
    assert 0 < sales.written_bytes < found.written_bytes
    second = sized.forecast(forced=True, run=True)
    assert (second.accuracy, second.assumed) == (None, ())
    store = open_store(sized.root / "state.db", data_root=sized.root / "data", create=False)
    told = hindsight(store, store.runs()[0].id)
    past = accuracy(store)
    store.close()
    assert told is not None
    assert told.error is not None
    assert past == Accuracy(1, round(told.error, 4), told.elapsed_ms <= (second.p90_ms or 0))
    assert sized.forecast(forced=True).accuracy == past


def test_a_forecast_survives_being_recorded(sized: Sized) -> None:
    sized.land(1, SMALL)
    sized.configure("[rates]\nslot_hour = 1\n")
    found = sized.forecast()
    assert forecast_from_json(forecast_to_json(found)) == found
    assert forecast_from_json('{"runs": 3, "p50_ms": 5, "p90_ms": null, "of_the_future": 1}').chain == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rates]\nslot_hour = -1", "rates.slot_hour must be at least 0, got -1"),
        ("[rates]\nslot_hour = nan", "rates.slot_hour must be a number, got nan"),
        ("[rates]\nslots_hour = 1", "rates.slots_hour is unknown in [rates]"),
        ("[rates]\ncurrency = 'drachmas of old'", "rates.currency must have at most 10 characters, got the text"),
        ("[rates.pools.lake]\nslot_hour = 1", "rates.pools.lake cannot be: there is no pool 'lake'"),
        ("[datasets.sales]\ntypical = 'soon'", "datasets.sales.typical must be a length of time"),
        ("[datasets.sales]\ntypical = 0", "datasets.sales.typical must be a length of time"),
    ],
)
def test_rates_and_durations_that_cannot_be_are_refused(sized: Sized, text: str, message: str) -> None:
    sized.configure(text)
    with pytest.raises(UsageError) as refused:
        load(sized.root)
    assert f": {message}" in refused.value.message


def test_a_large_plan_is_forecast_in_chunks(sized: Sized) -> None:
    (sized.root / "sized_pipeline.py").write_text(LARGE)
    found = sized.forecast()
    n = 24 * 366
    assert found.is_coarse
    assert [(one.name, one.partitions, one.attempts) for one in found.datasets] == [("log", n, n), ("view", n, n)]
    assert found.slot_ms == 2 * n * 1000
    # On two processes nothing is idle but at the ends.
    assert found.p50_ms == pytest.approx(n * 1000, rel=0.01)
    assert found.chain == (ChainLink("log", 1, 1000), ChainLink("view", 1, 1000))
    assert found.widest == WidestStage("log", n)
