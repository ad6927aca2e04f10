"""Results of ranged attempts, taken apart by partition."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest
from msgspec.structs import replace

from headgate.model.partitioning import Partitioning, daily, hourly, monthly, static
from headgate.worker.failures import AttemptError
from headgate.worker.messages import Member, Order
from headgate.worker.results import open_result
from headgate.worker.split import own, split

BERLIN = "Europe/Berlin"


def order_of(partitioning: Partitioning, *keys: str, column: str = "day", zone: str = "UTC") -> Order:
    grid = partitioning.grid(int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000))
    members = []
    for number, key in enumerate(keys, 1):
        index = grid.find(key)
        assert index is not None, key
        members.append(Member(number, key, grid.window(index), 1, f"/stage/{key}"))
    first = members[0]
    return Order(
        1, "m:f", "sales", first.key, first.window, 1, "run", [], first.stage, {}, False, None,
        members=members, partition_column=column, zone=zone,
    )  # fmt: skip


def taken_apart(order: Order, table: pa.Table) -> dict[str, list[object]]:
    return {m.key: rows.column("n").to_pylist() for m, rows in split(order, table.schema, table.to_batches())}


DAYS = order_of(daily("2024-03-01"), "2024-03-01", "2024-03-02", "2024-03-03")


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["2024-03-02", "2024-03-01", "2024-03-02", "2024-03-01"]),
        pa.array(["2024-03-02", "2024-03-01", "2024-03-02", "2024-03-01"]).dictionary_encode(),
        pa.array(["2024-03-02", "2024-03-01", "2024-03-02", "2024-03-01"], pa.string_view()),
        pa.array([date(2024, 3, 2), date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 1)]),
        pa.array([datetime(2024, 3, day, 23, 59, 59, 999999) for day in (2, 1, 2, 1)]),
        pa.array([datetime(2024, 3, day, tzinfo=UTC) for day in (2, 1, 2, 1)], pa.timestamp("ns", "UTC")),
    ],
    ids=["text", "dictionary", "view", "dates", "naive times", "instants"],
)
def test_rows_go_to_their_partitions_in_their_order(column: pa.Array) -> None:
    table = pa.table({"day": column, "n": [1, 2, 3, 4]})
    assert taken_apart(DAYS, table) == {"2024-03-01": [2, 4], "2024-03-02": [1, 3], "2024-03-03": []}


def test_a_day_that_is_tried_alone_gets_only_its_own_rows() -> None:
    alone = replace(DAYS, members=[])
    table = pa.table({"day": [date(2024, 3, 1), date(2024, 3, 1)], "n": [1, 2]})
    assert pa.Table.from_batches(own(alone, table.schema, table.to_batches())).equals(table)
    table = pa.table({"day": [date(2024, 3, 1), date(2024, 3, 2), None], "n": [1, 2, 3]})
    with pytest.raises(AttemptError) as refused:
        list(own(alone, table.schema, table.to_batches()))
    assert refused.value.message == "2 rows of sales do not belong to partition 2024-03-01: day is 2024-03-02, None"
    with pytest.raises(AttemptError, match="returned no column day"):
        list(own(alone, pa.schema([("n", pa.int64())]), []))


def test_an_empty_result_leaves_each_partition_without_rows() -> None:
    table = pa.table({"day": pa.array([], pa.string()), "n": pa.array([], pa.int64())})
    assert taken_apart(DAYS, table) == {"2024-03-01": [], "2024-03-02": [], "2024-03-03": []}


def test_a_date_is_read_in_the_zone_of_the_dataset() -> None:
    order = order_of(monthly("2024-01-01", tz=BERLIN), "2024-03", "2024-04", zone=BERLIN)
    table = pa.table({"day": [date(2024, 3, 31), date(2024, 4, 1)], "n": [1, 2]})
    assert taken_apart(order, table) == {"2024-03": [1], "2024-04": [2]}


def test_instants_of_the_hour_that_comes_twice_are_kept_apart() -> None:
    hours = hourly("2024-10-27", tz=BERLIN)
    grid = hours.grid(int(datetime(2024, 10, 28, tzinfo=UTC).timestamp() * 1000))
    order = order_of(hours, grid.key(2), grid.key(3), zone=BERLIN)
    times = [datetime(2024, 10, 27, 0, 30, tzinfo=UTC), datetime(2024, 10, 27, 1, 30, tzinfo=UTC)]
    assert times[0].astimezone(ZoneInfo(BERLIN)).hour == times[1].astimezone(ZoneInfo(BERLIN)).hour == 2
    assert list(taken_apart(order, pa.table({"day": times, "n": [1, 2]})).values()) == [[1], [2]]
    with pytest.raises(AttemptError, match="does not name one instant in Europe/Berlin"):
        taken_apart(order, pa.table({"day": [datetime(2024, 10, 27, 2, 30)], "n": [1]}))


def test_static_partitions_go_by_key() -> None:
    order = order_of(static(["de", "fr"]), "de", "fr", column="country")
    assert taken_apart(order, pa.table({"country": ["fr", "de"], "n": [1, 2]})) == {"de": [2], "fr": [1]}
    with pytest.raises(AttemptError) as refused:
        taken_apart(order, pa.table({"country": [date(2024, 1, 1)], "n": [1]}))
    assert refused.value.hint == "To say to which partition a row belongs it must be text: the key of the partition."


@pytest.mark.parametrize("stranger", [date(2024, 2, 29), date(2024, 3, 4), None])
def test_a_row_of_another_partition_is_refused(stranger: date | None) -> None:
    table = pa.table({"day": pa.array([date(2024, 3, 1), stranger], pa.date32()), "n": [1, 2]})
    with pytest.raises(AttemptError) as refused:
        taken_apart(DAYS, table)
    assert refused.value.message == (
        f"1 rows of sales belong to none of the partitions 2024-03-01 to 2024-03-03: day is {stranger}"
    )


def test_a_column_that_is_not_there_or_no_time_is_refused() -> None:
    with pytest.raises(AttemptError, match="sales returned no column day"):
        taken_apart(DAYS, pa.table({"n": [1]}))
    with pytest.raises(AttemptError, match="column day of sales is int64"):
        taken_apart(DAYS, pa.table({"day": [20240301], "n": [1]}))


def test_a_result_of_polars_is_split_by_its_keys() -> None:
    frame = pl.DataFrame({"day": ["2024-03-02", "2024-03-01"], "n": [1, 2], "text": ["a rather long text", "b"]})
    schema, batches = open_result(frame, "sales")
    parts = {member.key: rows.column("text").to_pylist() for member, rows in split(DAYS, schema, batches)}
    assert parts == {"2024-03-01": ["b"], "2024-03-02": ["a rather long text"], "2024-03-03": []}
