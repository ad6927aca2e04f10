from __future__ import annotations

import numpy as np
import pytest

from headgate.model.key_columns import times_of
from headgate.model.partitioning import Unit, daily, hourly, monthly


def column(*keys: str) -> np.ndarray:
    return np.array([key.encode() for key in keys], dtype=np.bytes_)


@pytest.mark.parametrize(
    ("unit", "keys", "times"),
    [
        (Unit.MONTH, ["2013-01", "1969-12"], ["2013-01", "1969-12"]),
        (Unit.DAY, ["2013-01-31", "0001-01-01"], ["2013-01-31", "0001-01-01"]),
        (Unit.WEEK, ["2024-02-29"], ["2024-02-29"]),
        (Unit.HOUR, ["2013-01-31T05:00Z"], ["2013-01-31T05:00"]),
        (Unit.HOUR, ["2013-01-31T05:00-05:00", "2013-01-31T05:00+05:30"], ["2013-01-31T10:00", "2013-01-30T23:30"]),
        (Unit.MINUTE, ["2013-01-31T00:05+14:00"], ["2013-01-30T10:05"]),
    ],
)
def test_keys_are_read_as_times(unit: Unit, keys: list[str], times: list[str]) -> None:
    found = times_of(column(*keys), unit)
    assert found is not None
    assert found.astype(str).tolist() == times


@pytest.mark.parametrize(
    ("unit", "keys"),
    [
        (Unit.MONTH, ["2013-13"]),
        (Unit.MONTH, ["2013-01", "2013-1"]),
        (Unit.MONTH, ["2013+01"]),
        (Unit.DAY, ["2013-02-30"]),
        (Unit.DAY, ["2013-02-01 "]),
        (Unit.DAY, ["2013-02-01", "2013-02"]),
        (Unit.DAY, ["yesterday!"]),
        (Unit.HOUR, ["2013-01-31T05:00"]),
        (Unit.HOUR, ["2013-01-31 05:00Z"]),
        (Unit.HOUR, ["2013-01-31T25:00Z"]),
        (Unit.HOUR, ["1880-01-31T00:00-04:56:02"]),
        (Unit.HOUR, ["2013-01-31T05:00Z", "2013-01-31T05:00+00:00"]),
        (Unit.MINUTE, ["2013-01-31T05:00*05:00"]),
    ],
)
def test_what_looks_otherwise_is_left_to_be_looked_at_one_by_one(unit: Unit, keys: list[str]) -> None:
    assert times_of(column(*keys), unit) is None


@pytest.mark.parametrize(
    "partitioning", [hourly("1930-01-01", "1940-01-01", tz="Europe/Amsterdam"), daily("2013-01-01")]
)
def test_keys_of_another_zone_name_the_same_instants(partitioning) -> None:
    """What was built in UTC is found after a change of the zone where it stands for the same instant."""
    whole = partitioning.grid(1_500_000_000_000)
    others = hourly("1936-01-01", "1936-01-02").grid(1_500_000_000_000)
    keys = [*others.keys(range(others.size)), *monthly("1936-01-01").grid(1_500_000_000_000).keys(range(3))]
    assert whole.find_column(column(*keys)).tolist() == whole.find_all(keys).tolist()
