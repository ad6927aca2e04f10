"""How many partitions an attempt takes where that goes by their size."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from headgate.drivers.sizing import batch_limits
from headgate.model.dataset import Dataset
from headgate.model.partitioning import daily
from headgate.model.plan import Plan, PlannedDataset, Request
from headgate.planning.sizes import Sizes
from headgate.planning.snapshot import Heads, Snapshot

DAYS = daily("2024-01-01", "2024-01-06")
SIZED = Dataset("sized", DAYS, {}, "m:f", "code", batch=1000, batch_bytes=1_000)


def limits(dataset: Dataset, *read: int) -> dict[str, int]:
    at_ms = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp() * 1000)
    snapshot = Snapshot(
        {dataset.name: dataset}, {}, {dataset.name: DAYS.grid(at_ms)}, {dataset.name: Heads.empty(5)}, at_ms
    )
    n = len(read)
    part = PlannedDataset(dataset.name, DAYS.spec, "code", np.arange(n), np.zeros(n, np.uint8), np.zeros(n, bool))
    sizes = {dataset.name: Sizes(np.array(read, np.int64), np.zeros(n, np.int64))}
    return batch_limits(Plan(Request(), (part,), (), n, at_ms), snapshot, sizes)


@pytest.mark.parametrize(
    ("read", "limit"),
    [
        ((100, 100, 100), 10),
        ((50, 100, 900), 10),
        ((-1, 300, -1), 3),
        ((5_000, 5_000), 1),
        ((-1, -1), 1),
        ((0, 0), 1000),
    ],
)
def test_as_many_as_read_so_much_by_the_middle_of_what_is_known(read: tuple[int, ...], limit: int) -> None:
    assert limits(SIZED, *read) == {"sized": limit}


def test_a_number_of_partitions_stays_as_it_is() -> None:
    assert limits(replace(SIZED, batch=30, batch_bytes=None), 100, 100) == {}
